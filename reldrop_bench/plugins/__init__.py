"""Where plugins live: the `__path__` of this package holds every plugin folder.

A plugin folder holds any of the folders of `registry.KINDS` (`regularizers/`, `datasets/`, `models/` …),
each a plain folder of modules; together they are portions of the namespace packages
`reldrop_bench.plugins.regularizers` and so on, and the ordinary import system does the rest.
"""

import importlib
import itertools
import os
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

from reldrop_bench.errors import UserError, one_line

GROUP = "reldrop_bench.plugins"
VARIABLE = "RELDROP_PLUGINS"


def builtin_folder() -> Path:
    """Return the folder that holds the built-in plugins: the source tree's root, else this package."""
    here = Path(__file__).resolve().parent
    root = here.parent.parent
    pyproject = root / "pyproject.toml"
    if pyproject.is_file():
        try:
            project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
        except (OSError, tomllib.TOMLDecodeError):
            return here
        if project.get("name") == "reldrop-bench":
            return root
    return here


def shipped_specs() -> dict[str, Path]:
    """Return the specs that come with the package by name."""
    root = builtin_folder()
    folder = root / "benchmarks" if (root / "benchmarks").is_dir() else root.parent / "benchmarks"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _package_folders(package: str) -> list[Path]:
    """Return the folders of a package without running any code of it, nor of those around it.

    A worker that computes built-in plugins alone runs no other code.
    """
    path: list[str] | None = None
    for name in itertools.accumulate(package.split("."), "{}.{}".format):
        specs = (finder.find_spec(name, path) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"there is no package {name}")
        try:
            path = list(spec.submodule_search_locations)
        except KeyError:  # a namespace inside of another one, which has no code to run
            path = list(importlib.import_module(name).__path__)
    return [Path(folder) for folder in path or ()]


def _entry_point_folders(broken: dict[str, str]) -> list[Path]:
    folders = []
    for point in entry_points(group=GROUP):
        try:
            folders += _package_folders(point.value)
        except Exception as error:  # noqa: BLE001 - a stranger's package may raise anything
            broken[f"{point.name} = {point.value}"] = one_line(f"{type(error).__name__}: {error}")
    return folders


def _folders() -> list[str]:
    given = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    for folder in given:
        if not folder.expanduser().is_dir():
            broken_entry_points[f"{VARIABLE}: {folder}"] = "there is no such folder"
    # Its own modules first: no plugin folder can stand in for them.
    own = Path(__file__).parent
    folders = [own, builtin_folder(), *given, *_entry_point_folders(broken_entry_points)]
    return list(dict.fromkeys(str(folder.expanduser().resolve()) for folder in folders))


def add_folder(folder: str | Path) -> None:
    """Make the plugins of `folder` known, here and in the processes that are started from here.

    Raises
    ------
    UserError
        The folder does not exist.
    """
    path = Path(os.path.expanduser(folder)).resolve()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise UserError(
            f"plugin folder {folder} {what}; give the folder that holds regularizers/ …"
        )
    given = [part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if str(path) not in given:
        os.environ[VARIABLE] = os.pathsep.join([*given, str(path)])
    if str(path) not in __path__:
        __path__.append(str(path))
        importlib.invalidate_caches()


broken_entry_points: dict[str, str] = {}
"""Entry points that could not be imported, with the reason."""
__path__ = _folders()
