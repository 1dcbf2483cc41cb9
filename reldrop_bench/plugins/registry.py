"""Name → plugin class: what is installed, where it came from, and what is broken."""

import functools
import importlib
import pkgutil
import re
import sys
import traceback
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reldrop_bench import plugins
from reldrop_bench.errors import UserError, one_line, suggest
from reldrop_bench.plugins.base import Plugin
from reldrop_bench.plugins.facts import check_class, plugin_classes, registered_name
from reldrop_bench.plugins.sources import refuse_twins
from reldrop_bench.plugins.sources import source_hash as source_hash

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
        return _is_built_in(self.file)

    @property
    def module(self) -> str:
        """The name that its file, if it is not built in, is imported under."""
        return f"{plugins.__name__}.{KINDS[self.kind].folder}.{module_name(self.file)}"

    def check_unchanged(self) -> None:
        """Raise UserError if the file is no longer what was imported from it."""
        try:
            unchanged = source_hash(self.file) == self.source
        except OSError:  # it is gone
            unchanged = False
        if not unchanged:
            raise UserError(
                f"{self.file} changed after it was imported; start a new Python process (or kernel)"
            )


@functools.cache
def _own_folders() -> tuple[Path, ...]:
    own = tuple(plugins.builtin_folder() / kind.folder for kind in KINDS.values())
    return (PACKAGE, *own)


@functools.lru_cache(maxsize=1024)
def _is_built_in(file: Path) -> bool:
    return any(file.is_relative_to(home) for home in _own_folders())


def foreign_modules() -> set[str]:
    """Return the names of the modules of plugin folders, not built in, that this process has imported."""
    prefix = f"{plugins.__name__}."
    return {
        name
        for name, module in list(sys.modules.items())
        if name.startswith(prefix)
        and (file := getattr(module, "__file__", None))
        and not _is_built_in(Path(file))
    }


_visible: frozenset[str] | None = None
"""The modules, not built in, that this process imports; None: all that there are."""


@contextmanager
def restricted_to(modules: Collection[str]) -> Iterator[None]:
    """Import no other plugin than `modules` (`Entry.module`) and those that are built in.

    So that a stranger's file runs where it is used and nowhere else. A name that is not found among
    them is looked for everywhere; `is_restricted` tells.
    """
    global _visible
    before, _visible = _visible, frozenset(modules)
    try:
        yield
    finally:
        _visible = before


def is_restricted() -> bool:
    """Return whether plugins that this process does not need have stayed out of it."""
    return _visible is not None


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


def _error() -> str:
    """Return the traceback of the exception that is handled, as text that can be printed."""
    return traceback.format_exc().encode("utf-8", "replace").decode()


def _load_module(kind: Kind, name: str, file: Path) -> list[Entry]:
    """Return the plugins of a module; whatever goes wrong in a stranger's file is a broken one."""
    source = ""
    try:
        source = source_hash(file)
        module = importlib.import_module(name)
        # The module remembers what it was made of: its file may change while the module stays.
        source = vars(module).setdefault("__source_hash__", source)
        classes = plugin_classes(module, kind.base_class())
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - pytest.skip and CancelledError are no Exception
        error = _error()
        return [
            Entry(kind.name, name, file, error=error, source=source)
            for name in _declared_names(file)
        ]
    matches = []
    for cls in classes:
        title = registered_name(cls) or f"{module_name(file)}.{cls.__name__}"  # files are unique
        try:
            check_class(cls, kind.base_class(), kind.singular)
            matches.append(Entry(kind.name, title, file, cls, source=source))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - as above
            matches.append(Entry(kind.name, title, file, error=_error(), source=source))
    return matches


@functools.lru_cache(maxsize=64)
def _load(
    kind_name: str, path: tuple[str, ...], visible: frozenset[str] | None
) -> tuple[Entry, ...]:
    kind = KINDS[kind_name]
    packages: dict[str, list[Path]] = defaultdict(list)
    for package, folder in kind.portions():
        packages[package].append(folder)
        file = folder / "__init__.py"
        if package.startswith(plugins.__name__) and file.is_file():
            raise UserError(
                f"{file} hides the {kind.name} of every other folder; remove it: {kind.folder}/ of a "
                "plugin folder is a plain folder"
            )
    for folders in packages.values():
        refuse_twins(folders)
    refuse_twins([Path(folder) for folder in plugins.__path__], private=True)
    matches: list[Entry] = []
    for package, folder in kind.portions():
        for stem, file in _modules(folder):
            module = f"{package}.{stem}"
            if visible is None or module in visible or _is_built_in(file):
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
    return _load(kind, tuple(plugins.__path__), _visible)


def add_folders(folders: Sequence[str | Path]) -> None:
    """Look into these plugin folders, too; as a string is a sequence, one folder may stand alone."""
    if folders:
        refresh([folders] if isinstance(folders, str | Path) else folders)


def refresh(folders: Sequence[str | Path] = ()) -> None:
    """Add plugin folders, and forget what was found, so that files that came or went are noticed."""
    for folder in folders:
        plugins.add_folder(folder)
    _load.cache_clear()
    importlib.invalidate_caches()


def names(kind: str) -> list[str]:
    """Return the names of all plugins of a kind that work."""
    return [entry.name for entry in entries(kind) if entry.cls is not None]


def _entries_until(kind: str, name: str) -> tuple[Entry, ...]:
    """Return the plugins of a kind, all there are where none of the visible ones is called so."""
    global _visible
    if _visible is not None and name not in {entry.name for entry in entries(kind)}:
        _visible = None
    return entries(kind)


def find(kind: str, name: str) -> Entry:
    """Return the plugin of that name, broken or not.

    Raises
    ------
    UserError
        There is none; the message offers the nearest names.
    """
    for entry in _entries_until(kind, name):
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
