"""A stranger's plugin folder: what is wrong in it is told there, and ends or changes nothing else.

Which file an import takes is Python's own word (`importlib.util.find_spec`), not the registry's.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reldrop_bench import plugins
from reldrop_bench.cli import main
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.sources import source_hash

PLUGIN = '''
from reldrop_bench import Regularizer

class Mine(Regularizer):
    """Changes nothing."""
    name = "{name}"
'''
Add = Callable[[Path], None]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def regularizers(folder: Path, text: str, name: str = "mine.py") -> Path:
    return write(folder / "regularizers" / name, text)


def table(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `list` prints of the regularizers."""
    with pytest.raises(SystemExit) as stop:
        main(["list", "regularizers"])
    output = capsys.readouterr()
    assert stop.value.code in (0, 1), output.err
    return output.out


# Two of one name


@pytest.mark.parametrize(
    "place",
    [
        "regularizers/_u.py",
        "regularizers/_u/__init__.py",
        "regularizers/_u/inner.py",
        "regularizers/_u/deep/inner.py",
        "_u.py",
        "_u/inner.py",
    ],
)
def test_helpers_of_one_name_are_an_error_that_names_both(
    tmp_path: Path, add_plugins: Add, place: str
) -> None:
    files = [write(tmp_path / home / place, "K = 1\n") for home in ("first", "second")]
    module = "reldrop_bench.plugins." + place.removesuffix(".py").removesuffix("/__init__")
    for home in ("first", "second"):
        (tmp_path / home / "regularizers").mkdir(exist_ok=True)
        add_plugins(tmp_path / home)
    spec = importlib.util.find_spec(module.replace("/", "."))
    assert spec is not None
    assert spec.origin == str(files[0]), "Python takes the first for both"
    with pytest.raises(UserError) as error:
        registry.entries("regularizers")
    message = str(error.value)
    assert all(str(file) in message for file in files)
    assert "rename one" in message
    assert len(message.splitlines()) == 1


def test_files_that_nobody_imports_may_share_a_name(tmp_path: Path, add_plugins: Add) -> None:
    for home in ("first", "second"):
        regularizers(tmp_path / home, PLUGIN.format(name=f"of-{home}"), f"{home}.py")
        write(tmp_path / home / "setup.py", "1 / 0\n")
        write(tmp_path / home / "__init__.py", "")
        write(tmp_path / home / "regularizers" / "notes" / "read.txt", "")
        add_plugins(tmp_path / home)
    assert {"of-first", "of-second"} <= set(registry.names("regularizers"))


def test_a_folder_of_plugins_that_hides_all_others_is_told(
    tmp_path: Path, add_plugins: Add
) -> None:
    file = write(tmp_path / "regularizers" / "__init__.py", "")
    add_plugins(tmp_path)
    with pytest.raises(UserError, match="remove it") as error:
        registry.entries("regularizers")
    assert str(file) in str(error.value)


# The source of a plugin

IMPORTS = {
    "from ._pkg.sub import K": ["_pkg/__init__.py", "_pkg/sub.py", "_pkg/deep.py"],
    "from ._pkg import sub": ["_pkg/__init__.py", "_pkg/sub.py", "_pkg/deep.py"],
    "from._pkg.sub import K": ["_pkg/__init__.py", "_pkg/sub.py", "_pkg/deep.py"],
    "from._h import Z": ["_h.py"],
    "from\\\n ._h import Z": ["_h.py"],
    "from reldrop_bench.plugins.regularizers._pkg.sub import K": [
        "_pkg/__init__.py",
        "_pkg/deep.py",
    ],
    "import reldrop_bench.plugins.regularizers._pkg.sub": ["_pkg/__init__.py", "_pkg/deep.py"],
    "from reldrop_bench . plugins . regularizers . _h import Z": ["_h.py"],
    "if 0:\n    pass\nelse:\n    from ._h import Z": ["_h.py"],
}


