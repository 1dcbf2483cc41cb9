"""Cells that are compared with other cells: who they are, who waits, and what happens without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reldrop_bench import load_results
from reldrop_bench.kinds.executor import Queue
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.results import Results
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.cell import Job
from reldrop_bench.running.runner import run
from reldrop_bench.store.folder import Store
from reldrop_bench.store.state import is_trained

pytestmark = pytest.mark.usefixtures("plugin_folder")


@pytest.fixture
def spec(tiny_spec: dict[str, Any]) -> dict[str, Any]:
    return tiny_spec | {"evaluations": ["company"], "recipe": {"epochs": 1}}


def sums(results: Results) -> pd.DataFrame:
    """Return the sums of weights, a row a cell."""
    rows = results.metrics[results.metrics["evaluation"] == "company"]
    return rows.pivot_table(index=["label", "seed"], columns="metric", values="value")


def test_each_role_is_the_cell_that_it_says(spec: dict[str, Any], tmp_path: Path) -> None:
    found = sums(run(spec, output=tmp_path, workers=0))
    own = found["own"]
    assert own.nunique() == 4
    for (label, seed), row in found.iterrows():
        assert row["reference"] == own["none", 0]
        if label == "none":
            assert pd.isna(row["baseline"])
        else:
            assert row["baseline"] == own["none", seed]
        if seed == 0:
            assert pd.isna(row["first-seed"])
        else:
            assert row["first-seed"] == own[label, 0]


def test_two_workers_give_the_bits_of_one(spec: dict[str, Any], tmp_path: Path) -> None:
    found = [
        sums(run(spec, output=tmp_path / str(count), workers=count)).sort_index()
        for count in (1, 2)
    ]
    pd.testing.assert_frame_equal(*found, check_exact=True)


def test_who_is_compared_with_whom_is_part_of_an_evaluations_key_alone(
    spec: dict[str, Any],
) -> None:
    def keys(**changes: Any) -> dict[tuple[str, int], tuple[str, str]]:
        return {
            (cell.regularizer.label, cell.seed): (
                cell.key,
                cell.evaluation_key(cell.evaluations[0]),
            )
            for cell in expand(load_spec(spec | changes)).cells
        }

    none, cutout = keys(), keys(baseline="cutout")
    assert all(none[place][0] == cutout[place][0] for place in none)
    assert all(none[place][1] != cutout[place][1] for place in none)
    more = keys(seeds=3)
    assert all(more[place] == none[place] for place in none)
    plain = expand(load_spec(spec | {"evaluations": ["accuracy"]})).cells
    assert all(not cell.companions for cell in plain)


def test_a_queue_holds_back_who_waits_and_lets_them_go_when_the_others_have_ended(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    cells = expand(load_spec(spec)).cells
    jobs = [
        Job(
            cell,
            tmp_path,
            None,
            after=frozenset(c.key for c in cell.companions.values()) - {cell.key},
        )
        for cell in reversed(cells)
    ]
    queue = Queue(jobs)
    reference = queue.take()
    assert reference is not None
    assert (reference.cell.regularizer.label, reference.cell.seed) == ("none", 0)
    assert queue.take() is None, "all others wait for it"
    queue.end(reference)
    free = [job for job in iter(queue.take, None) if job is not None]
    assert {(job.cell.regularizer.label, job.cell.seed) for job in free} == {
        ("none", 1),
        ("cutout", 0),
    }
    for job in free:
        queue.end(job)
    last = queue.take()
    assert last is not None
    assert (last.cell.regularizer.label, last.cell.seed) == ("cutout", 1)
    assert queue.take() is None


def test_without_its_companion_a_cell_says_so_and_is_measured_again_when_it_has_come(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    first = run(spec, output=tmp_path, workers=0, only=["label=cutout"])
    notes = first.notes
    assert set(notes["metric"]) == {"baseline", "reference"}
    assert set(notes["reason"]) == {"its model is not there"}
    assert set(first.cells.set_index("label").loc["cutout", "status"]) == {"done"}
    plan = prepare(spec, Options(output=tmp_path, only=["label=cutout"])).plan()
    assert [planned.action for planned in plan.cells] == ["cached"] * 2
    second = run(spec, output=tmp_path, workers=0)
    assert second.notes.empty
    assert sums(second)["baseline"].notna().sum() == 2
    assert not prepare(spec, Options(output=tmp_path)).plan().to_do


def test_a_companion_that_fails_ends_no_one_else(spec: dict[str, Any], tmp_path: Path) -> None:
    broken = {"name": "misbehaving", "how": "raise", "label": "broken"}
    spec |= {"regularizers": [broken, "cutout"], "baseline": "broken"}
    for workers in (0, 1):
        results = run(spec, output=tmp_path / str(workers), workers=workers)
        status = results.cells.groupby("label")["status"].unique().map(list).to_dict()
        assert status == {"broken": ["failed"], "cutout": ["done"]}
        assert set(results.notes["metric"]) == {"baseline", "reference"}


def test_the_weights_of_companions_are_kept(
    spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    run(spec | {"keep_models": "none"}, output=tmp_path, workers=0)
    store = Store(tmp_path)
    kept = {
        (cell.label, cell.seed): is_trained(store.read_cell(str(cell.key)))
        for cell in load_results(tmp_path).cells.itertuples()
    }
    # cutout's second seed is the only one that nobody is compared with
    assert kept == {("none", 0): True, ("none", 1): True, ("cutout", 0): True, ("cutout", 1): False}
    assert not prepare(spec | {"keep_models": "none"}, Options(output=tmp_path)).plan().to_do


def test_a_damaged_companion_gives_a_note_and_never_a_number(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    whole = sums(run(spec, output=tmp_path, workers=0))
    results = load_results(tmp_path)
    key = results.cells.query("label == 'none' and seed == 0")["key"].iloc[0]
    weights = tmp_path / "cells" / key / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = spec | {"evaluations": [{"company": {"again": True}}]}
    partly = run(changed, output=tmp_path, workers=0, only=["label=cutout"])
    assert "reference" not in sums(partly).columns
    assert {"reference", "baseline"} == set(partly.notes["metric"])
    mended = sums(run(changed, output=tmp_path, workers=0))
    pd.testing.assert_frame_equal(mended, whole, check_exact=True)


def test_a_cell_without_weights_is_not_trained_again_for_a_companion_that_fails(
    spec: dict[str, Any], tmp_path: Path
) -> None:
    broken = {"name": "misbehaving", "how": "raise", "label": "broken"}
    spec |= {
        "regularizers": [broken, "cutout"],
        "baseline": "broken",
        "keep_models": "none",
        "evaluations": ["company"],
    }
    run(spec, output=tmp_path, workers=0)
    plan = prepare(spec, Options(output=tmp_path)).plan()
    actions = {(each.cell.regularizer.label, each.cell.seed): each.action for each in plan.cells}
    assert actions["cutout", 1] == "cached"  # the first seed is kept, and is looked at again
