"""Plugins: found, listed when broken, refused when ambiguous."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.plugins import add_folder, builtin_folder, registry
from reldrop_bench.plugins.scaffold import create_plugin

PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from reldrop_bench import Batch, Regularizer, Step
from reldrop_bench.plugins.base import Probability

@dataclass(frozen=True)
class {cls}(Regularizer):
    """Blanks whole images."""
    name: ClassVar[str] = "{name}"
    modalities: ClassVar = {{"image"}}
    probability: Probability = 0.5
'''


def write_plugin(folder: Path, name: str, file: str = "mine.py", cls: str = "Mine") -> Path:
    path = folder / "regularizers" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PLUGIN.format(name=name, cls=cls))
    return path


@pytest.mark.parametrize("kind", list(registry.KINDS))
def test_every_kind_has_working_plugins_with_a_description(kind: str) -> None:
    entries = registry.entries(kind)
    assert entries
    for entry in entries:
        assert entry.cls is not None, entry.error
        assert entry.cls.description()
        assert entry.name == entry.name.lower()


def test_a_folder_brings_its_plugins(tmp_path: Path, add_plugins: Callable[[Path], None]) -> None:
    path = write_plugin(tmp_path, "blank")
    with pytest.raises(UserError):
        registry.find("regularizers", "blank")
    add_plugins(tmp_path)
    entry = registry.find("regularizers", "blank")
    assert entry.file == path
    made = registry.create("regularizers", "blank", {"probability": 1})
    assert made.probability == 1.0
    assert isinstance(made.probability, float)
    assert pickle.loads(pickle.dumps(made)) == made


def test_a_broken_plugin_is_listed_with_its_traceback(plugin_folder: Path) -> None:
    entry = registry.find("regularizers", "broken-import")
    assert entry.cls is None
    assert "no_such_room" in entry.error
    assert "Traceback" in entry.error
    assert "broken-import" not in registry.names("regularizers")
    with pytest.raises(UserError, match=r"broken_import\.py.*no_such_room"):
        registry.create("regularizers", "broken-import")


@pytest.mark.parametrize("text", ["this is ( no python", "raise SystemExit(3)", "1/0"])
def test_whatever_a_module_does_at_import_ends_nothing(
    tmp_path: Path, add_plugins: Callable[[Path], None], text: str
) -> None:
    path = tmp_path / "regularizers" / "bad_one.py"
    path.parent.mkdir()
    path.write_text(text)
    add_plugins(tmp_path)
    assert registry.find("regularizers", "bad-one").error
    assert registry.find("regularizers", "cutout").cls is not None


def test_two_plugins_of_one_name_are_an_error_that_names_both_files(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = write_plugin(tmp_path, "cutout")
    add_plugins(tmp_path)
    with pytest.raises(UserError) as error:
        registry.entries("regularizers")
    assert str(path) in str(error.value)
    assert str(builtin_folder() / "regularizers" / "cutout.py") in str(error.value)


def test_two_files_of_one_name_are_an_error_that_names_both(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = write_plugin(tmp_path, "other-name", file="cutout.py")
    add_plugins(tmp_path)
    with pytest.raises(UserError) as error:
        registry.entries("regularizers")
    assert str(path) in str(error.value)
    assert str(builtin_folder() / "regularizers" / "cutout.py") in str(error.value)


def test_a_missing_plugin_folder_is_told() -> None:
    with pytest.raises(UserError, match="does not exist"):
        add_folder("no/such/folder")


def test_source_hash_follows_the_file_and_what_it_imports(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = write_plugin(tmp_path, "blank")
    shared = tmp_path / "regularizers" / "_shared.py"
    shared.write_text("X = 1\n")
    path.write_text(
        path.read_text() + "\nfrom reldrop_bench.plugins.regularizers._shared import X\n"
    )
    add_plugins(tmp_path)
    before = registry.source_hash(path)
    moved = tmp_path / "elsewhere.py"
    moved.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert registry.source_hash(moved) == before, "neither place nor line ends count"
    shared.write_text("X = 2\n")
    changed = registry.source_hash(path)
    assert changed != before
    path.write_text(path.read_text() + "# more\nfrom ._near import Y\n")
    (tmp_path / "regularizers" / "_near.py").write_text("Y = 1\n")
    again = registry.source_hash(path)
    assert again != changed
    (tmp_path / "regularizers" / "_near.py").write_text("Y = 2\n")
    assert registry.source_hash(path) != again


@pytest.mark.parametrize("kind", registry.KINDS.values(), ids=lambda kind: kind.word)
def test_a_users_folder_may_hold_any_kind(
    kind: registry.Kind, tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = create_plugin(kind.word, "mine-of-its-kind", tmp_path)
    assert path.parent.name == kind.folder
    add_plugins(tmp_path)
    (entry,) = registry.find_all("mine-of-its-kind")
    assert (entry.kind, entry.file, entry.error, entry.built_in) == (kind.name, path, "", False)
    assert isinstance(registry.create(kind.name, entry.name), kind.base_class())
    assert all(each.built_in for each in registry.entries(kind.name) if each.file != path)


PACKAGE = """
from .inner import Inner
from .._beside import SHARE

class Outer(Inner):
    \"\"\"In the package's own file.\"\"\"
    name = "outer"
    share: float = SHARE
"""
INNER = """
from reldrop_bench import Regularizer

class Inner(Regularizer):
    \"\"\"In a file of the package.\"\"\"
    name = "inner"
"""


def test_a_package_is_a_plugin_whose_source_is_all_of_it(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    folder = tmp_path / "regularizers"
    package = folder / "grown"
    package.mkdir(parents=True)
    beside, unused = folder / "_beside.py", package / "more.py"
    for file, text in (
        (package / "__init__.py", PACKAGE),
        (package / "inner.py", INNER),
        (unused, ""),
        (beside, "SHARE = 0.5"),
    ):
        file.write_text(text)
    add_plugins(tmp_path)
    for name in ("outer", "inner"):
        entry = registry.find("regularizers", name)
        assert entry.file == package / "__init__.py"
        assert registry.create("regularizers", name)
    for file in (package / "inner.py", unused, beside):
        before = registry.source_hash(entry.file)
        file.write_text(file.read_text() + "# changed")
        assert registry.source_hash(entry.file) != before, file.name
    with pytest.raises(UserError, match="changed after it was imported"):
        entry.check_unchanged()


def test_a_package_and_a_file_of_one_name_are_told_apart_by_their_plugins(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    package = tmp_path / "regularizers" / "cutout"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(INNER)
    add_plugins(tmp_path)
    with pytest.raises(UserError, match=r"cutout\.py and .*cutout.__init__\.py; rename one"):
        registry.entries("regularizers")


@pytest.mark.parametrize("line", ["name = 'odd-one'", 'name: ClassVar[str] = "odd-one"'])
def test_a_broken_file_is_listed_by_the_name_that_it_declares(
    line: str, tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other.py").write_text(f"class Odd(Model):\n    {line}\n    (\n")
    add_plugins(tmp_path)
    (entry,) = registry.find_all("odd-one")
    assert (entry.kind, entry.cls) == ("models", None)
    with pytest.raises(UserError, match="no plugin is called 'odd-two'; did you mean 'odd-one'"):
        registry.find_all("odd-two")