@pytest.mark.parametrize("text", IMPORTS)
def test_every_file_that_python_reads_for_an_import_counts(
    tmp_path: Path, add_plugins: Add, text: str
) -> None:
    folder = tmp_path / "first" / "regularizers"
    file = regularizers(tmp_path / "first", f"{text}\n{PLUGIN.format(name='mine')}")
    write(folder / "_pkg" / "__init__.py", "from .deep import D\n")
    write(folder / "_pkg" / "sub.py", "from . import D as K\n")
    write(folder / "_pkg" / "deep.py", "D = 1\n")
    write(folder / "_h.py", "Z = 1\n")
    add_plugins(tmp_path / "first")
    importlib.invalidate_caches()
    before = set(sys.modules)
    importlib.import_module("reldrop_bench.plugins.regularizers.mine")
    loaded = {
        str(Path(str(sys.modules[name].__file__)).relative_to(folder))
        for name in set(sys.modules) - before
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder))
    }
    assert loaded >= set(IMPORTS[text]), "what Python has read"
    for name in loaded:
        hashed = source_hash(file)
        with (folder / name).open("a") as opened:
            opened.write("# changed\n")
        assert source_hash(file) != hashed, name


@pytest.mark.parametrize("text", ["from ._far import X", "from .._far import X"])
def test_a_helper_in_another_folder_counts(tmp_path: Path, add_plugins: Add, text: str) -> None:
    file = regularizers(tmp_path / "first", f"{text}\n{PLUGIN.format(name='mine')}")
    inside = "regularizers/_far.py" if " ._far" in text else "_far.py"
    helper = write(tmp_path / "second" / inside, "X = 1\n")
    add_plugins(tmp_path / "first")
    add_plugins(tmp_path / "second")
    assert registry.find("regularizers", "mine").error == ""
    before = source_hash(file)
    helper.write_text("X = 2\n")
    assert source_hash(file) != before


def test_where_the_files_lie_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from ._a import X\nfrom ._b import Y\n" + PLUGIN.format(name="mine")
    hashes = set()
    for first, second in (("p", "q"), ("z", "y")):  # once in alphabetical order, once not
        file = regularizers(tmp_path / first, text)
        regularizers(tmp_path / first, "X = 1\n", "_a.py")
        regularizers(tmp_path / second, "Y = 1\n", "_b.py")
        monkeypatch.setattr(plugins, "__path__", [str(tmp_path / first), str(tmp_path / second)])
        hashes.add(source_hash(file))
    assert len(hashes) == 1


def test_a_file_that_is_gone_has_changed(tmp_path: Path, add_plugins: Add) -> None:
    file = regularizers(tmp_path, PLUGIN.format(name="mine"))
    add_plugins(tmp_path)
    entry = registry.find("regularizers", "mine")
    entry.check_unchanged()
    file.unlink()
    with pytest.raises(UserError, match="changed after it was imported"):
        entry.check_unchanged()


# Broken files

