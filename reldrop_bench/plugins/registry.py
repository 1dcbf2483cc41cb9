"""Name → plugin class: what is installed, where it came from, and what is broken."""

import ast
import functools
import hashlib
import importlib
import inspect
import pkgutil
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reldrop_bench import plugins
from reldrop_bench.errors import UserError, one_line, suggest
from reldrop_bench.plugins.base import Plugin

PACKAGE = Path(plugins.__file__).parents[1]

# Where plugin files of before 0.1 import from: such a file goes on working, with the names of today.
for _former in (
    "evaluation",
    "evaluation.contract",
    "plugin",
    "recipe",
    "regularization",
    "section",
    "tasks",
):
    sys.modules.setdefault(f"{PACKAGE.name}.{_former}", sys.modules[PACKAGE.name])


@dataclass(frozen=True)
class Kind:
    """A kind of plugin: what it is called, what its classes derive from, and where they lie."""

    name: str
    word: str
    """One of it, as `new` is asked for it; also its module in `kinds` and its template."""
    base: str
    """The name of its base class."""
    folder: str
    """The folder that holds it, of a plugin folder and of this package."""
    singular: str
    """One of it, in messages."""
    has_inputs: bool = True
    """Whether `modalities` mean anything."""

    def base_class(self) -> type[Plugin]:
        module = importlib.import_module(f"{PACKAGE.name}.kinds.{self.word}")
        return getattr(module, self.base)

    def portions(self) -> Iterator[tuple[str, Path]]:
        """Yield every folder that holds plugins of this kind, with the package that it is a part of."""
        homes = [(PACKAGE.name, PACKAGE)]
        homes += [(plugins.__name__, Path(folder)) for folder in plugins.__path__]
        for package, home in homes:
            if (path := home / self.folder).is_dir():
                yield f"{package}.{self.folder}", path


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("regularizers", "regularizer", "Regularizer", "regularizers", "regularizer"),
        Kind("tasks", "task", "Task", "datasets", "task"),
        Kind("models", "model", "Model", "models", "model"),
        # A spec's key for it is `relevance`.
        Kind("attributors", "attributor", "Attributor", "attributors", "relevance method"),
        Kind("evaluations", "evaluation", "Evaluation", "evaluations", "evaluation"),
        Kind("sections", "section", "ReportSection", "reports", "report section", has_inputs=False),
        Kind("executors", "executor", "Executor", "executors", "executor", has_inputs=False),
    )
}


@dataclass(frozen=True)
class Entry:
    """A plugin by name: its class, or the traceback that says why there is none."""

    kind: str
    name: str
    file: Path
    cls: type[Plugin] | None = None
    error: str = ""
    """The traceback of a plugin that could not be imported."""
    source: str = ""
    """Hash of the plugin's file, and of the plugin files that it imports, when it was imported."""

    @property
    def reason(self) -> str:
        """The last line of the traceback: what went wrong."""
        return one_line(self.error.strip().rpartition("\n")[2])

    @property
    def built_in(self) -> bool:
        """Whether it came with this package."""
        homes = (base / KINDS[self.kind].folder for base in (PACKAGE, plugins.builtin_folder()))
        return any(self.file.is_relative_to(home) for home in homes)

    def check_unchanged(self) -> None:
        """Raise UserError if the file is no longer what was imported from it."""
        if source_hash(self.file) != self.source:
            raise UserError(
                f"{self.file} changed after it was imported; start a new Python process (or kernel)"
            )


