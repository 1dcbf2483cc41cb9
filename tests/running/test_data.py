"""What the files of a task hold decides its cells' keys: changed data are noticed, by everything."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from reldrop_bench import Report, UserError, compare, evaluate, load_results, merge
from reldrop_bench.cli import main
from reldrop_bench.evaluations.calibration import Calibration
from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.kinds import content
from reldrop_bench.running import cell
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.checkpoints import Checkpoint, evaluate_checkpoint
from reldrop_bench.running.runner import Listener, execute, run

SPEC: dict[str, Any] = {
    "name": "own",
    "tasks": [{"image-folder": {"folder": "pets", "size": 8, "validation": 0.25}}],
    "regularizers": ["none", "cutout"],
    "seeds": 2,
    "model": {"small-cnn": {"width": 4}},
    "recipe": {"epochs": 1, "batch_size": 8},
    "relevance": "gradient-x-input",
    "evaluations": ["accuracy"],
}
Change = Callable[[Path], object]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(content, "RECENT", 0.0)


def write(folder: Path, number: int) -> None:
    noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(noise).save(folder / f"{number}.bmp")  # of one size, whatever is on it


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data, and what a run made of them."""
    place = tmp_path_factory.mktemp("ran")
    for part, count in (("train", 8), ("test", 3)):
        for label in ("cat", "dog"):
            folder = place / "data" / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                write(folder, number)
    run(SPEC, output=place / "out", workers=0, data=place / "data")
    return place


@pytest.fixture
def data(ran: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran / "data", tmp_path / "data"))


@pytest.fixture
def out(ran: Path, data: Path, tmp_path: Path) -> Path:
    """Return the results of a run on `data`, which were computed where the data lay before."""
    return Path(shutil.copytree(ran / "out", tmp_path / "out"))


