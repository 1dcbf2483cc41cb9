"""Measuring more on what was trained before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from reldrop_bench import evaluate, load_results
from reldrop_bench.cli import main
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.runner import run

pytestmark = pytest.mark.usefixtures("plugin_folder")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(str(stop.value.code))


@pytest.fixture
def trained(tiny_spec: dict[str, Any], tmp_path: Path) -> Path:
    run(tiny_spec, output=tmp_path / "out", workers=0)
    return tmp_path / "out"


def test_an_evaluation_is_added_and_nothing_is_trained(trained: Path) -> None:
    before = load_results(trained)
    weights = {path: path.stat().st_mtime_ns for path in trained.rglob("model.safetensors")}
    after = evaluate(trained, ["calibration", "company"], workers=0)
    assert {"ece", "own"} <= set(after.metrics["metric"])
    assert weights == {path: path.stat().st_mtime_ns for path in trained.rglob("model.safetensors")}
    old = after.metrics[after.metrics["evaluation"].isin(["accuracy", "shifts"])]
    order = ["key", "evaluation", "split", "metric"]
    pd.testing.assert_frame_equal(
        old.sort_values(order, ignore_index=True),
        before.metrics.sort_values(order, ignore_index=True),
        check_exact=True,
    )


def test_it_gives_what_a_spec_with_all_of_them_gives(
    trained: Path, tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    order = ["label", "seed", "evaluation", "split", "metric"]
    added = evaluate(trained, ["company", "calibration"], workers=0).metrics
    spec = tiny_spec | {"evaluations": ["calibration", "company", "shifts", "accuracy"]}
    whole = run(spec, output=tmp_path / "whole", workers=0).metrics
    pd.testing.assert_frame_equal(
        added.sort_values(order, ignore_index=True),
        whole.sort_values(order, ignore_index=True),
        check_exact=True,
    )


def test_what_was_added_stays_for_later_runs_of_the_spec(
    trained: Path, tiny_spec: dict[str, Any]
) -> None:
    evaluate(trained, ["{calibration: {bins: 5}}"], workers=0)
    assert not prepare(tiny_spec, Options(output=trained)).plan().to_do
    results = run(tiny_spec | {"seeds": 3}, output=trained, workers=0)
    assert (results.metrics["metric"] == "ece").sum() == 6


def test_a_spec_that_names_it_itself_has_the_last_word(
    trained: Path, tiny_spec: dict[str, Any]
) -> None:
    evaluate(trained, ["{calibration: {bins: 5}}"], workers=0)
    spec = tiny_spec | {"evaluations": ["accuracy", "calibration"]}
    assert len(prepare(spec, Options(output=trained)).plan().to_do) == 4
    run(spec, output=trained, workers=0)
    assert not prepare(spec, Options(output=trained)).plan().to_do
    evaluate(trained, ["{calibration: {bins: 7}}"], workers=0)
    assert len(prepare(spec, Options(output=trained)).plan().to_do) == 4


def test_cells_that_are_not_trained_are_left_out(
    trained: Path, tiny_spec: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tiny_spec | {"seeds": 3}
    run(spec, output=trained, workers=0, only=["seed=0"])
    code = call("evaluate", str(trained), "-e", "calibration", "--workers", "0", "--no-report")
    assert code == 0
    assert "2 cells are left out" in capsys.readouterr().out
    results = load_results(trained)
    assert (results.metrics["metric"] == "ece").sum() == 4
    assert set(results.cells.query("seed == 2")["status"]) == {"missing"}


def test_wrong_use_is_one_line(trained: Path, tmp_path: Path, tiny_spec: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="did you mean 'calibration'"):
        evaluate(trained, ["calibratoin"], workers=0)
    with pytest.raises(UserError, match="neither a name"):
        evaluate(trained, ["[1]"], workers=0)
    with pytest.raises(UserError, match="no preset 'huge'"):
        evaluate(trained, ["quantus:huge"], workers=0)
    with pytest.raises(UserError, match="holds no results"):
        evaluate(tmp_path / "nowhere", ["accuracy"])
    spec = tiny_spec | {"recipe": {"epochs": 3}}
    prepare(spec, Options(output=tmp_path / "new"))
    run(spec, output=tmp_path / "new", workers=0, only=["seed=1"])
    with pytest.raises(UserError, match="run the spec first"):
        evaluate(tmp_path / "new", ["calibration"], only=["seed=0"])
    assert call("evaluate") == 2
    assert call("evaluate", str(trained)) == 2
    assert call("evaluate", str(trained), "--model", "x.py:f") == 2


def test_a_preset_behind_a_colon_is_the_mapping_that_it_stands_for(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    def key(entry: Any) -> str:
        benchmark = prepare(tiny_spec | {"evaluations": [entry]}, Options(output=tmp_path))
        return benchmark.cells[0].evaluation_key(benchmark.cells[0].evaluations[0])

    assert key("quantus:standard") == key({"quantus": {"preset": "standard"}})
    assert key("quantus:standard") != key("quantus")


def test_the_command_writes_the_report_again(trained: Path, tiny_spec: dict[str, Any]) -> None:
    assert call("evaluate", str(trained), "-e", "calibration", "--workers", "0") == 0
    assert "calibration" in (trained / "report" / "report.html").read_text()
    stored = yaml.safe_load((trained / "benchmark.json").read_text())
    assert stored["added"] == ["calibration"]
    assert stored["spec"]["evaluations"] == tiny_spec["evaluations"]


def test_a_part_is_evaluated_and_the_rest_keeps_what_it_has(trained: Path) -> None:
    assert (
        call("evaluate", str(trained), "-e", "calibration", "--only", "seed=0", "--workers", "0")
        == 0
    )
    results = load_results(trained)
    assert set(results.cells["status"]) == {"done"}
    assert (results.metrics["metric"] == "ece").sum() == 2
    assert (results.metrics["metric"] == "class_mean_accuracy").sum() == 4


def test_cells_without_weights_keep_their_results(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"evaluations": ["accuracy", "calibration"], "keep_models": "none"}
    run(spec, output=tmp_path, workers=0, only=["label=none"])
    run(spec | {"keep_models": "all"}, output=tmp_path, workers=0)
    evaluate(tmp_path, ["{calibration: {bins: 7}}"], workers=0)
    results = load_results(tmp_path)
    assert set(results.cells["status"]) == {"done"}
    assert (results.metrics["metric"] == "ece").sum() == 4


def test_an_added_evaluation_whose_plugin_is_gone_is_told_and_stays(
    trained: Path, tiny_spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(trained, ["company"], workers=0)
    names = registry.names
    monkeypatch.setattr(
        registry, "names", lambda kind: [name for name in names(kind) if name != "company"]
    )
    benchmark = prepare(tiny_spec, Options(output=trained))
    assert "'company'" in benchmark.notes[0]
    assert list(benchmark.added) == ["company"]
    assert not benchmark.plan().to_do


def test_a_spec_that_names_nothing_has_the_last_word_on_what_is_on_by_default(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = {key: value for key, value in tiny_spec.items() if key != "evaluations"}
    spec |= {"seeds": 1, "recipe": {"epochs": 1}}
    run(spec, output=tmp_path, workers=0)
    evaluate(tmp_path, ["{calibration: {bins: 7}}"], workers=0)
    assert prepare(spec, Options(output=tmp_path)).plan().to_do
    run(spec, output=tmp_path, workers=0)
    assert not prepare(spec, Options(output=tmp_path)).plan().to_do


def test_lost_weights_leave_the_record_as_it_is(trained: Path) -> None:
    before = load_results(trained)
    key = before.cells["key"].iloc[0]
    (trained / "cells" / key / "model.safetensors").unlink()
    record = (trained / "cells" / key / "cell.json").read_text()
    after = evaluate(trained, ["calibration"], workers=0)
    assert (trained / "cells" / key / "cell.json").read_text() == record
    assert set(after.cells["status"]) == {"done"}
    assert (after.metrics["metric"] == "ece").sum() == 3
    assert (after.metrics["metric"] == "class_mean_accuracy").sum() == 4


def test_an_unreadable_record_is_told_with_its_reason_and_computed_again(trained: Path) -> None:
    key = load_results(trained).cells["key"].iloc[0]
    (trained / "cells" / key / "cell.json").write_text("{")
    left = evaluate(trained, ["calibration"], workers=0).cells.set_index("key").loc[key]
    assert left.status == "interrupted"
    assert "cell.json" in left.error
    assert "computed again" in left.error
    again = (
        run(load_results(trained).spec, output=trained, workers=0).cells.set_index("key").loc[key]
    )
    assert (again.status, again.error) == ("done", "")


def test_options_of_checkpoints_are_refused_for_a_folder(trained: Path) -> None:
    for option in ("--relevance=random", "--label=x", "--seed=0", "--threads=1"):
        assert call("evaluate", str(trained), "-e", "calibration", option) == 2


def test_the_spec_to_repeat_it_names_what_was_added(trained: Path) -> None:
    results = evaluate(trained, ["{calibration: {bins: 7}}"], workers=0)
    assert results.spec["evaluations"] == ["accuracy", "shifts", {"calibration": {"bins": 7}}]


def test_a_cell_whose_weights_are_cut_is_told_and_the_exit_code_says_so(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = sorted(trained.rglob("model.safetensors"))[0]
    weights.write_bytes(weights.read_bytes()[:1000])
    command = ["evaluate", str(trained), "-e", "calibration", "--workers", "0", "--no-report"]
    for _ in range(2):
        assert call(*command) == 1
        told = capsys.readouterr().out
        assert f"cell {weights.parent.name}: its weights are missing or damaged" in told
        assert "1 cell was not measured, of 4; run the spec again" in " ".join(told.split())
    measured = load_results(trained).metrics.query("evaluation == 'calibration'")
    assert measured["key"].nunique() == 3