BROKEN = {
    "far beyond the root": f"from {'.' * 59} import x\n",
    "up to the root": "\n".join(
        f"try:\n    from {'.' * up} import x\nexcept ImportError:\n    pass" for up in range(1, 60)
    )
    + "\n1/0\n",
    "pytest.skip": "import pytest\npytest.skip('not here', allow_module_level=True)\n",
    "a cancelled task": "import asyncio\nraise asyncio.CancelledError\n",
    "an exit": "raise SystemExit(0)\n",
    "a closed generator": "raise GeneratorExit\n",
    "an error without words": (
        "class Odd(BaseException):\n    def __str__(self): raise SystemExit\nraise Odd\n"
    ),
    "half a character": "raise ValueError('\\ud800')\n",
    "a null byte": "\0",
    "brackets": "(" * 5000,
    "a name that is too long": f"from .{'a' * 5000} import x\n",
}
FACTS = {
    "no modalities": "modalities = None",
    "modalities as text": "modalities = 'image'",
    "modalities of numbers": "modalities = {1, 2}",
    "presets as a list": "presets = ['a']",
    "a preset that is none": "presets = {'strong': 3}",
    "what it requires": "requires = 'masks'",
    "off": "off = 1",
    "a docstring that is none": "__doc__ = 3",
    "a parameter of an unknown type": "size: 'NoSuchType' = 3",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_a_broken_entry(
    tmp_path: Path, add_plugins: Add, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    regularizers(tmp_path, text, "bad_one.py")
    add_plugins(tmp_path)
    entry = registry.find("regularizers", "bad-one")
    assert entry.cls is None
    assert entry.error
    assert entry.error.isprintable() or "\n" in entry.error
    assert "cutout" in registry.names("regularizers")
    assert "bad-one" in table(capsys)
    entry.check_unchanged()


@pytest.mark.parametrize("line", FACTS.values(), ids=FACTS)
def test_a_fact_of_the_wrong_type_is_a_broken_entry(
    tmp_path: Path, add_plugins: Add, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLUGIN.format(name="mine")
    if line.startswith("__doc__"):
        text = text.replace('    """Changes nothing."""\n', "")
    regularizers(tmp_path, f"{text}    {line}\n")
    add_plugins(tmp_path)
    entry = registry.find("regularizers", "mine")
    assert entry.cls is None
    subject = line.split(" ", 1)[0].rstrip(":")
    assert subject in entry.reason or "NoSuchType" in entry.reason
    assert "cutout" in registry.names("regularizers")
    assert "mine" in table(capsys)


@pytest.mark.parametrize(
    ("folder", "base", "lines", "missing"),
    [
        ("evaluations", "Evaluation", "def evaluate(self, context, record): ...", "metrics = None"),
        ("reports", "ReportSection", "def render(self, *a): ...", ""),
    ],
)
def test_facts_of_every_kind_are_looked_at(
    tmp_path: Path, add_plugins: Add, folder: str, base: str, lines: str, missing: str
) -> None:
    text = (
        f"from reldrop_bench import {base}\nclass Mine({base}):\n    name = 'mine'\n    {lines}\n"
    )
    write(tmp_path / folder / "mine.py", text + f"    {missing}\n")
    add_plugins(tmp_path)
    (entry,) = registry.find_all("mine")
    assert entry.cls is None
    assert entry.reason.startswith("TypeError: ")


def test_ctrl_c_while_plugins_are_imported_is_heard(tmp_path: Path, add_plugins: Add) -> None:
    regularizers(tmp_path, "raise KeyboardInterrupt\n")
    add_plugins(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        registry.entries("regularizers")


# Which classes are plugins


def test_another_name_for_a_class_is_the_same_plugin(tmp_path: Path, add_plugins: Add) -> None:
    regularizers(tmp_path, PLUGIN.format(name="mine") + "\nOld = Older = Mine\n")
    add_plugins(tmp_path)
    assert registry.names("regularizers").count("mine") == 1
    assert registry.create("regularizers", "mine")


def test_a_class_without_a_name_is_told(tmp_path: Path, add_plugins: Add) -> None:
    for file in ("one.py", "two.py"):
        regularizers(tmp_path, PLUGIN.replace('    name = "{name}"\n', ""), file)
    add_plugins(tmp_path)
    for stem in ("one", "two"):
        entry = registry.find("regularizers", f"{stem}.Mine")
        assert entry.cls is None
        assert entry.reason.endswith("class Mine has no name: write 'name = \"…\"' in it")


ABSTRACT = """
from abc import abstractmethod
from reldrop_bench import Evaluation

class Base(Evaluation):
    {name}
    @abstractmethod
    def part(self): ...
    def evaluate(self, context, record): ...
"""


def test_a_class_that_lacks_a_method_is_told(tmp_path: Path, add_plugins: Add) -> None:
    write(tmp_path / "evaluations" / "mine.py", ABSTRACT.format(name="name = 'mine'"))
    add_plugins(tmp_path)
    (entry,) = registry.find_all("mine")
    assert entry.cls is None
    assert entry.reason == "TypeError: class Base lacks what every evaluation has: part"


@pytest.mark.parametrize("name", ["", "name = 'mine'"])
def test_a_base_of_others_in_its_file_is_no_plugin(
    tmp_path: Path, add_plugins: Add, name: str
) -> None:
    own = "" if name else "name = 'mine'"
    derived = f"\nclass Mine(Base):\n    {own}\n    def part(self): ...\n"
    write(tmp_path / "evaluations" / "mine.py", ABSTRACT.format(name=name) + derived)
    add_plugins(tmp_path)
    mine = [entry for entry in registry.entries("evaluations") if not entry.built_in]
    assert [(entry.name, entry.error) for entry in mine] == [("mine", "")]
    assert mine[0].cls is not None
    assert mine[0].cls.__name__ == "Mine"
