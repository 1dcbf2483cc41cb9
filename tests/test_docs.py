"""The documentation is true: links resolve, commands and keys exist, examples run."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
import typer
import yaml

import reldrop_bench
from reldrop_bench import checking as contract
from reldrop_bench.cli import app
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import BenchmarkSpec, Limits, load_spec
from reldrop_bench.plugins import registry

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
pytestmark = pytest.mark.skipif(
    not (ROOT / "docs").is_dir(), reason="the documentation is in the source tree alone"
)


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [body for _, body in found]


def examples(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{page.name}-{number}")
        for page in PAGES
        for number, block in enumerate(blocks(page, language), 1)
    ]


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), target
        assert linked.is_relative_to(ROOT), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def test_every_page_is_linked() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name


FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """Return the words behind every `reldrop-bench` of a page, from blocks and from spans of code."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    parts = [part.strip() for line in lines + spans for part in line.split("&&")]
    return [shlex.split(part)[1:] for part in parts if part.startswith("reldrop-bench ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_their_options_exist(page: Path) -> None:
    known: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
    for name, *words in commands(page):
        if name.startswith("-"):
            continue
        assert name in known, name
        options = {option for parameter in known[name].params for option in parameter.opts}
        for word in words:
            assert not word.startswith("-") or word in options | {"--help"}, f"{name} {word}"


def test_the_commands_of_the_docs_are_found() -> None:
    found = [name for page in PAGES for name, *_ in commands(page)]
    assert {"run", "check", "new", "plan"} <= set(found)


def kind_of_example(block: str) -> registry.Kind | None:
    """Return what kind of plugin an example defines, if any."""
    found = re.search(r"^class \w+\((\w+)\):", block, re.MULTILINE)
    base = getattr(reldrop_bench, found[1], None) if found else None
    if not isinstance(base, type):
        return None
    return next((k for k in registry.KINDS.values() if issubclass(base, k.base_class())), None)


def test_every_kind_of_plugin_has_an_example() -> None:
    found = map(kind_of_example, blocks(ROOT / "docs" / "plugins.md", "python"))
    assert {kind.name for kind in found if kind} == set(registry.KINDS)


@pytest.mark.parametrize("block", examples("python"))
def test_python_examples_run(
    block: str, tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    kind = kind_of_example(block)
    if kind:
        folder = tmp_path / kind.folder
        folder.mkdir()
        (folder / "example_of_the_docs.py").write_text(block, encoding="utf-8")
        add_plugins(tmp_path)
        (entry,) = (e for e in registry.entries(kind.name) if e.file.stem == "example_of_the_docs")
        results = contract.run_checks(kind.name, entry.name)
        assert [result for result in results if result.status == "failed"] == []
        return
    script = tmp_path / "example.py"
    script.write_text(block, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", examples("yaml"))
def test_specs_in_the_docs_are_valid(block: str) -> None:
    assert expand(load_spec(yaml.safe_load(block))).cells


@pytest.mark.parametrize("model", [BenchmarkSpec, Recipe, Limits], ids=lambda model: model.__name__)
def test_every_key_is_documented_with_its_default(model: type[pydantic.BaseModel]) -> None:
    page = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE))
    for name, field in model.model_fields.items():
        assert name in rows, name
        told = rows[name].strip()
        if told.startswith("`"):
            default = field.get_default(call_default_factory=True)
            if isinstance(default, pydantic.BaseModel):
                default = default.model_dump(exclude_defaults=True)
            if isinstance(default, tuple):
                default = list(default)
            shown = yaml.safe_load(told.strip("`"))
            assert json.dumps(shown) == json.dumps(default), name
        else:
            assert field.is_required() == (told == "required"), name


def test_the_readme_has_two_commands_and_ci_runs_the_second() -> None:
    run, test = blocks(ROOT / "README.md", "sh")
    assert run.strip() == "python -m pip install . && reldrop-bench run quickstart"
    assert test.strip() == "python -m pip install tox && tox"
    assert test.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def places() -> list[tuple[str, str, list[str]]]:
    """Return the rows of CONTRIBUTING's first table: what to do, what to open, and the names there."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")[1]
    rows = re.findall(r"^\| ([^|]+) \| `([^`|]+)` \| ([^|]+) \|$", section, re.MULTILINE)
    return [(what, where, re.findall(r"`(\w+)`", names)) for what, where, names in rows]


def defined(file: Path) -> set[str]:
    """Return the names that a module defines itself."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize(("what", "where", "names"), places())
def test_the_place_to_open_holds_the_thing(what: str, where: str, names: list[str]) -> None:
    place = ROOT / where
    if place.is_file():
        assert names
        assert set(names) <= defined(place)
        return
    assert place.is_dir()
    for name in names:  # a base class of plugins, of which there are some
        classes = (
            node
            for file in place.glob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef)
        )
        assert any(name in map(ast.unparse, node.bases) for node in classes)


def test_a_newcomer_is_sent_to_one_place() -> None:
    rows = {what: (ROOT / where, names) for what, where, names in places()}
    asked = (
        "add a fill",
        "add an outcome to the verdict",
        "add a corruption",
        "change what cell.json holds",
        "add a model",
    )
    for place, names in (rows[what] for what in asked):
        elsewhere = (file for file in (ROOT / "reldrop_bench").rglob("*.py") if file != place)
        again = [file.name for file in elsewhere if place.is_file() and defined(file) & set(names)]
        assert again == [], f"{names} are not in {place} alone"


def test_every_room_is_described() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    described = re.findall(r"^\|[^|]*\| `(\w+)` \|", page, re.MULTILINE)
    rooms = {
        path.stem
        for path in (ROOT / "reldrop_bench").iterdir()
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").is_file())
    }
    assert sorted(described) == sorted(rooms)


def test_the_checks_of_the_docs_are_those_of_tox_and_pre_commit() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`[^|]*) \|", page, re.MULTILINE)))
    run = tox["tox"]["env_list"].split(", ")
    assert set(run) <= set(named)
    assert {section.partition(":")[2] for section in tox.sections() if ":" in section} <= set(named)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "a host would be needed"
    commands = " ".join(hook["entry"] for hook in hooks[0]["hooks"])
    for command in ("ruff check", "ruff format", "mypy", "lint-imports"):
        assert command in tox["testenv:lint"]["commands"]
        assert command in commands


def test_citation_and_version_agree_with_the_package() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    license_text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in license_text
    assert "END OF TERMS AND CONDITIONS" in license_text


def test_every_promise_has_its_test() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| sentence")
    ]
    assert len(rows) > 20
    for sentence, page, tests in rows:
        assert (ROOT / page.partition(",")[0]).is_file(), sentence
        for test in tests.split("; "):
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file(), test
            assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_tests_that_decisions_name_are_there() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    named = re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text)
    assert len(named) > 20
    for file, name in named:
        assert (ROOT / file).is_file(), file
        assert not name or f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), name


def test_the_docs_hold_no_absolute_paths() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.:/])/(home|root|work|opt|tmp|usr)/", text), page.name
