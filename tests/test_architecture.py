"""The shape of the house: the harness names no plugin, starts quickly, and ships whole."""

from __future__ import annotations

import ast
import os
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
NAMED = ("models", "relevance", "evaluation")
"""Rooms whose files are plugins themselves."""
WORDS = {
    # Matplotlib's and YAML's word for nothing, the default baseline, and words for "nothing there".
    "none": {"environment.py", "errors.py", "spec.py", "report/figures.py", "report/style.py"},
}
"""Names that are words of another meaning as well, with the files where they are."""
in_source_tree = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree"
)


def literals(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the texts of a module with their lines."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def harness_files() -> Iterator[Path]:
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).parts
        plugins = parts[0] == "plugins" and len(parts) > 2  # where a wheel holds them
        if parts[0] not in NAMED and not plugins:
            yield file


def test_no_plugin_is_named_in_the_harness() -> None:
    # A section may be called like the evaluation that it shows, such as accuracy: those words stand
    # for columns and facts, too.
    evaluations = {name for kind in ("evaluations",) for name in registry.names(kind)}
    known = {
        name
        for kind in ("regularizers", "tasks", "sections")
        for entry in registry.entries(kind)
        if (name := entry.name) not in evaluations and entry.file.is_relative_to(builtin_folder())
    }
    found = [
        f"{file.relative_to(PACKAGE)}:{line}: {text!r}"
        for file in harness_files()
        for text, line in literals(file)
        if text in known and file.relative_to(PACKAGE).as_posix() not in WORDS.get(text, set())
    ]
    assert found == []


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
    cells = expand(spec)
    for task in {cell.task.label for cell in cells}:
        seeds: dict[str, set[int]] = {}
        for cell in cells:
            if cell.task.label == task:
                seeds.setdefault(cell.regularizer.label, set()).add(cell.seed)
        assert spec.baseline in seeds
        assert len(set(map(frozenset, seeds.values()))) == 1


def test_quickstart_has_enough_of_everything() -> None:
    cells = expand(load_spec("quickstart"))
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