def _declared_names(file: Path) -> list[str]:
    """Return every `name = "…"` in a file that cannot be imported; else the file's name."""
    text = file.read_bytes().decode(errors="replace")
    names = re.findall(r"""^[ \t]+name\b[^=\n]*=[ \t]*["']([^"'\n]+)["']""", text, re.MULTILINE)
    return names or [module_name(file).replace("_", "-")]


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the modules and packages of a folder with their files; an underscore means no plugin."""
    for _, name, is_package in pkgutil.iter_modules([str(folder)]):
        file = folder / name / "__init__.py" if is_package else folder / f"{name}.py"
        if not name.startswith("_") and file.is_file():
            yield name, file


def module_name(file: Path) -> str:
    """Return the name of the module that a file holds."""
    return file.parent.name if file.name == "__init__.py" else file.stem


def _load_module(kind: Kind, name: str, file: Path) -> list[Entry]:
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit):  # noqa: BLE001 - a stranger's module may raise anything
        error, source = traceback.format_exc(), source_hash(file)
        return [
            Entry(kind.name, name, file, error=error, source=source)
            for name in _declared_names(file)
        ]
    base = kind.base_class()
    # The module remembers what it was made of: its file may change while the module stays.
    source = vars(module).setdefault("__source_hash__", source_hash(file))
    return [
        Entry(kind.name, cls.name, file, cls, source=source)
        for cls in vars(module).values()
        if isinstance(cls, type)
        and issubclass(cls, base)
        and f"{cls.__module__}.".startswith(f"{module.__name__}.")
        and not inspect.isabstract(cls)
        and isinstance(getattr(cls, "name", None), str)
    ]


@functools.lru_cache(maxsize=32)
def _load(kind_name: str, path: tuple[str, ...]) -> tuple[Entry, ...]:
    kind = KINDS[kind_name]
    matches: list[Entry] = []
    seen: dict[str, Path] = {}
    for package, folder in kind.portions():
        for stem, file in _modules(folder):
            module = f"{package}.{stem}"
            if module in seen:
                raise UserError(
                    f"two plugin files are called {stem}: {seen[module]} and {file}; rename one"
                )
            seen[module] = file
            matches += _load_module(kind, module, file)
    by_name: dict[str, list[Entry]] = defaultdict(list)
    for entry in matches:
        by_name[entry.name].append(entry)
    for name, same in by_name.items():
        if len(same) > 1:
            raise UserError(
                f"two plugins are called {name!r} ({kind.singular}): {same[0].file} and {same[1].file}; "
                "rename one"
            )
    return tuple(sorted(matches, key=lambda entry: entry.name))


def entries(kind: str) -> tuple[Entry, ...]:
    """Return every plugin of a kind, broken ones included, by name.

    Raises
    ------
    UserError
        An unknown kind, or two plugins of one name.
    """
    if kind not in KINDS:
        raise UserError(f"no kind of plugin is called {kind!r}; {suggest(kind, KINDS)}")
    return _load(kind, tuple(plugins.__path__))


def refresh(folders: Sequence[str | Path] = ()) -> None:
    """Add plugin folders, and forget what was found, so that files that came or went are noticed."""
    for folder in folders:
        plugins.add_folder(folder)
    _load.cache_clear()
    importlib.invalidate_caches()


def names(kind: str) -> list[str]:
    """Return the names of all plugins of a kind that work."""
    return [entry.name for entry in entries(kind) if entry.cls is not None]


def find(kind: str, name: str) -> Entry:
    """Return the plugin of that name, broken or not.

    Raises
    ------
    UserError
        There is none; the message offers the nearest names.
    """
    for entry in entries(kind):
        if entry.name == name:
            return entry
    raise UserError(
        f"no {KINDS[kind].singular} is called {one_line(repr(name), 120)}; {suggest(name, names(kind))}; "
        "plugins of your own: --plugins DIR"
    )


def find_all(name: str) -> list[Entry]:
    """Return the plugins of that name, broken or not: one, or one of several kinds.

    Raises
    ------
    UserError
        There is none; the message offers the nearest names.
    """
    known = [entry for kind in KINDS for entry in entries(kind)]
    matches = [entry for entry in known if entry.name == name]
    if not matches:
        raise UserError(
            f"no plugin is called {name!r}; {suggest(name, (entry.name for entry in known))}"
        )
    return matches


def create(kind: str, name: str, parameters: Mapping[str, Any] | None = None) -> Any:
    """Make an instance of a plugin from its name and the parameters that differ from the defaults.

    Raises
    ------
    UserError
        Unknown name, a broken plugin, or parameters that it does not allow.
    """
    entry = find(kind, name)
    if entry.cls is None:
        raise UserError(
            f"{KINDS[kind].singular} {name!r} cannot be imported ({entry.file}): {entry.reason}"
        )
    return entry.cls.create(parameters)


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
