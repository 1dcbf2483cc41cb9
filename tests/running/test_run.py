"""Running benchmarks in one process: caching, resuming, repairing, pairing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from reldrop_bench import load_results
from reldrop_bench.errors import UserError
from reldrop_bench.matrix.components import SCHEMA
from reldrop_bench.results import Results
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.plan import Plan, PlannedCell
from reldrop_bench.running.runner import Listener, run
from reldrop_bench.store.folder import Store

pytestmark = pytest.mark.usefixtures("plugin_folder")


class Spy(Listener):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.plan: Plan | None = None
        self.ended: list[tuple[str, str]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def planned(self, plan: Plan) -> None:
        self.plan = plan

    def finished(self, planned: PlannedCell, status: str) -> None:
        self.ended.append((planned.cell.regularizer.label, status))


def go(spec: dict[str, Any], folder: Path, **options: Any) -> tuple[Results, Spy]:
    spy = Spy()
    return run(spec, output=folder, workers=0, listener=spy, **options), spy


def test_results_have_a_row_a_cell_and_every_metric(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    results, spy = go(tiny_spec, tmp_path / "out")
    assert results.exit_code == 0
    assert list(results.cells.status) == ["done"] * 4
    assert results.labels == ("none", "cutout")
    accuracy = results.metrics.query("evaluation == 'accuracy' and metric == 'accuracy'")
    assert len(accuracy) == 4
    assert accuracy.value.between(0, 1).all()
    assert set(results.metrics.split) == {"test", "noise/1"}
    assert len(results.epochs) == 4 * 2
    assert results.direction("accuracy", "accuracy") == "higher"
    assert results.tasks["tiny-blobs"]["modality"] == "image"
    assert [status for _, status in spy.ended] == ["done"] * 4
    cutout = results.cells.set_index("label").loc["cutout"]
    assert (cutout.occluded_fraction > 0).all()
    assert results.cells.set_index("label").loc["none"].occluded_fraction.isna().all()


def test_a_finished_matrix_is_not_computed_again(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    go(tiny_spec, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/*")}
    results, spy = go(tiny_spec, tmp_path)
    assert spy.ended == []
    assert results.exit_code == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/*")}


def test_adding_a_regularizer_trains_its_cells_alone(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    go(tiny_spec, tmp_path)
    tiny_spec["regularizers"].append("random-erasing")
    _, spy = go(tiny_spec, tmp_path)
    assert spy.ended == [("random-erasing", "done")] * 2


def test_adding_an_evaluation_trains_nothing(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    go(tiny_spec, tmp_path)
    logs = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/train.parquet")}
    tiny_spec["evaluations"].append("calibration")
    results, spy = go(tiny_spec, tmp_path)
    assert spy.plan is not None
    assert {planned.action for planned in spy.plan.cells} == {"evaluate"}
    assert spy.plan.cells[0].reason == "evaluations: calibration"
    assert logs == {
        path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*/train.parquet")
    }
    assert "ece" in set(results.metrics.metric)


def test_an_evaluation_of_a_restored_model_gives_the_same_bits(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    first, _ = go(tiny_spec | {"evaluations": ["accuracy", "calibration"]}, tmp_path / "a")
    go(tiny_spec | {"evaluations": ["accuracy"]}, tmp_path / "b")
    second, _ = go(tiny_spec | {"evaluations": ["accuracy", "calibration"]}, tmp_path / "b")
    pd.testing.assert_frame_equal(first.metrics, second.metrics, check_exact=True)


def test_without_kept_models_no_weights_stay_and_a_new_evaluation_says_why_it_trains(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"keep_models": "none"}
    go(spec, tmp_path)
    assert not list(tmp_path.glob("cells/*/*.safetensors"))
    _, spy = go(spec, tmp_path)
    assert spy.ended == []
    plan = prepare(
        spec | {"evaluations": ["accuracy", "calibration"]}, Options(tmp_path, workers=0)
    ).plan()
    assert {planned.action for planned in plan.cells} == {"train"}
    assert "not kept" in plan.cells[0].reason


def test_plan_says_why_a_cell_runs_again(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    go(tiny_spec, tmp_path)
    plan = prepare(tiny_spec | {"recipe": {"epochs": 3}}, Options(tmp_path, workers=0)).plan()
    assert {planned.reason for planned in plan.cells} == {"recipe.epochs 2 → 3"}
    tiny_spec["regularizers"][1] = {"cutout": {"size": 0.25}}
    plan = prepare(tiny_spec, Options(tmp_path, workers=0)).plan()
    assert [planned.action for planned in plan.cells] == ["cached", "train"] * 2
    assert plan.cells[1].reason == "regularizer.parameters.size 0.5 → 0.25"
    assert plan.seconds is not None
    assert plan.disk_bytes > 1000


def test_plan_writes_nothing(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    plan = prepare(tiny_spec, Options(tmp_path / "out", workers=0)).plan(measure=True)
    assert not (tmp_path / "out").exists()
    assert all(planned.seconds for planned in plan.cells)


def test_cells_of_one_seed_start_from_equal_weights_and_see_equal_order(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"regularizers": ["none", {"cutout": {"size": 0.0}}]}
    results, _ = go(spec, tmp_path)
    losses = {
        label: results.epochs[results.epochs.label == label].sort_values(["seed", "epoch"])
        for label in ("none", "cutout")
    }
    columns = ["train_loss", "validation_loss", "train_accuracy"]
    pd.testing.assert_frame_equal(
        losses["none"][columns].reset_index(drop=True),
        losses["cutout"][columns].reset_index(drop=True),
        check_exact=True,
    )
    assert losses["none"].train_loss.nunique() == 4, "different seeds train different models"


def test_results_do_not_depend_on_what_ran_before_or_on_the_order(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    first, _ = go(tiny_spec, tmp_path / "a")
    torch.manual_seed(123)
    turned = tiny_spec | {"regularizers": tiny_spec["regularizers"][::-1], "seeds": [1, 0]}
    second, _ = go(turned, tmp_path / "b")
    order = ["key", "evaluation", "split", "metric"]
    left, right = (
        results.metrics.sort_values(order, ignore_index=True) for results in (first, second)
    )
    pd.testing.assert_frame_equal(left, right, check_exact=True)


@pytest.mark.parametrize(
    "name", ["accuracy.parquet", "train.parquet", "model.safetensors", "cell.json"]
)
def test_a_damaged_file_is_moved_aside_computed_again_and_reported(
    tiny_spec: dict[str, Any], tmp_path: Path, name: str
) -> None:
    before, _ = go(tiny_spec, tmp_path)
    key = before.cells.key[0]
    path = tmp_path / "cells" / key / name
    damaged = path.read_bytes()[:-5] + b"junk!"
    path.write_bytes(damaged)

    broken = load_results(tmp_path)
    if name != "model.safetensors":  # a report does not need the weights
        assert broken.exit_code == 1
        assert "run the spec again" in broken.cells.error[0]
    after, spy = go(tiny_spec, tmp_path)

    assert after.exit_code == 0
    assert len(spy.notes) == 1
    assert key in spy.notes[0]
    pd.testing.assert_frame_equal(before.metrics, after.metrics, check_exact=True)
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and ".corrupt-" in str(file)]
    assert damaged in [file.read_bytes() for file in kept], "nothing is lost"
    if name != "cell.json":
        assert "damaged" in after.cells.deviations[0][0]
    assert len(spy.ended) == 1


def test_a_results_folder_of_another_benchmark_is_refused(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    go(tiny_spec, tmp_path)
    with pytest.raises(UserError, match="holds the results of benchmark 'tiny', not of 'other'"):
        go(tiny_spec | {"name": "other"}, tmp_path)


def test_a_folder_with_something_else_is_refused(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="something else than results"):
        go(tiny_spec, tmp_path)


def test_a_newer_schema_is_refused(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    go(tiny_spec, tmp_path)
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))
    for action in (lambda: go(tiny_spec, tmp_path), lambda: load_results(tmp_path)):
        with pytest.raises(UserError, match=f"schema {SCHEMA + 1}"):
            action()


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        load_results(tmp_path)


def test_a_missing_data_folder_is_told_before_anything_starts(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cifar10"):
        go(tiny_spec | {"tasks": ["cifar10"], "model": "default"}, tmp_path / "out")
    with pytest.raises(UserError, match="does not exist"):
        go(tiny_spec, tmp_path / "out", data=tmp_path / "nowhere")
    assert not (tmp_path / "out").exists()


def test_two_runs_in_one_folder_at_a_time_are_refused(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    import filelock

    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another run"):
        go(tiny_spec, tmp_path)


def test_only_computes_the_chosen_cells_and_shows_the_others_as_missing(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    results, _ = go(tiny_spec, tmp_path, only=["label=none", "seed=1"])
    assert sorted(results.cells.status) == ["done", "missing", "missing", "missing"]
    assert results.exit_code == 1


def test_a_failure_in_an_evaluation_keeps_what_was_computed(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = tmp_path / "plugins" / "evaluations" / "fragile.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from reldrop_bench import Context, Evaluation, Record\n"
        "@dataclass(frozen=True)\nclass Fragile(Evaluation):\n"
        '    """Always fails."""\n    name: ClassVar[str] = "fragile"\n'
        "    def evaluate(self, context: Context, record: Record) -> None:\n"
        "        raise ArithmeticError('no luck')\n"
    )
    add_plugins(tmp_path / "plugins")
    results, _ = go(tiny_spec | {"evaluations": ["fragile", "accuracy"]}, tmp_path / "out")
    assert set(results.cells.status) == {"failed"}
    assert results.cells.error[0] == "evaluation fragile: ArithmeticError: no luck"
    assert results.exit_code == 1
    assert len(results.metrics.query("metric == 'accuracy'")) == 4
    results, _ = go(tiny_spec | {"evaluations": ["accuracy"]}, tmp_path / "out")
    assert results.exit_code == 0, "an evaluation that left the spec fails nothing any more"


def test_weights_are_safetensors_and_records_hold_no_pickles(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    results, _ = go(tiny_spec, tmp_path)
    names = {path.name for path in tmp_path.glob("cells/*/*")}
    assert names == {
        "cell.json",
        "train.parquet",
        "model.safetensors",
        "accuracy.parquet",
        "shifts.parquet",
    }
    store = Store(tmp_path)
    record = store.read_cell(results.cells.key[0])
    assert record is not None
    weights = store.read_weights(record)
    assert sum(tensor.numel() for tensor in weights.values()) > 100
    assert not list(tmp_path.glob("cells/*/.*")), "no temporary file stays"


def test_best_validation_epoch_is_chosen_on_validation_data(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"recipe": {"select": "best-validation", "epochs": 4}}
    results, _ = go(spec, tmp_path)
    for key, epochs in results.epochs.groupby("key"):
        record = Store(tmp_path).read_cell(str(key))
        assert record is not None
        best = epochs.sort_values(
            ["validation_accuracy", "epoch"], ascending=[False, True]
        ).epoch.iloc[0]
        assert record.training.selected_epoch == best


def test_a_plugin_file_that_changed_under_the_process_is_refused(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = tmp_path / "plugins" / "regularizers" / "mine.py"
    path.parent.mkdir(parents=True)
    text = (
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from reldrop_bench import Regularizer\n"
        "@dataclass(frozen=True)\nclass Mine(Regularizer):\n"
        '    """Does nothing."""\n    name: ClassVar[str] = "mine"\n{}'
    )
    path.write_text(text.format("    requires: ClassVar = {'cues'}\n"))
    add_plugins(tmp_path / "plugins")
    spec = tiny_spec | {"regularizers": ["none", "mine"]}
    with pytest.raises(
        UserError, match=r"'mine' fits no task of the spec: it needs a task with cues"
    ):
        go(spec, tmp_path / "out")
    path.write_text(text.format(""))
    with pytest.raises(UserError, match=r"mine\.py changed after it was imported"):
        go(spec, tmp_path / "out")


def test_weights_that_are_not_finite_are_no_result(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    wild = {"epochs": 1, "batch_size": 1000, "learning_rate": 1e30, "weight_decay": 1e30}
    results, _ = go(tiny_spec | {"recipe": wild, "regularizers": ["none"], "seeds": 1}, tmp_path)
    assert results.cells.status[0] == "failed"
    assert "not finite" in results.cells.error[0]


@pytest.mark.parametrize("content", ['{"schema": 1}', '{"schema": 1, "name": "ok"}', "[]", "{"])
def test_a_damaged_benchmark_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "benchmark.json").write_text(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_results(tmp_path)


def test_a_record_that_lacks_parts_is_damaged(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    results, _ = go(tiny_spec, tmp_path)
    key = results.cells.key[0]
    path = tmp_path / "cells" / key / "cell.json"
    path.write_text(json.dumps({"key": key, "status": "done"}))
    assert load_results(tmp_path).exit_code == 1
    results, spy = go(tiny_spec, tmp_path)
    assert results.exit_code == 0
    assert "moved to" in spy.notes[0]
    assert "moved to" in results.cells.deviations[0][0]


def test_an_evaluation_that_writes_nan_has_failed(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = tmp_path / "plugins" / "evaluations" / "holed.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from dataclasses import dataclass\nfrom typing import ClassVar\n"
        "from reldrop_bench import Context, Evaluation, Metric, Record\n"
        "@dataclass(frozen=True)\nclass Holed(Evaluation):\n"
        '    """Writes a hole."""\n    name: ClassVar[str] = "holed"\n'
        '    metrics: ClassVar = {"hole": Metric("neither", "nothing")}\n'
        "    def evaluate(self, context: Context, record: Record) -> None:\n"
        "        record.metric('test', 'hole', float('nan'))\n"
    )
    add_plugins(tmp_path / "plugins")
    results, _ = go(tiny_spec | {"evaluations": ["holed", "accuracy"]}, tmp_path / "out")
    assert set(results.cells.status) == {"failed"}
    assert "holed wrote 1 value not finite (hole)" in results.cells.error[0]
    assert results.metrics["value"].notna().all()
    assert len(results.metrics.query("metric == 'accuracy'")) == 4


def test_an_evaluation_that_writes_nothing_is_told(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    path = tmp_path / "plugins" / "evaluations" / "hollow.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from reldrop_bench import Context, Evaluation, Metric, Record\n"
        'class Hollow(Evaluation):\n    """Writes nothing."""\n    name = "hollow"\n'
        '    metrics = {"x": Metric("neither", "nothing")}\n'
        "    def evaluate(self, context: Context, record: Record) -> None:\n"
        "        record.curve('test', 'x', [], [])\n"
    )
    add_plugins(tmp_path / "plugins")
    results, _ = go(tiny_spec | {"evaluations": ["hollow", "accuracy"]}, tmp_path / "out")
    assert set(results.cells.status) == {"done"}
    notes = results.notes.query("evaluation == 'hollow'")
    assert len(notes) == len(results.cells)
    assert set(notes["reason"]) == {"it wrote nothing and gave no reason"}
