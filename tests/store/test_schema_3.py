"""Results of the former schema are read as they are, and never lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from reldrop_bench import Report, UserError, compare, leaderboard, load_results, merge
from reldrop_bench.cli import main
from reldrop_bench.matrix.components import SCHEMA
from reldrop_bench.results import IDENTITY
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.environment import describe
from reldrop_bench.running.runner import run

pytestmark = pytest.mark.usefixtures("plugin_folder")

FORMER = Path(__file__).parent / "schema_3"
"""Two seeds of two regularizers, as the last version with schema 3 wrote them."""
EVALUATIONS = ("accuracy", "shifts", "gallery")
TIMED = {"seconds"}
"""Columns of the training log that no two runs share."""


@pytest.fixture
def former(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FORMER, tmp_path / "former"))


def benchmark() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FORMER / "benchmark.json").read_text(encoding="utf-8"))
    return content


def cells() -> dict[str, dict[str, Any]]:
    return {
        path.parent.name: json.loads(path.read_text(encoding="utf-8"))
        for path in FORMER.glob("cells/*/cell.json")
    }


def by_pandas(kind: str, folder: Path = FORMER) -> pd.DataFrame:
    """Read the rows of a kind from the tables themselves, in the order of the matrix."""
    parts = []
    for entry in json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))["matrix"]:
        for name in EVALUATIONS:
            frame = pd.read_parquet(folder / "cells" / entry["key"] / f"{name}.parquet")
            frame = frame[frame["table"] == kind].astype({"split": "str", "metric": "str"})
            identity = {column: entry[column] for column in IDENTITY}
            parts.append(frame.assign(**identity, evaluation=name))
    return pd.concat(parts, ignore_index=True)


def test_every_number_is_that_of_the_files() -> None:
    results = load_results(FORMER)
    for kind, frame in (
        ("metric", results.metrics),
        ("curve", results.curves),
        ("example", results.examples),
        ("sample", results.samples),
    ):
        expected = by_pandas(kind)[list(frame)]
        assert len(frame) == len(expected)
        assert len(frame) or kind == "curve"
        if len(frame):
            pd.testing.assert_frame_equal(frame, expected, check_exact=True)
    logs = [pd.read_parquet(FORMER / "cells" / key / "train.parquet") for key in results.cells.key]
    log = pd.concat(logs, ignore_index=True)
    columns = [name for name in results.epochs if name not in IDENTITY]
    pd.testing.assert_frame_equal(results.epochs[columns], log[columns], check_exact=True)
    records = cells()
    assert results.exit_code == 0
    for row in results.cells.to_dict("records"):
        record = records[row["key"]]
        for name, value in record["training"].items():
            if name in row:
                assert row[name] == value or (value is None and pd.isna(row[name]))
        assert (row["error"], row["warnings"]) == ("", [])
    assert results.tasks["tiny-blobs"]["classes"] == ["a", "b", "c"]
    assert results.tasks["tiny-blobs"]["recipe"]["epochs"] == 2
    assert results.parameters["cutout"]["size"] == 0.5
    assert results.spec == benchmark()["spec"]
    assert list(results.environments) == [next(iter(records.values()))["environment"]]


def test_a_report_is_written_of_it(former: Path, tmp_path: Path) -> None:
    path = Report(load_results(former), ["accuracy", "completeness"]).write(tmp_path / "report")
    text = path.read_text(encoding="utf-8")
    assert "4/4" in text or "4 of 4" in text
    assert "cutout" in text


def test_it_stands_beside_the_new_schema_and_is_not_taken_for_it(
    former: Path, tmp_path: Path
) -> None:
    run(benchmark()["spec"], output=tmp_path / "new", workers=0)
    both = compare([former, tmp_path / "new"])
    assert set(both.cells["task"]) == {"tiny-blobs", "tiny-blobs (new)"}
    assert len(both.cells) == 8
    assert f"schema 3 → {SCHEMA}" in both.remarks[0]
    assert set(both.examples["key"]) == set(both.cells["key"])
    index = leaderboard([former, tmp_path / "new"], tmp_path / "board")
    rows = json.loads((index.parent / "leaderboard.json").read_text(encoding="utf-8"))
    assert [each["schema"] for each in rows["sets"]] == [3, SCHEMA]
    assert {row["done"] for row in rows["rows"]} == {2}
    with pytest.raises(UserError, match=f"schema 3 → {SCHEMA}"):
        merge([former, tmp_path / "new"], tmp_path / "merged")


def test_two_of_them_are_merged(former: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(former, tmp_path / "other"))
    shutil.rmtree(former / "cells" / benchmark()["matrix"][0]["key"])
    both = merge([former, other], tmp_path / "both")
    assert both.exit_code == 0
    pd.testing.assert_frame_equal(both.metrics, load_results(FORMER).metrics, check_exact=True)
    assert json.loads((tmp_path / "both" / "benchmark.json").read_text())["schema"] == 3


def test_the_plan_says_that_the_schema_is_why_cells_run_again(
    former: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = prepare(benchmark()["spec"], Options(output=former, workers=0)).plan()
    assert [planned.action for planned in plan.cells] == ["train"] * 4
    assert all(planned.reason.startswith(f"schema 3 → {SCHEMA}") for planned in plan.cells)
    assert plan.seconds is not None, "times of former cells tell"
    with pytest.raises(SystemExit) as stop:
        main(["status", str(former)])
    assert stop.value.code == 0
    assert "4/4 cells done" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(former), "-e", "calibration"])
    assert stop.value.code == 2
    assert f"schema 3 → {SCHEMA}" in capsys.readouterr().err


@pytest.fixture
def again(former: Path) -> Path:
    """The same spec, run again in the same folder."""
    results = run(benchmark()["spec"], output=former, workers=0)
    assert results.exit_code == 0
    return former


def test_a_run_computes_the_cells_again_and_keeps_the_former_ones(again: Path) -> None:
    for path in FORMER.glob("cells/*/*"):
        assert (again / path.relative_to(FORMER)).read_bytes() == path.read_bytes()
    keys = set(load_results(again).cells["key"])
    assert len(keys) == 4
    assert not keys & set(cells())


def test_the_same_bits_come_out(again: Path) -> None:
    known = next(iter(cells().values()))["environment"]
    here = describe(torch.device("cpu"), 1)
    different = {
        name: f"{known.get(name)}, here {value}"
        for name, value in here.items()
        if name != "reldrop-bench" and known.get(name) != value
    }
    if different:
        pytest.skip(f"computed elsewhere: {different}")
    results = load_results(again)
    places = {
        (entry["label"], entry["seed"]): FORMER / "cells" / entry["key"]
        for entry in benchmark()["matrix"]
    }
    # Since schema 5 who is hidden in comes from a stream of its own: of cutout other samples.
    kept = results.cells[results.cells["label"] == "none"]
    assert len(kept) == 2
    for row in kept.to_dict("records"):
        former, new = places[row["label"], row["seed"]], again / "cells" / row["key"]
        for name in (*EVALUATIONS, "train"):
            before, after = (pd.read_parquet(path / f"{name}.parquet") for path in (former, new))
            columns = [column for column in before if column not in TIMED]
            pd.testing.assert_frame_equal(after[columns], before[columns], check_exact=True)
        weights = [(path / "model.safetensors").read_bytes() for path in (former, new)]
        assert weights[0] == weights[1]
