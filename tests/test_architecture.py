"""The shape of the house: the harness names no plugin, starts quickly, and ships whole."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import reldrop_bench
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec, shipped_specs
from reldrop_bench.plugins import builtin_folder, registry

PACKAGE = Path(reldrop_bench.__file__).parent
ROOT = PACKAGE.parent
OWN_FOLDERS = {kind.folder for kind in registry.KINDS.values() if (PACKAGE / kind.folder).is_dir()}
"""The rooms of the package whose files are plugins."""
WORDS = {
    "none": {"errors", "matrix", "reporting", "running"},  # "nothing there", and the usual baseline
    "accuracy": {
        "checking",
        "kinds",
        "reporting",
        "running",
    },  # a metric, and an outcome of the verdict
    "shifts": {"checking", "kinds", "reporting"},  # an outcome, and a fact of a tiny task
    "occlusion": {
        "kinds",
        "occlusion",
        "reporting",
        "__init__",
    },  # an outcome, a kind of shift, and a room
    "cues": {"checking", "data", "kinds", "reporting"},  # an outcome, and a fact of a task
    "calibration": {"kinds"},  # an outcome
    "cost": {"cli"},  # a column: what a metric costs
    "random": {"cli", "occlusion", "reporting"},  # seeded; a score; an order; a rung
    "verdict": {"cli", "reporting"},  # of a pair
    "quantus": {"running"},  # the library, whose version is recorded
    # The defaults of a spec.
    "lrp-epsilon-plus-flat": {"kinds"},
    "local": {"kinds"},
    "inline": {"kinds"},
}
"""Names of plugins that stand for something else in these rooms, or for what is used by default."""
in_source_tree = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree"
)


def room(file: Path) -> str:
    """Return the room of the package that a file is in."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def harness_files() -> Iterator[Path]:
    for file in sorted(PACKAGE.rglob("*.py")):
        in_wheel = room(file) == "plugins" and len(file.relative_to(PACKAGE).parts) > 2
        if room(file) not in OWN_FOLDERS and not in_wheel:
            yield file


def built_in_files() -> list[Path]:
    """Return the files of all plugin folders, also those that are no plugins themselves."""
    folders = [PACKAGE / name for name in OWN_FOLDERS]
    folders += [builtin_folder() / kind.folder for kind in registry.KINDS.values()]
    return sorted({file for folder in folders for file in folder.rglob("*.py")})


def is_shared(file: Path) -> bool:
    """Return whether a file of a plugin folder is no plugin, but what plugins have in common."""
    return any(re.match("_[^_]", part) for part in file.relative_to(ROOT).parts)


@in_source_tree
def test_no_file_is_above_350_lines() -> None:
    folders = (
        PACKAGE,
        *(ROOT / name for name in ("regularizers", "datasets", "reports", "benchmarks")),
    )
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for file in folder.rglob("*.py")
    }
    assert len(lengths) > 200
    assert {name: length for name, length in lengths.items() if length > 350} == {}


def test_no_plugin_is_named_in_the_harness() -> None:
    names = {
        entry.name
        for kind in registry.KINDS
        for entry in registry.entries(kind)
        if entry.file.is_relative_to(builtin_folder()) or entry.file.is_relative_to(PACKAGE)
    }
    assert names >= set(WORDS), "a word that is no plugin's name"
    found = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}: {node.value!r}"
        for file in harness_files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and node.value in names
        and room(file) not in WORDS.get(str(node.value), set())
    ]
    assert found == []


def test_plugins_say_what_they_are_without_ceremony() -> None:
    files = [file for file in built_in_files() if not is_shared(file)]
    assert len(files) > 50
    assert [file.name for file in files if "ClassVar" in file.read_text(encoding="utf-8")] == []


def test_base_classes_have_one_import_path() -> None:
    """Plugins take them from the package itself, as plugins of users do; the harness from `kinds`."""
    homes = {kind.base: kind.base_class().__module__ for kind in registry.KINDS.values()}
    assert set(homes) <= set(reldrop_bench.__all__)
    of_plugins = set(built_in_files())
    found = [
        f"{file}:{node.lineno}: {alias.name} from {node.module}"
        for file in {*PACKAGE.rglob("*.py"), *of_plugins}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in homes
        and node.module != ("reldrop_bench" if file in of_plugins else homes[alias.name])
    ]
    assert found == []


@in_source_tree
def test_the_house_stays_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 9, "flat modules: a new one belongs into a room"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (floors,) = (
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    assert len(floors) <= 9


@pytest.mark.parametrize(
    "module", ["reldrop_bench", "reldrop_bench.cli", "reldrop_bench.pytest_plugin"]
)
def test_what_starts_every_command_imports_nothing_slow(module: str) -> None:
    slow = ("torch", "pandas", "numpy", "matplotlib", "scipy", "pydantic")
    code = f"import sys, {module}; print([name for name in {slow!r} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_public_names_exist() -> None:
    for name in reldrop_bench.__all__:
        assert getattr(reldrop_bench, name) is not None


@in_source_tree
def test_the_wheel_holds_every_plugin_folder_and_spec() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    for kind in registry.KINDS.values():
        if kind.folder and (ROOT / kind.folder).is_dir():
            assert included[kind.folder] == f"reldrop_bench/plugins/{kind.folder}"
    for path in (ROOT / "benchmarks").glob("*.yaml"):
        assert included[f"benchmarks/{path.name}"] == f"reldrop_bench/benchmarks/{path.name}"


@pytest.mark.parametrize("name", shipped_specs())
def test_shipped_specs_are_valid_and_compare_like_with_like(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    cells = expand(spec).cells
    for task in {cell.task.label for cell in cells}:
        seeds: dict[str, set[int]] = {}
        for cell in cells:
            if cell.task.label == task:
                seeds.setdefault(cell.regularizer.label, set()).add(cell.seed)
        assert spec.baseline in seeds
        assert len(set(map(frozenset, seeds.values()))) == 1


def test_quickstart_has_enough_of_everything() -> None:
    cells = expand(load_spec("quickstart")).cells
    for task in {cell.task.label for cell in cells}:
        here = [cell for cell in cells if cell.task.label == task]
        assert len({cell.regularizer.label for cell in here}) >= 6
        assert len({cell.seed for cell in here}) >= 3


@pytest.mark.parametrize(
    "first", ["reldrop_bench", "reldrop_bench.running.cell", "reldrop_bench.kinds.task"]
)
def test_public_functions_are_not_hidden_by_modules_of_their_name(first: str) -> None:
    code = f"import {first}; from reldrop_bench import regularizer, task; print(callable(regularizer), callable(task))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "True True", done.stdout + done.stderr
