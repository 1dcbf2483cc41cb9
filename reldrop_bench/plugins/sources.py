"""What a plugin's code is: a hash of its file and of what that imports of plugin folders."""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from reldrop_bench import plugins


def _statements(block: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements inside of a module or a statement, and none of their expressions."""
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        for statement in getattr(block, field, ()):
            yield statement
            yield from _statements(statement)


@functools.lru_cache(maxsize=1024)
def _imports(text: bytes) -> tuple[tuple[int, str], ...]:
    """Return what a file imports: how many folders up it starts (0: absolute), and the name."""
    matches: list[tuple[int, str]] = []
    if plugins.__name__.encode() not in text and not re.search(rb"from[\s\\]+\.", text):
        return ()  # nothing of a plugin folder: parsing would take longer than importing the file
    for node in _statements(ast.parse(text)):
        if isinstance(node, ast.Import):
            matches += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            inner = f"{node.module}." if node.module else ""
            names = [node.module or "", *(f"{inner}{alias.name}" for alias in node.names)]
            matches += [(node.level, name) for name in names]
    return tuple(dict.fromkeys(matches))


def _imported_plugin_files(file: Path, text: bytes) -> Iterator[Path]:
    """Yield the files of plugin folders that a plugin's file imports."""
    prefix = f"{plugins.__name__}."
    for level, name in _imports(text):
        if level:
            folders = [file.parents[level - 1]]
        elif name.startswith(prefix):
            folders, name = [Path(base) for base in plugins.__path__], name.removeprefix(prefix)
        else:
            continue
        for place in (folder.joinpath(*name.split(".")) for folder in folders):
            candidates = (place.with_suffix(".py"), place / "__init__.py")
            yield from (path for path in candidates if path.is_file())


def source_hash(file: Path) -> str:
    """Return a hash of a plugin's file, or of all files of its package, and of what they import.

    What they import of plugin folders counts, transitively. Line ends do not; neither does where the
    files lie.
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
        try:
            queue += sorted(_imported_plugin_files(current, text))
        except (SyntaxError, ValueError):
            continue
    return digest.hexdigest()[:16]
