"""Several result sets in one report: what is the same is paired, what is not is told apart."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench import UserError, compare, load_results
from reldrop_bench.cli import main
from reldrop_bench.comparing.groups import Group, fitting
from reldrop_bench.comparing.result_sets import unique_names
from reldrop_bench.matrix.components import SCHEMA
from reldrop_bench.reporting import stamp
from reldrop_bench.statistics.paired import pair

MakeSet = Callable[..., Path]
Change = Callable[..., None]

ORDER = ["task", "model", "label", "seed"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def accuracy(results: Any) -> pd.DataFrame:
    frame = results.metrics
    chosen = frame[(frame.evaluation == "accuracy") & (frame.metric == "accuracy")]
    return chosen.sort_values(ORDER, ignore_index=True)


def test_other_seeds_and_methods_of_the_same_protocol_are_one(make_set: MakeSet) -> None:
    first = make_set("first")
    second = make_set("second", seeds=[2], regularizers=["none", "random-erasing"])
    results = compare([first, second])
    parts = [load_results(folder) for folder in (first, second)]
    assert results.labels == ("none", "cutout", "random-erasing")
    assert len(results.cells) == sum(len(part.cells) for part in parts)
    assert set(results.cells.task) == {"tiny-blobs"}
    whole = pd.concat([accuracy(part) for part in parts]).sort_values(ORDER, ignore_index=True)
    pd.testing.assert_frame_equal(accuracy(results), whole)
    assert set(results.examples.key) == set(results.cells.key), "read when they are used"
    paired = pair(accuracy(results), "none").set_index(["label", "seed"]).difference
    assert paired.notna().to_dict() == {
        ("cutout", 0): True,
        ("cutout", 1): True,
        ("cutout", 2): False,
        ("random-erasing", 0): False,
        ("random-erasing", 1): False,
        ("random-erasing", 2): True,
    }
    assert any("not every label has every seed" in remark.lower() for remark in results.remarks)
    assert [each["set"] for each in results.spec["sets"]] == ["first", "second"]


def test_equal_cells_are_kept_once_and_said_to_agree(make_set: MakeSet) -> None:
    first, second = make_set("first"), make_set("second")
    results = compare([first, second])
    alone = load_results(first)
    pd.testing.assert_frame_equal(results.cells, alone.cells)
    pd.testing.assert_frame_equal(results.metrics, alone.metrics)
    pd.testing.assert_frame_equal(results.epochs, alone.epochs)
    (remark,) = results.remarks
    assert remark.startswith("4 cells are in both first and second: all ")
    assert "equal to the last bit" in remark
    assert {row["largest"] for row in results.spec["reproduction"]} == {0.0}


def test_deviations_of_equal_cells_are_told_by_size_and_place(
    make_set: MakeSet, put_value: Change
) -> None:
    first, second = make_set("first"), make_set("second")
    known = accuracy(load_results(second)).iloc[3]
    put_value(second, known.key, "accuracy", "accuracy", known.value + 0.25)
    results = compare([first, second])
    (row,) = [row for row in results.spec["reproduction"] if row["largest"]]
    assert (row["evaluation"], row["metric"]) == ("accuracy", "accuracy")
    assert row["largest"] == pytest.approx(0.25)
    assert row["equal"] == row["values"] - 1
    (remark,) = results.remarks
    assert f"{known.label}, seed {known.seed}" in remark
    assert accuracy(results).value.to_list() == accuracy(load_results(first)).value.to_list()


def test_a_done_cell_comes_before_one_that_is_not(make_set: MakeSet) -> None:
    first, second = make_set("first"), make_set("second")
    keys = load_results(first).cells.key
    shutil.rmtree(first / "cells" / keys[0])
    (first / "cells" / keys[1] / "accuracy.parquet").write_bytes(b"junk")
    assert set(load_results(first).cells.status[:2]) == {"missing", "failed"}
    results = compare([first, second])
    assert results.exit_code == 0
    assert accuracy(results).value.to_list() == accuracy(load_results(second)).value.to_list()


def test_what_only_another_set_measured_of_a_cell_is_added(make_set: MakeSet) -> None:
    first = make_set("first")
    second = make_set("second", evaluations=["accuracy", "calibration"])
    results = compare([first, second])
    assert set(results.metrics.evaluation) == {"accuracy", "shifts", "calibration"}
    assert not results.metrics.duplicated(["key", "evaluation", "split", "metric"]).any()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": {"epochs": 3}}, "recipe.epochs 2 → 3"),
        ({"tasks": [{"tiny-blobs": {"samples": 48}}]}, "task.parameters.samples 64 → 48"),
        ({"model": {"small-cnn": {"width": 5}}}, "model.parameters.width 4 → 5"),
    ],
)
def test_other_protocols_are_kept_apart(
    make_set: MakeSet, changes: dict[str, Any], reason: str
) -> None:
    first, second = make_set("first"), make_set("second", **changes)
    results = compare([first, second])
    assert list(dict.fromkeys(results.cells.task)) == ["tiny-blobs", "tiny-blobs (second)"]
    assert set(results.tasks) == {"tiny-blobs", "tiny-blobs (second)"}
    assert len(results.cells) == 8
    (remark,) = [text for text in results.remarks if "cannot be compared" in text]
    assert reason in remark
    paired = pair(accuracy(results), "none")
    assert paired.difference.notna().all()
    assert len(paired) == 4
    with pytest.raises(UserError, match="cannot be compared"):
        compare([first, second], strict=True)


def test_schema_source_and_facts_count(make_set: MakeSet, rewrite: Change) -> None:
    first = make_set("first")

    def older(parts: dict[str, Any]) -> None:
        parts["schema"] -= 1

    def other_source(parts: dict[str, Any]) -> None:
        parts["task"]["source"] = "0" * 16

    def other_data(record: dict[str, Any]) -> None:
        record["facts"]["classes"] = ["a", "b", "z"]

    def fewer_items(record: dict[str, Any]) -> None:
        record["training"]["samples"] -= 2 * record["training"]["epochs"]

    for name, how, reason in (
        ("older", {"components": older}, f"schema {SCHEMA} → {SCHEMA - 1}"),
        ("threads", {"components": lambda parts: parts.update(threads=2)}, "threads 1 → 2"),
        ("source", {"components": other_source}, "the source of the task changed"),
        ("data", {"record": other_data}, "facts.classes"),
        ("items", {"record": fewer_items}, "training samples an epoch 48 → 46"),
    ):
        folder = make_set(name)
        rewrite(folder, **how)
        results = compare([first, folder])
        assert reason in results.remarks[0], name
        assert f"tiny-blobs ({name})" in set(results.cells.task)
    third = make_set("older-again")
    rewrite(third, components=older)
    results = compare([first, folder.parent / "older", third])
    assert set(results.cells.task) == {"tiny-blobs", "tiny-blobs (older)"}, "the last two are equal"


def test_a_label_that_is_another_method_gets_another_name(make_set: MakeSet) -> None:
    first = make_set("first")
    second = make_set("second", regularizers=["none", {"cutout": {"size": 0.25}}])
    results = compare([first, second])
    assert results.labels == ("none", "cutout", "cutout (second)")
    assert len(results.cells) == 6
    assert results.parameters["cutout (second)"]["size"] == 0.25
    assert any("regularizer.parameters.size 0.5 → 0.25" in text for text in results.remarks)


def test_one_method_under_two_labels_is_one(make_set: MakeSet) -> None:
    first = make_set("first")
    named = {"name": "cutout", "size": 0.5, "label": "hole"}
    results = compare([first, make_set("second", regularizers=["none", named], seeds=[2])])
    assert results.labels == ("none", "cutout")
    assert "“hole” of second is what first calls “cutout”." in results.remarks


def test_what_has_not_run_yet_does_not_make_two_methods_one(make_set: MakeSet) -> None:
    folders = [
        make_set(name, regularizers=["none", {"cutout": {"size": size}}], seeds=[seed])
        for name, size, seed in (("first", 0.5, 0), ("second", 0.5, 1), ("third", 0.25, 2))
    ]
    shutil.rmtree(folders[0] / "cells")
    results = compare(folders)
    assert results.labels == ("none", "cutout", "cutout (third)")
    assert results.cells.groupby("label").seed.agg(set)["cutout"] == {0, 1}
    assert any("of third is not what it is in second" in text for text in results.remarks)


def test_checkpoints_of_one_folder_are_not_put_together(make_checkpoints: MakeSet) -> None:
    first = make_checkpoints("first", {("A", 0): 0, ("A", 1): 1, ("B", 0): 2, ("B", 1): 3})
    second = make_checkpoints("second", {("A", 2): 4, ("C", 0): 5, ("B", 2): 6})
    results = compare([first, second])
    assert results.labels == ("A", "B", "C")
    assert results.trained_elsewhere
    parts = [load_results(folder) for folder in (first, second)]
    whole = pd.concat([accuracy(part) for part in parts]).sort_values(ORDER, ignore_index=True)
    pd.testing.assert_frame_equal(accuracy(results), whole)
    paired = pair(accuracy(results), "A").set_index(["label", "seed"]).difference
    assert paired.notna().groupby("label").agg(list).to_dict() == {
        "B": [True, True, True],
        "C": [True, False, False],
    }
    again = compare([second, first])
    assert set(again.cells.key) == set(results.cells.key)


def test_other_weights_of_the_same_label_and_seed_are_shown_apart(
    make_checkpoints: MakeSet,
) -> None:
    first = make_checkpoints("first", {("A", 0): 0, ("B", 0): 1})
    second = make_checkpoints("second", {("A", 0): 1, ("B", 0): 0, ("same", 0): 2})
    results = compare([first, second])
    assert results.labels == ("A", "B", "A (second)", "B (second)", "same")
    assert len(results.cells) == 5
    assert "“A” of second is not what it is in first" in results.remarks[0]
    assert "seed 0 is another model" in results.remarks[0]
    with pytest.raises(UserError, match="another model"):
        compare([first, second], strict=True)
    third = make_checkpoints("third", {("A", 0): 0, ("B", 0): 1})
    same = compare([first, third])
    assert len(same.cells) == 2
    assert "equal to the last bit" in same.remarks[0]


def test_checkpoints_stand_beside_a_benchmark(make_set: MakeSet, make_checkpoints: MakeSet) -> None:
    results = compare([make_set("first"), make_checkpoints("second", {("none", 0): 0})])
    assert results.labels == ("none", "cutout", "none (second)")
    assert len(results.cells) == 5
    assert not results.trained_elsewhere


Parts = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([None, 1, 2]), max_size=4)


@given(st.lists(Parts, min_size=1, max_size=4))
def test_no_two_parts_of_a_set_are_one_and_none_joins_what_differs(
    sets: list[dict[str, int | None]],
) -> None:
    def differs(at: int, ours: str, place: int, theirs: str) -> str:
        before, after = sets[at][ours], sets[place][theirs]
        return "" if None in (before, after) or before == after else f"{before} → {after}"

    def known(place: int, part: str) -> bool:
        return sets[place][part] is not None

    groups: list[Group[str]] = []
    for place, parts in enumerate(sets):
        found = fitting(groups, place, list(parts), differs, known)
        assert len({id(group) for group in found.values()}) == len(found)
        assert found == fitting(groups, place, list(parts), differs, known)
        for part in parts:
            group = found.get(part) or Group(place, part, part)
            if part not in found:
                groups.append(group)
            assert place not in group.members
            group.members[place] = part
    for group in groups:
        content = {sets[place][part] for place, part in group.members.items()} - {None}
        assert len(content) <= 1


def test_values_of_a_changed_evaluation_are_holes(make_set: MakeSet) -> None:
    first = make_set("first", evaluations=["accuracy", "calibration"])
    changed = ["accuracy", {"calibration": {"bins": 7}}]
    second = make_set("second", evaluations=changed, seeds=[0, 1, 2])
    results = compare([first, second])
    calibration = results.metrics[results.metrics.evaluation == "calibration"]
    assert set(calibration.seed) == {0, 1}
    assert set(accuracy(results).seed) == {0, 1, 2}
    (remark,) = [text for text in results.remarks if text.startswith("Evaluation calibration")]
    assert '"bins": 7' in remark
    assert "tiny-blobs" in remark


def test_a_folder_of_an_older_version_says_what_cannot_be_told(
    make_set: MakeSet, rewrite: Change
) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])

    def forget(benchmark: dict[str, Any]) -> None:
        assert set(benchmark.pop("evaluation_identities")) == {"accuracy", "shifts"}

    rewrite(second, benchmark=forget)
    results = compare([first, second])
    assert any("cannot be told" in text and "accuracy" in text for text in results.remarks)
    assert set(accuracy(results).seed) == {0, 1, 2}
    same = make_set("same")
    rewrite(same, benchmark=forget)
    assert not any("cannot be told" in text for text in compare([first, same]).remarks), (
        "equal keys of evaluations tell"
    )


def test_step_times_are_not_compared_across_machines(make_set: MakeSet, rewrite: Change) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        record["environment"]["processor"] = "another one"

    first = make_set("first")
    second = make_set("second", regularizers=["none", "random-erasing"])
    rewrite(second, record=elsewhere)
    results = compare([first, second])
    times = results.cells.set_index("label").step_seconds.notna()
    assert times["cutout"].all()
    assert not times["random-erasing"].any(), "its baseline was timed on the first machine"
    assert any("timed on another machine" in text for text in results.remarks)
    assert len(results.environments) == 2
    results = compare([first, second], baseline="random-erasing")
    times = results.cells.set_index("label").step_seconds.notna()
    assert times["random-erasing"].all(), "the baseline that is asked for decides"
    assert not times[["none", "cutout"]].any()
    assert results.baseline == "random-erasing"


def test_the_order_of_sets_decides_names_alone(make_set: MakeSet) -> None:
    first, second = make_set("first"), make_set("second", recipe={"epochs": 3})
    one, other = compare([first, second]), compare([second, first])
    values = [accuracy(results).value.sort_values(ignore_index=True) for results in (one, other)]
    pd.testing.assert_series_equal(*values)
    assert set(other.cells.task) == {"tiny-blobs", "tiny-blobs (first)"}


def test_names_of_folders_come_out_unique() -> None:
    paths = [Path("/x/a/quickstart"), Path("/x/b/quickstart"), Path("/y/other")]
    assert unique_names(paths) == ["a/quickstart", "b/quickstart", "other"]
    assert unique_names([Path("/x/q/r"), Path("/y/q/r")]) == ["x/q/r", "y/q/r"]
    assert len(set(unique_names([Path("/r"), Path("/a/r"), Path("/b/a/r")]))) == 3


def test_the_report_of_hostile_folders(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path
) -> None:
    first = make_set("a & <b>one")
    second = make_set("two <script>alert(1)", recipe={"epochs": 3})
    out = tmp_path / "out"
    arguments = ["compare", str(first), str(second), "-o", str(out), "--format", "html"]
    arguments += ["--format", "markdown", "--sections", "provenance"]
    code, stdout, _ = call(capsys, *arguments)
    assert code == 0
    assert "note: tiny-blobs" in stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "two &lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert str(tmp_path) not in page
    before = (out / "report.html").read_bytes()
    call(capsys, *arguments)
    assert (out / "report.html").read_bytes() == before


def test_wrong_use_is_one_line(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path
) -> None:
    first, second = str(make_set("first")), str(make_set("second"))
    (tmp_path / "empty").mkdir()
    for arguments, part in (
        ([first], "one folder alone"),
        ([first, first], "is given twice"),
        ([first, f"{first}/../first"], "is given twice"),
        ([first, str(tmp_path / "empty")], "holds no results"),
        ([first, second, "--baseline", "cutuot"], "did you mean 'cutout'"),
        ([first, second, "--metric", "accuracy/test/acuracy"], "did you mean"),
        ([first, second, "-o", first], "choose another --output"),
        ([first, second, "--plugins", "no/such/folder"], "does not exist"),
    ):
        code, _, stderr = call(capsys, "compare", *arguments)
        assert code == 2, arguments
        assert part in stderr
        assert len(stderr.strip().splitlines()) == 1
    results = compare([first, second], baseline="cutout", metric="accuracy", margin=0.02)
    assert (results.baseline, results.margin) == ("cutout", 0.02)
    assert results.metric == "accuracy/test/accuracy"


def test_a_comparison_does_not_pass_for_the_report_of_a_folder(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path
) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    assert call(capsys, "report", str(first), "--sections", "provenance")[0] == 0
    stamp.put(first, first / "report")  # as after a run
    assert stamp.is_current(first, first / "report")
    arguments = ["compare", str(first), str(second), "--sections", "provenance", "-o"]
    code, stdout, _ = call(capsys, *arguments, str(first / "report"))
    assert code == 0
    assert f"report: {first / 'report' / 'report.html'}" in stdout
    assert not stamp.is_current(first, first / "report"), "the next run writes its own again"
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    code, _, stderr = call(capsys, *arguments, str(tmp_path / "file"))
    assert code == 2
    assert len(stderr.strip().splitlines()) == 1
    assert (tmp_path / "file").read_text(encoding="utf-8") == "kept"


def test_strict_refuses_on_the_command_line(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path
) -> None:
    folders = [str(make_set("first")), str(make_set("second", recipe={"epochs": 3}))]
    code, _, stderr = call(capsys, "compare", *folders, "-o", str(tmp_path / "out"), "--strict")
    assert code == 2
    assert "recipe.epochs 2 → 3" in stderr
    assert not (tmp_path / "out").exists()


def test_cells_of_a_broken_record_are_shown(make_set: MakeSet) -> None:
    first, second = make_set("first"), make_set("second", seeds=[2])
    key = load_results(second).cells.key[0]
    path = second / "cells" / key / "cell.json"
    path.write_text(json.dumps({"key": key}), encoding="utf-8")
    results = compare([first, second])
    failed = results.cells[results.cells.status == "failed"]
    assert failed.key.to_list() == [key]
    assert results.exit_code == 1
