"""The files that a plugin is made of: what it imports of plugin folders, and a hash of all of it."""

import ast
import functools
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from reldrop_bench import plugins
from reldrop_bench.errors import UserError


def refuse_twins(folders: Sequence[Path], private: bool = False) -> None:
    """Look for modules of one name in the folders of one package: only one of them can be imported.

    private: look only at those whose name starts with an underscore.

    Raises
    ------
    UserError
        There are two; the message names both files.
    """
    modules: dict[str, list[Path]] = defaultdict(list)
    shared: dict[str, list[Path]] = defaultdict(list)
    for folder in folders:
        try:
            paths = sorted(folder.iterdir())
        except OSError:  # nothing can be imported from it either
            continue
        for path in paths:
            if path.name.startswith("__") or (private and not path.name.startswith("_")):
                continue
            if path.suffix == ".py":
                modules[path.stem].append(path)
            elif path.name.isidentifier() and path.is_dir():
                shared[path.name].append(path)
                if (file := path / "__init__.py").is_file():
                    modules[path.name].append(file)
    for name, files in modules.items():
        if len(files) > 1:
            raise UserError(
                f"two plugin files are called {name}: {files[0]} and {files[1]}; rename one"
            )
    for same in shared.values():
        if len(same) > 1:
            refuse_twins(same)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements inside of a module, in their order, and none of their expressions."""
    waiting = [tree]
    while waiting:  # no recursion: a chain of `elif` may be as long as it likes
        block = waiting.pop()
        yield block
        inner = [
            statement
            for field in ("body", "orelse", "handlers", "finalbody", "cases")
            for statement in getattr(block, field, ())
            if isinstance(statement, ast.AST)
        ]
        waiting += reversed(inner)


@functools.lru_cache(maxsize=1024)
def _imports(text: bytes) -> tuple[tuple[int, str], ...]:
    """Return what a file imports: how many folders up it starts (0: absolute), and the name."""
    if not re.search(rb"\bplugins\b|\bfrom[\s\\]*\.", text):
        return ()  # nothing of a plugin folder: parsing would take longer than importing the file
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # nor can it be imported
    matches: list[tuple[int, str]] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            matches += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = f"{node.module}." if node.module else ""
            names = [node.module or "", *(f"{inner}{alias.name}" for alias in node.names)]
            matches += [(node.level, name) for name in names]
    return tuple(dict.fromkeys(matches))


def _portions(folder: Path) -> list[Path]:
    """Return the folders that are one package with a folder: itself, and its like in other plugin folders."""
    homes = [Path(home) for home in plugins.__path__]
    for home in homes:
        if folder.is_relative_to(home):
            inside = folder.relative_to(home)
            return list(dict.fromkeys([folder, *(each / inside for each in homes)]))
    return [folder]


def _imported_plugin_files(file: Path, text: bytes) -> Iterator[Path]:
    """Yield the files of plugin folders that a plugin's file imports, those of packages on the way too."""
    prefix = f"{plugins.__name__}."
    for level, name in _imports(text):
        if level > len(file.parents):
            continue  # beyond the root of the disk: importing it says so
        if level:
            folders = _portions(file.parents[level - 1])
        elif name.startswith(prefix):
            folders, name = [Path(base) for base in plugins.__path__], name.removeprefix(prefix)
        else:
            continue
        parts = name.split(".") if name else []
        for depth in range(len(parts) + 1):
            for place in (folder.joinpath(*parts[:depth]) for folder in folders):
                candidates = [place / "__init__.py"]
                if depth:
                    candidates.append(place.with_name(f"{place.name}.py"))
                # Not Path.is_file, which raises where a name is too long.
                yield from (path for path in candidates if os.path.isfile(path))


def source_hash(file: Path) -> str:
    """Return a hash of a plugin's file, or of all files of its package, and of what they import.

    What they import of plugin folders counts, transitively. Line ends do not; neither does where the
    files lie.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    digest = hashlib.sha256()
    queue = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]
    seen: set[Path] = set()
    while queue:
        current = queue.pop(0)
        if current in seen:
            continue
        seen.add(current)
        text = current.read_bytes().replace(b"\r\n", b"\n")
        digest.update(text)
        # In the order of the imports: that of the files would depend on where they lie.
        queue += _imported_plugin_files(current, text)
    return digest.hexdigest()[:16]
