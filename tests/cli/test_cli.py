"""The command line as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from reldrop_bench import OccludingRegularizer
from reldrop_bench.cli import app, main
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import docstrings_of

pytestmark = pytest.mark.usefixtures("plugin_folder")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command; returns exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    code = stop.value.code
    return (code if isinstance(code, int) else 0), captured.out, captured.err


@pytest.fixture
def spec_file(tiny_spec: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_spec))
    return path


def test_run_status_and_report(
    capsys: pytest.CaptureFixture[str], spec_file: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    code, stdout, _ = call(capsys, "run", str(spec_file), "-o", out, "--workers", "0")
    assert code == 0
    assert "4 cells: 4 to do, 0 cached" in stdout
    assert "4/4 cells" in stdout
    page = tmp_path / "out" / "report" / "report.html"
    assert str(page) in stdout
    assert "<html" in page.read_text(encoding="utf-8")

    code, stdout, _ = call(capsys, "run", str(spec_file), "-o", out, "--workers", "0")
    assert code == 0
    assert "0 to do, 4 cached" in stdout
    assert "(unchanged)" in stdout
    page.write_text("older", encoding="utf-8")
    (page.parent / ".stamp").write_text("older")
    call(capsys, "run", str(spec_file), "-o", out, "--workers", "0")
    assert "<html" in page.read_text(encoding="utf-8")

    code, stdout, _ = call(capsys, "status", out)
    assert code == 0
    assert "tiny: 4/4 cells done" in stdout
    code, stdout, _ = call(capsys, "report", out, "--format", "markdown", "-f", "latex")
    assert code == 0
    assert stdout.count("report: ") == 2
    # A report of another question is not the one that `run` would write.
    other = str(tmp_path / "other")
    code, _, _ = call(capsys, "report", out, "--sections", "verdict, cost", "--output", other)
    assert code == 0
    assert 'id="cost"' in (tmp_path / "other" / "report.html").read_text(encoding="utf-8")
    assert "(unchanged)" in call(capsys, "run", str(spec_file), "-o", out, "--workers", "0")[1]
    assert call(capsys, "report", out, "--metric", "accuracy", "--margin", "0.02")[0] == 0
    assert "(unchanged)" not in call(capsys, "run", str(spec_file), "-o", out, "--workers", "0")[1]
    code, _, stderr = call(capsys, "report", out, "--baseline", "nobody")
    assert code == 2
    assert "no label of these results" in stderr
    assert json.loads(call(capsys, "status", out, "--json")[1])["cells"] == {"done": 4}


def test_failed_cells_give_exit_code_one_and_a_report(
    capsys: pytest.CaptureFixture[str], tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        yaml.safe_dump(tiny_spec | {"regularizers": ["none", "misbehaving"], "seeds": 1})
    )
    out = tmp_path / "out"
    code, stdout, _ = call(capsys, "run", str(path), "-o", str(out), "--workers", "0")
    assert code == 1
    assert "deliberately <b>broken</b>" in stdout
    page = (out / "report" / "report.html").read_text(encoding="utf-8")
    assert "deliberately &lt;b&gt;broken&lt;/b&gt;" in page
    assert "deliberately <b>" not in page


@pytest.mark.parametrize(
    ("gone", "told"),
    [(4, "tiny: 0/4 cells done, 4 missing"), (1, "tiny: 3/4 cells done, 1 missing")],
)
def test_cells_that_are_gone_are_counted_by_every_command(
    gone: int, told: str, capsys: pytest.CaptureFixture[str], make_set: Any
) -> None:
    out = make_set("out")
    cells = sorted((out / "cells").iterdir())
    for cell in cells[:gone]:
        shutil.rmtree(cell)
    if gone == len(cells):
        (out / "cells").rmdir()
    assert told in call(capsys, "status", str(out))[1]
    code, stdout, _ = call(capsys, "report", str(out))
    assert (code, told in stdout) == (1, True)


def test_plan(capsys: pytest.CaptureFixture[str], spec_file: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    code, stdout, _ = call(capsys, "plan", str(spec_file), "-o", out, "--json")
    assert code == 0
    plan = json.loads(stdout)
    assert (plan["to_do"], plan["cached"]) == (4, 0)
    assert plan["seconds"] > 0
    assert plan["disk_bytes"] > 0
    code, stdout, _ = call(capsys, "plan", str(spec_file), "-o", out, "--only", "seed=0")
    assert "2 cells: 2 to do" in stdout
    assert not Path(out).exists()


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = call(capsys, "list", "regularizers")
    assert code == 0
    assert "reldrop-block" in stdout
    assert "Traceback" in stdout, "broken plugins come with their traceback"
    rows = json.loads(call(capsys, "list", "--json")[1])
    specs = [row["name"] for row in rows if row["kind"] == "specs"]
    assert {"quickstart", "relevance"} <= set(specs)
    rows = [row for row in rows if row["kind"] != "specs"]
    assert {row["kind"] for row in rows} == set(registry.KINDS)
    assert all(
        bool(row["modalities"]) == registry.KINDS[row["kind"]].has_inputs
        for row in rows
        if row["status"] == "ok"
    )
    assert [row["status"] for row in rows if row["name"] == "broken-import"] == ["broken"]
    code, stdout, _ = call(capsys, "list", "evaluations")
    for part in (
        "share of right predictions",
        "higher",
        "deterministic",
        "seeded",
        "RelevanceRank",
    ):
        assert part in stdout
    (quantus,) = [row for row in rows if row["name"] == "quantus" and row["kind"] == "evaluations"]
    assert all(
        set(metric) == {"metric", "measures", "better", "cost", "random", "inputs"}
        for metric in quantus["metrics"]
    )
    assert {"ROAD", "IROF", "Completeness"} <= {row["metric"] for row in quantus["refused"]}
    assert all(row["reason"] for row in quantus["refused"])


def test_relevance_is_another_name_for_attributors(capsys: pytest.CaptureFixture[str]) -> None:
    listed = call(capsys, "list", "relevance")
    assert listed == call(capsys, "list", "attributors")
    assert "lrp-epsilon-plus-flat" in listed[1]


def test_show_tells_of_parameters_in_their_authors_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, stdout, _ = call(capsys, "show", "reldrop-block")
    assert code == 0
    for part in ("2505.21595", "paper", "authors-code", "The chance of a sample to be hidden in."):
        assert part in stdout
    (found,) = json.loads(call(capsys, "show", "cutout", "--json")[1])
    assert found["parameters"] == [
        {
            "name": "size",
            "type": "float >= 0 <= 1",
            "default": 0.5,
            "help": "Side, as a fraction of the image's shorter one: 16 of 32 pixels on CIFAR-10.",
        },
        {
            "name": "fill",
            "type": "mean | channel-mean | noise | blur | other-sample | inpaint",
            "default": "mean",
            "help": docstrings_of(OccludingRegularizer)["fill"],
        },
    ]


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_built_in_plugin_can_be_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for entry in registry.entries(kind):
        found = json.loads(call(capsys, "show", entry.name, "--json")[1])
        (row,) = (row for row in found if row["kind"] == kind)
        if entry.built_in:
            assert all(parameter["help"] for parameter in row["parameters"]), entry.name
        assert ("inputs: " in call(capsys, "show", entry.name)[1]) or not row.get("modalities")


def test_doctor_finds_the_broken_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = call(capsys, "doctor")
    assert code == 1
    assert "broken-import is broken" in stdout
    assert "task tiny-blobs: ready" in stdout


def test_new_plugin_passes_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, stdout, _ = call(capsys, "new", "regularizer", "my-drop", "--folder", str(tmp_path))
    assert code == 0
    assert "my_drop.py" in stdout
    code, stdout, _ = call(capsys, "check", "my-drop", "--plugins", str(tmp_path))
    assert code == 0, stdout
    assert "0 failed" in stdout


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["run", "nowhere.yaml"], "no spec 'nowhere.yaml'"),
        (["run", "quickstart", "--set", "recipe.epoch=3"], "did you mean 'epochs'"),
        (["run", "quickstart", "--set", "epochs"], "key=value"),
        (["run", "quickstart", "--only", "task=digit"], "did you mean 'digits'"),
        (["run", "quickstart", "--only", "taks=digits"], "did you mean 'task'"),
        (["run", "quickstart", "--workers", "-1"], "workers = -1"),
        (["run", "quickstart", "--plugins", "no/such/folder"], "does not exist"),
        (["run", "quickstart", "--data", "no/such/folder"], "does not exist"),
        (["run", "quickstart", "-o", "/dev/null/x"], "Not a directory"),
        (["run", "~nosuch/x"], "no spec"),
        (["list", "regularizer"], "did you mean 'regularizers'"),
        (["list", "relevances"], "no kind of plugin is called 'relevances'"),
        (["show", "reldrop-blok"], "did you mean 'reldrop-block'"),
        (["check", "cutuot"], "did you mean 'cutout'"),
        (["new", "optimizer", "x"], "allowed: attributor, evaluation, executor, model"),
        (["status", "no/such/folder"], "holds no results"),
        (["report", "no/such/folder"], "holds no results"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_two(
    capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    code, _, stderr = call(capsys, *arguments)
    assert code == 2
    assert part in stderr
    assert stderr.startswith("error: ")
    assert len(stderr.strip().splitlines()) == 1


def test_unknown_report_format_is_one_line(
    capsys: pytest.CaptureFixture[str], spec_file: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    call(capsys, "run", str(spec_file), "-o", out, "--workers", "0", "--no-report")
    code, _, stderr = call(capsys, "report", out, "--format", "pdf")
    assert code == 2
    assert "'pdf'" in stderr


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in app.registered_commands:
        callback = command.callback
        assert callback is not None
        name = command.name or callback.__name__
        code, stdout, _ = call(capsys, name, "--help")
        assert code == 0
        assert "Example: reldrop-bench" in stdout