def replaced(data: Path) -> None:
    """Put another picture under the same name, with the same size and time of modification."""
    path = data / "pets" / "test" / "cat" / "1.bmp"
    times = path.stat()
    time.sleep(0.02)
    shutil.copyfile(path.with_name("2.bmp"), path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def new_class(data: Path) -> None:
    for part in ("train", "test"):
        shutil.copytree(data / "pets" / part / "cat", data / "pets" / part / "emu")


CHANGES: dict[str, tuple[Change, str]] = {
    "removed": (lambda data: (data / "pets/train/cat/3.bmp").unlink(), "22 → 21 files"),
    "replaced": (replaced, "content"),
    "a new class": (new_class, "22 → 33 files"),
    "renamed": (
        lambda data: (data / "pets/train/cat/3.bmp").rename(data / "pets/train/cat/9.bmp"),
        "content",
    ),
    "another class": (
        lambda data: (data / "pets/train/cat/3.bmp").rename(data / "pets/train/dog/9.bmp"),
        "content",
    ),
}


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(str(stop.value.code))


def plan(data: Path, out: Path) -> list[tuple[str, str]]:
    planned = prepare(SPEC, Options(output=out, data=data)).plan().cells
    return [(cell.action, cell.reason) for cell in planned]


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_changed_data_are_noticed(data: Path, out: Path, change: Change, told: str) -> None:
    shutil.copytree(data, data.with_name("before"))
    assert {action for action, _ in plan(data, out)} == {"cached"}
    change(data)
    for action, reason in plan(data, out):
        assert action == "train"
        assert "the data changed (" in reason
        assert told in reason
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(
        UserError, match=r"cells of image-folder were trained on other data"
    ) as error:
        evaluate(out, ["calibration"], workers=0, data=data)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    # The same files in another place are the same data.
    assert {action for action, _ in plan(data.with_name("before"), out)} == {"cached"}


def test_evaluate_ends_with_one_line(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new_class(data)
    capsys.readouterr()
    assert call("evaluate", str(out), "-e", "calibration", "--data", str(data)) == 2
    stderr = capsys.readouterr().err
    assert "were trained on other data" in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert call("explain", str(out), "--data", str(data)) == 2
    assert "were trained on other data" in " ".join(capsys.readouterr().err.split())


def test_what_systems_leave_behind_changes_no_key(data: Path, out: Path) -> None:
    for name in (".ipynb_checkpoints", "@eaDir", "cat/.ipynb_checkpoints"):
        (data / "pets" / "train" / name).mkdir()
        write(data / "pets" / "train" / name, 1)
    (data / "pets" / "train" / "cat" / "Thumbs.db").write_bytes(b"1")
    assert {action for action, _ in plan(data, out)} == {"cached"}


def test_other_data_gives_other_numbers_in_one_process(data: Path, out: Path) -> None:
    replaced(data)
    run(SPEC, output=out, workers=0, data=data)
    alone = run(SPEC, output=out.with_name("alone"), workers=0, data=data)
    again = load_results(out)
    order = ["label", "seed", "split", "metric"]
    for results in (alone, again):
        assert results.exit_code == 0
    columns = [*order, "value"]
    assert (
        again.metrics.sort_values(order)[columns].reset_index(drop=True)
        .equals(alone.metrics.sort_values(order)[columns].reset_index(drop=True))
    )  # fmt: skip
    assert len(list((out / "cells").iterdir())) == 8, "what was computed before stays"


def test_data_that_change_while_it_runs_end_the_cell(data: Path, tmp_path: Path) -> None:
    benchmark = prepare(SPEC, Options(output=tmp_path / "out", data=data, workers=0))
    replaced(data)
    execute(benchmark, Listener())
    cells = load_results(tmp_path / "out").cells
    assert set(cells["status"]) == {"failed"}
    for error in cells["error"]:
        assert "the data of image-folder changed after the run was started; run again" in error


CHANGED = "the data of image-folder changed after the run was started; run again"


def test_data_that_change_while_a_cell_trains_leave_nothing_trained(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = cell.train

    def disturbed(*arguments: Any, **options: Any) -> Any:
        trained = train(*arguments, **options)
        replaced(data)
        return trained

    monkeypatch.setattr(cell, "train", disturbed)
    out = tmp_path / "out"
    results = run(SPEC, output=out, workers=0, data=data, only=["label=none", "seed=0"])
    assert results.exit_code == 1
    ((status, error),) = results.cells.query("label == 'none' and seed == 0")[
        ["status", "error"]
    ].values
    assert status == "failed"
    assert CHANGED in error
    assert results.metrics.empty
    assert not list(out.rglob("*.safetensors"))
    assert not list(out.rglob("*.parquet"))


def test_data_that_change_while_a_cell_is_evaluated_leave_no_number(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data, tmp_path / "before")
    evaluate_before = Calibration.evaluate

    def disturbed(*arguments: Any) -> None:
        evaluate_before(*arguments)
        replaced(data)

    spec = SPEC | {"evaluations": ["accuracy", "calibration"], "regularizers": ["none"], "seeds": 1}
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Calibration, "evaluate", disturbed)
        results = run(spec, output=out, workers=0, data=data)
    assert results.exit_code == 1
    assert CHANGED in results.cells["error"].item()
    assert set(results.metrics["evaluation"]) == {"accuracy"}, "measured before they changed"
    # With what was there before, only what is missing is measured.
    (planned,) = prepare(spec, Options(output=out, data=tmp_path / "before")).plan().cells
    assert planned.action == "evaluate"
    assert [evaluation.name for evaluation in planned.evaluations] == ["calibration"]


# What the report says


def page(folder: Path) -> str:
    Report(load_results(folder)).write(folder / "report", ["markdown"])
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("report/**/*.md"))


def test_the_report_names_the_data(out: Path) -> None:
    results = load_results(out)
    assert results.remarks == ()
    facts = results.tasks["image-folder"]["data"]
    assert facts["files"] == 22
    text = page(out)
    assert facts["content"] in text
    assert "Files that the tasks read" in text


def test_a_matrix_that_is_half_computed_on_other_data_says_so(data: Path, out: Path) -> None:
    replaced(data)
    run(SPEC, output=out, workers=0, data=data, only=["label=none"])
    results = load_results(out)
    assert (results.cells["status"] == "done").sum() == 2
    (remark,) = results.remarks
    assert "The data of image-folder changed" in remark
    assert "4 on 22 files" in remark
    assert "The data of image-folder changed" in page(out)
    run(SPEC, output=out, workers=0, data=data)
    assert load_results(out).remarks == ()


def test_cells_of_different_data_in_one_matrix_are_told(
    out: Path, rewrite: Callable[..., None]
) -> None:
    def one(parts: dict[str, Any]) -> None:
        if parts["seed"] == 1:
            parts["data"]["content"] = "0" * 20

    rewrite(out, components=one)
    (remark,) = load_results(out).remarks
    assert "computed on different data: 2 on 22 files" in remark
    assert "2 on 22 files (00000" in remark


def test_sets_of_different_data_are_not_paired(data: Path, out: Path) -> None:
    replaced(data)
    other = out.with_name("other")
    run(SPEC, output=other, workers=0, data=data)
    both = compare([out, other])
    assert any("the data changed" in remark for remark in both.remarks)
    assert set(both.cells["task"]) == {"image-folder", "image-folder (other)"}
    with pytest.raises(UserError, match="cannot be compared"):
        merge([out, other], out.with_name("merged"))


def test_a_merged_folder_goes_on(data: Path, out: Path) -> None:
    other, merged = out.with_name("other"), out.with_name("merged")
    spec = SPEC | {"seeds": [2]}
    run(spec, output=other, workers=0, data=data, only=["label=none"])
    merge([out, other], merged)
    before = load_results(merged).cells
    assert (before["status"] == "done").sum() == 5
    whole = SPEC | {"seeds": 3}
    cells = prepare(whole, Options(output=merged, data=data)).plan().cells
    assert [planned.action for planned in cells].count("train") == 1
    assert {planned.cell.key for planned in cells} == set(before["key"])


def test_checkpoints_are_measured_again_on_other_data(data: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    safetensors.torch.save_model(network, str(tmp_path / "a.safetensors"))
    task = "{image-folder: {folder: pets, size: 8}}"
    each = Checkpoint(f"{tmp_path / 'net.py'}:build", tmp_path / "a.safetensors", task)
    keys = []
    for _ in range(2):
        results = evaluate_checkpoint(each, tmp_path / "out", ["accuracy"], data=data)
        keys.append(results.cells["key"].item())
    replaced(data)
    with pytest.raises(UserError, match="the data, the weights"):
        evaluate_checkpoint(each, tmp_path / "out", ["accuracy"], data=data)
    anew = dataclasses.replace(each, replace=True)
    results = evaluate_checkpoint(anew, tmp_path / "out", ["accuracy"], data=data)
    keys.append(results.cells["key"].item())
    assert keys[0] == keys[1] != keys[2]


# What does not change


def test_a_task_without_files_has_the_key_that_it_had(
    plugin_folder: Path, tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    run(tiny_spec, output=tmp_path / "out", workers=0)
    for path in (tmp_path / "out" / "cells").glob("*/cell.json"):
        parts = json.loads(path.read_text(encoding="utf-8"))["components"]
        assert list(parts) == [
            "schema", "task", "model", "regularizer", "relevance", "recipe", "seed", "threads",
        ]  # fmt: skip
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest()[:20] == path.parent.name


def test_missing_data_are_told_by_plan_as_by_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for root, told in ((None, "pass --data DIR"), (tmp_path / "empty", "pets/train is missing")):
        with pytest.raises(UserError, match=told):
            prepare(SPEC, Options(output=tmp_path / "out", data=root))
