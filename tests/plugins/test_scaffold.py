"""What `new` writes works as it is, whatever the name; nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from reldrop_bench import checking as contract
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import docstrings_of, parameters_of
from reldrop_bench.plugins.scaffold import KINDS, create_plugin

TEMPLATES = [*KINDS, "regularizer-penalty"]
"""By the word for a kind, and the form where there is another than the usual one."""


def create(template: str, name: str, folder: Path) -> Path:
    word, _, form = template.partition("-")
    return create_plugin(word, name, folder, form)


def kind_of(template: str) -> registry.Kind:
    return KINDS[template.partition("-")[0]]


@pytest.fixture
def folder(tmp_path: Path, add_plugins: Callable[[Path], None]) -> Path:
    """Return an empty plugin folder that is on the plugin path for the length of a test."""
    add_plugins(tmp_path)
    return tmp_path


def test_every_kind_has_a_template() -> None:
    assert {kind.name for kind in KINDS.values()} == set(registry.KINDS)
    templates = resources.files("reldrop_bench.plugins").joinpath("templates")
    assert {path.stem for path in templates.iterdir()} == set(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_fresh_file_passes_its_contract(template: str, folder: Path) -> None:
    name = f"scaffold-{folder.name.replace('_', '-')}"
    path = create(template, name, folder)
    kind = kind_of(template)
    assert path.parent == folder / kind.folder
    (entry,) = registry.find_all(name)
    assert (entry.kind, entry.file, entry.error) == (kind.name, path, "")
    assert not entry.built_in
    results = contract.run_checks(kind.name, name)
    assert [result for result in results if result.status == "failed"] == []
    assert sum(result.status == "passed" for result in results) >= 5


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_fresh_file_explains_each_of_its_parameters(template: str, folder: Path) -> None:
    name = f"explained-{folder.name.replace('_', '-')}"
    create(template, name, folder)
    cls = registry.find(kind_of(template).name, name).cls
    assert cls is not None
    assert set(parameters_of(cls)) <= set(docstrings_of(cls))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", ["batch", "task", "true", "regularizer", "x", "a-1", "tensor"])
def test_any_name_that_is_allowed_gives_a_file_that_defines_its_plugin(
    template: str, name: str, tmp_path: Path
) -> None:
    source = create(template, name, tmp_path).read_text(encoding="utf-8")
    compile(source, name, "exec")
    assert f'    name = "{name}"\n' in source
    assert "ClassVar" not in source
    assert "$" not in source


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_fresh_file_is_formatted(template: str, tmp_path: Path) -> None:
    path = create(template, "my-own-plugin", tmp_path)
    command = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length", "100", str(path)]
    for action in (["check", "--select", "E,F,I,UP,B"], ["format", "--check"]):
        done = subprocess.run([*command, *action, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_existing_files_and_names_are_refused(tmp_path: Path) -> None:
    path = create_plugin("regularizer", "my-drop", tmp_path)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="exists already"):
        create_plugin("regularizer", "my-drop", tmp_path)
    assert path.read_text(encoding="utf-8") == "mine"
    taken = registry.names("regularizers")[0]
    with pytest.raises(UserError, match="exists already"):
        create_plugin("regularizer", taken, tmp_path)


@pytest.mark.parametrize(
    "name", ["", "My-Drop", "1st", "a--b", "../up", "a b", "a_b", "-a", "a-", "é", "a\n"]
)
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="such as my-drop"):
        create_plugin("regularizer", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_unknown_kinds_are_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="regularizer"):
        create_plugin("regulariser", "my-drop", tmp_path)


def test_unknown_forms_are_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"form 'penalti'; did you mean 'penalty'\?"):
        create_plugin("regularizer", "my-drop", tmp_path, "penalti")
    with pytest.raises(UserError, match="leave it out: a task has one template"):
        create_plugin("task", "my-task", tmp_path, "penalty")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        create_plugin("regularizer", "my-drop", tmp_path / "file")
