"""Several result sets as one folder: complete or absent, and read like any other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reldrop_bench import UserError, load_results, merge
from reldrop_bench.cli import main
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.runner import run
from reldrop_bench.store.folder import Store

MakeSet = Callable[..., Path]
Change = Callable[..., None]

ORDER = ["key", "evaluation", "split", "metric"]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def spec_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))["spec"]


def metrics(*folders: Path) -> pd.DataFrame:
    frames = [load_results(folder).metrics for folder in folders]
    return pd.concat(frames).sort_values(ORDER, ignore_index=True)


def test_seeds_of_two_machines_become_one_benchmark(make_set: MakeSet, tmp_path: Path) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    before = contents(first), contents(second)
    results = merge([first, second], tmp_path / "new" / "both")
    assert results.exit_code == 0
    assert sorted(set(results.cells.seed)) == [0, 1, 2]
    pd.testing.assert_frame_equal(metrics(tmp_path / "new" / "both"), metrics(first, second))
    assert (contents(first), contents(second)) == before
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["both"], (
        "nothing is left behind"
    )


def test_run_on_what_is_merged_computes_what_is_missing(make_set: MakeSet, tmp_path: Path) -> None:
    first = make_set("first")
    second = make_set("second", regularizers=["none", "random-erasing"], seeds=[1])
    both = tmp_path / "both"
    results = merge([first, second], both)
    missing = results.cells[results.cells.status == "missing"]
    assert missing[["label", "seed"]].to_numpy().tolist() == [["random-erasing", 0]]
    plan = prepare(spec_of(both), Options(both, workers=0)).plan()
    keys = {each.cell.key: each.action for each in plan.cells}
    assert list(keys) == results.cells.key.to_list(), "the matrix is that of the spec"
    assert [key for key, action in keys.items() if action != "cached"] == missing.key.to_list()
    kept = metrics(both)
    done = run(spec_of(both), output=both, workers=0)
    assert done.exit_code == 0
    again = metrics(both)
    pd.testing.assert_frame_equal(again[again.key.isin(kept.key)].reset_index(drop=True), kept)


def test_what_compares_with_the_first_seed_is_measured_again(
    make_set: MakeSet, tmp_path: Path
) -> None:
    first, second = (
        make_set(f"seed-{seed}", seeds=[seed], evaluations=["accuracy", "company"])
        for seed in (0, 1)
    )
    told: list[str] = []
    both = tmp_path / "both"
    results = merge([first, second], both, tell=told.append)
    assert results.exit_code == 0
    assert any("company" in text and "first seed of their own set" in text for text in told)
    plan = prepare(spec_of(both), Options(both, workers=0)).plan()
    reasons = [(each.cell.seed, each.action, each.reason) for each in plan.cells]
    assert reasons == [(0, "cached", "")] * 2 + [(1, "evaluate", "evaluations: company")] * 2


def test_tasks_and_models_are_united(make_set: MakeSet, tmp_path: Path) -> None:
    first = make_set("first", seeds=[0])
    wider = {"name": "tiny-blobs", "samples": 48, "label": "fewer blobs"}
    second = make_set("second", seeds=[0], tasks=[{"tiny-blobs": {"samples": 48}}])
    with pytest.raises(UserError, match="samples 64 → 48"):
        merge([first, second], tmp_path / "refused")
    third = make_set("third", seeds=[0], model={"small-cnn": {"width": 5, "label": "wide"}})
    fourth = make_set("fourth", seeds=[0], tasks=[wider])
    results = merge([first, third, fourth], tmp_path / "all")
    assert set(results.cells.model) == {"small-cnn", "wide"}
    assert set(results.cells.task) == {"tiny-blobs", "fewer blobs"}
    assert results.cells.status.value_counts().to_dict() == {"done": 6, "missing": 2}


def test_done_comes_before_failed_and_evaluations_are_added(
    make_set: MakeSet, tmp_path: Path
) -> None:
    first = make_set("first", evaluations=["accuracy"])
    second = make_set("second", evaluations=["accuracy", "calibration"])
    key = load_results(first).cells.key[0]
    path = first / "cells" / key / "cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record |= {"status": "failed", "error": "stopped", "trained": False, "files": {}}
    path.write_text(json.dumps(record | {"evaluations": {}}), encoding="utf-8")
    results = merge([first, second], tmp_path / "both")
    assert results.exit_code == 0
    assert set(results.metrics.evaluation) == {"accuracy", "calibration"}
    assert results.metrics.groupby("key").evaluation.nunique().eq(2).all()
    notes = results.cells.set_index("key").deviations
    assert notes[key] == [], "this cell is the second set's as a whole"
    others = notes.drop(key)
    assert all(text == ["calibration measured in another result set (second)"] for text in others)
    assert spec_of(tmp_path / "both")["evaluations"] == ["accuracy", "calibration"]
    plan = prepare(spec_of(tmp_path / "both"), Options(tmp_path / "both", workers=0)).plan()
    assert {each.action for each in plan.cells} == {"cached"}


def test_a_damaged_file_is_taken_from_another_set_refused_or_left_out(
    make_set: MakeSet, tmp_path: Path
) -> None:
    first, second, third = make_set("first"), make_set("second"), make_set("third", seeds=[2])
    key = load_results(first).cells.key[0]
    (first / "cells" / key / "model.safetensors").write_bytes(b"junk")
    told: list[str] = []
    results = merge([first, second], tmp_path / "mended", tell=told.append)
    assert results.exit_code == 0
    assert f"cell {key} of first: model.safetensors damaged or missing; taken from second" in told
    with pytest.raises(UserError, match=f"{key} of first: model.safetensors damaged"):
        merge([first, third], tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    assert not list(tmp_path.glob(".*")), "no half folder stays"
    told.clear()
    results = merge([first, third], tmp_path / "without", skip_damaged=True, tell=told.append)
    assert results.cells.set_index("key").status[key] == "missing"
    assert f"cell {key} of first: model.safetensors damaged or missing; left out" in told


def test_a_damaged_record_is_told_too(make_set: MakeSet, tmp_path: Path) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    key = load_results(first).cells.key[0]
    (first / "cells" / key / "cell.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"cell\.json cannot be read"):
        merge([first, second], tmp_path / "both")


@pytest.mark.parametrize(
    "up", [".", "..", "../../../stolen", "/stolen", "a/b", "..\\stolen", "", "a\0"]
)
def test_a_record_names_no_file_outside_its_folder(
    make_set: MakeSet, tmp_path: Path, up: str
) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    (tmp_path / "stolen").write_bytes(b"a stranger's")
    if up == "/stolen":
        up = str(tmp_path / "stolen")
    key = load_results(first).cells.key[0]
    path = first / "cells" / key / "cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["files"][up] = hashlib.sha256(b"a stranger's").hexdigest()
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=r"files.*should match"):
        Store(first).read_cell(key)
    (tmp_path / "new").mkdir()
    with pytest.raises(UserError, match=r"files.*should match"):
        merge([first, second], tmp_path / "new" / "both")
    assert not list((tmp_path / "new").iterdir())
    results = merge([first, second], tmp_path / "new" / "both", skip_damaged=True)
    assert (results.cells.status == "done").sum() == 5
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["both"]
    assert (tmp_path / "stolen").read_bytes() == b"a stranger's"


def test_a_run_on_a_strangers_folder_moves_no_file_outside(
    make_set: MakeSet, tmp_path: Path
) -> None:
    first = make_set("first")
    (tmp_path / "mine").write_text("kept", encoding="utf-8")
    path = first / "cells" / load_results(first).cells.key[0] / "cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["files"]["../../../mine"] = "0" * 64
    path.write_text(json.dumps(record), encoding="utf-8")
    assert run(spec_of(first), output=first, workers=0).exit_code == 0
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "kept"
    assert not list(tmp_path.glob("mine.*"))


@pytest.mark.parametrize("field", ["key", "evaluation"])
def test_a_matrix_names_no_folder_outside(make_set: MakeSet, tmp_path: Path, field: str) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    path = first / "benchmark.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    entry = content["matrix"][0]
    if field == "key":
        shutil.copytree(first / "cells" / entry["key"], tmp_path / "outside")
        entry["key"] = "../../outside"
        record = json.loads((tmp_path / "outside" / "cell.json").read_text(encoding="utf-8"))
        text = json.dumps(record | {"key": entry["key"]})
        (tmp_path / "outside" / "cell.json").write_text(text, encoding="utf-8")
    else:
        entry["evaluations"]["../../outside"] = "0" * 20
    path.write_text(json.dumps(content), encoding="utf-8")
    for read in (load_results, lambda folder: merge([folder, second], tmp_path / "new" / "both")):
        with pytest.raises(UserError, match=r"outside.*should match"):
            read(first)
    assert not (tmp_path / "new").exists()


def test_a_cell_of_a_killed_run_is_not_given(make_set: MakeSet, tmp_path: Path) -> None:
    first, second, third = make_set("first"), make_set("second"), make_set("third", seeds=[2])
    key = load_results(first).cells.key[0]
    (first / "cells" / key / "cell.json").unlink()  # its first tables were there before it
    results = merge([first, third], tmp_path / "without")
    assert results.cells.set_index("key").status[key] == "missing"
    told: list[str] = []
    results = merge([first, second], tmp_path / "both", tell=told.append)
    assert set(results.cells.status) == {"done"}
    assert not any(key in text for text in told)


@pytest.mark.parametrize("how", ["here", "there", "link", "link to nothing"])
def test_an_empty_folder_stays_the_same_folder(
    make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    first, second = make_set("first", seeds=[0]), make_set("second", seeds=[2])
    place = tmp_path / "place"
    if how != "link to nothing":
        place.mkdir()
    before = place.stat().st_ino if place.exists() else None
    target = place
    if how == "here":
        monkeypatch.chdir(place)
        target = Path()
    if how.startswith("link"):
        target = tmp_path / "link"
        target.symlink_to(place)
    results = merge([first, second], target)
    assert set(results.cells.status) == {"done"}
    assert before in (None, place.stat().st_ino)
    assert sorted(os.listdir(place)) == ["benchmark.json", "cells"]
    assert target.is_symlink() == how.startswith("link")
    assert not list(tmp_path.glob(".*"))
    (first / "cells" / results.cells.key[0] / "train.parquet").write_bytes(b"junk")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="damaged"):
        merge([first, second], tmp_path / "other")
    assert not list((tmp_path / "other").iterdir()), "empty again"


def test_checkpoints_are_merged_by_label_and_seed(
    make_checkpoints: MakeSet, tmp_path: Path
) -> None:
    first = make_checkpoints("first", {("A", 0): 0, ("B", 0): 1})
    second = make_checkpoints("second", {("A", 1): 2, ("C", 0): 3})
    both = tmp_path / "both"
    results = merge([first, second], both)
    assert results.trained_elsewhere
    assert results.labels == ("A", "B", "C")
    assert set(results.cells.status) == {"done"}
    pd.testing.assert_frame_equal(metrics(both), metrics(first, second))
    make_checkpoints("both", {("D", 0): 4})
    assert load_results(both).labels == ("A", "B", "C", "D"), "more can be added"
    other = make_checkpoints("other", {("A", 0): 5})
    with pytest.raises(UserError, match="seed 0 is another model"):
        merge([first, other], tmp_path / "refused")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"recipe": {"epochs": 3}}, "recipe.epochs"),
        ({"baseline": "cutout"}, "baseline"),
        ({"relevance": "random"}, "relevance"),
        ({"regularizers": ["none", {"cutout": {"size": 0.25}}]}, "size 0.5 → 0.25"),
        ({"evaluations": ["accuracy", {"calibration": {"bins": 7}}]}, "calibration"),
        ({"regularizers": ["none", {"name": "cutout", "label": "hole"}]}, "hole"),
    ],
)
def test_what_differs_is_refused(
    make_set: MakeSet, tmp_path: Path, changes: dict[str, Any], part: str
) -> None:
    alike: dict[str, Any] = {"evaluations": ["accuracy", "calibration"], "seeds": [0]}
    first, second = make_set("first", **alike), make_set("second", **alike | changes)
    with pytest.raises(UserError, match=part):
        merge([first, second], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_schema_and_other_keys_of_one_place_are_refused(
    make_set: MakeSet, rewrite: Change, tmp_path: Path
) -> None:
    first, second, third = make_set("first"), make_set("second"), make_set("third")
    rewrite(second, benchmark=lambda content: content.update(schema=2))
    with pytest.raises(UserError, match="schema"):
        merge([first, second], tmp_path / "both")
    rewrite(second, benchmark=lambda content: content["spec"].update(threads=2))
    with pytest.raises(UserError, match="threads 1 → 2"):
        merge([first, second], tmp_path / "both")

    def unknown(parts: dict[str, Any]) -> None:
        parts["regularizer"]["parameters"]["unheard-of"] = 1

    rewrite(third, components=unknown)
    with pytest.raises(UserError, match="unheard-of"):
        merge([first, third], tmp_path / "both")
    shutil.rmtree(third / "cells")  # nothing but its keys says that something differs
    with pytest.raises(UserError, match="has another key in third than in first"):
        merge([first, third], tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_names_and_limits_decide_nothing(make_set: MakeSet, tmp_path: Path) -> None:
    first = make_set("first")
    second = make_set("second", name="other", seeds=[2], limits={"seconds": 60})
    told: list[str] = []
    results = merge([first, second], tmp_path / "both", tell=told.append)
    assert results.name == "tiny"
    assert [text.partition(":")[0] for text in told][:2] == ["name", "limits"]


def test_a_spec_that_is_not_known_here_is_merged_as_it_stands(
    make_set: MakeSet, rewrite: Change, tmp_path: Path
) -> None:
    def elsewhere(content: dict[str, Any]) -> None:
        content["spec"]["regularizers"][1] = {"cutout": {"no-such-parameter": 1}}

    first, second = make_set("first"), make_set("second", seeds=[2])
    for folder in (first, second):
        rewrite(folder, benchmark=elsewhere)
    told: list[str] = []
    results = merge([first, second], tmp_path / "both", tell=told.append)
    assert len(results.cells) == 6
    assert any("not known here" in text for text in told)


def test_the_command(capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path) -> None:
    first, second = str(make_set("first")), str(make_set("second", seeds=[2]))

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    both = str(tmp_path / "both")
    code, stdout, _ = call("merge", first, second, "-o", both)
    assert code == 0
    assert "6 of 6 cells are done" in stdout
    assert call("status", both)[0] == 0
    before = contents(Path(both))
    for arguments, part in (
        (("merge", first, second, "-o", both), "is not empty"),
        (("merge", first, second, "-o", f"{first}/inside"), "lies in"),
        (("merge", first, "-o", str(tmp_path / "new")), "one folder alone"),
        (("merge", first, first, "-o", str(tmp_path / "new")), "given twice"),
        (("merge", first, second), "output"),
    ):
        code, _, stderr = call(*arguments)
        assert code == 2
        assert part in stderr
        assert len(stderr.strip().splitlines()) == 1
    assert contents(Path(both)) == before
    assert not (tmp_path / "new").exists()
