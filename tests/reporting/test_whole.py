"""An answer needs all that it rests on: every task, every control, as much hidden, every primary outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reldrop_bench.reporting.deciding import what_would_decide
from reldrop_bench.reporting.guidance import answer, answers, judge_contrasts
from reldrop_bench.reporting.judgement import INCOMPLETE, judge
from reldrop_bench.reporting.outcomes import declared_when, outcomes
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.results import Results

from .test_unasked import LABELS, planted, said, without

Make = Callable[..., Results]
YES = "Yes: guidance is shown to help."


def roles(results: Results) -> set[str]:
    return set(judge_contrasts(results, paired_outcomes(results))["role"])


def undone(results: Results, task: str) -> Results:
    """Return the results as if no cell of a task had been computed."""
    there = results.cells["task"] == task
    cells = results.cells.assign(status=results.cells["status"].mask(there, "missing"))
    tasks = {name: facts for name, facts in results.tasks.items() if name != task}
    return replace(without(results, task, *LABELS), cells=cells, tasks=tasks)


@pytest.mark.parametrize("task", ["digits", "cue-images"])
def test_a_task_of_which_nothing_is_done_leaves_no_answer(make_results: Make, task: str) -> None:
    whole = planted(make_results)
    assert said(whole)[0] == YES
    results = undone(whole, task)
    first, *others = said(results)
    assert first.startswith("It cannot be said of all")
    assert f"No cell of {task} is done: nothing is said of it." in others
    assert set(judge(results)["verdict"]) == {INCOMPLETE}
    assert roles(results) == {"primary", "exploratory"}


def test_a_task_that_lacks_what_the_outcome_needs_is_no_hole(make_results: Make) -> None:
    whole = planted(make_results, "cues")
    first = said(whole)[0]
    results = undone(whole, "digits")
    assert not said(results)[0].startswith(first), "nobody knows whether it has cues"
    known = replace(results, tasks=whole.tasks)
    contrasts = judge_contrasts(known, paired_outcomes(known))
    assert set(contrasts.loc[contrasts["outcome"] == "cues", "settings_expected"]) == {1}


def test_a_control_that_a_task_lacks_is_a_hole(make_results: Make) -> None:
    whole = planted(make_results)

    def left_out(task: str, label: str) -> Results:
        gone = (whole.cells["task"] == task) & (whole.cells["label"] == label)
        return replace(without(whole, task, label), cells=whole.cells[~gone])

    results = left_out("digits", "elsewhere")
    assert said(results)[0].startswith("It cannot be said of all")
    # Where the method is left out as well, nothing is asked of the task.
    lean = left_out("digits", "guided")
    assert "cannot be said" not in said(lean)[0]


def test_no_gate_opens_while_a_pair_is_missing(make_results: Make) -> None:
    whole = planted(make_results)
    assert roles(whole) == {"primary", "secondary"}
    rows = whole.metrics
    gone = (rows["task"] == "digits") & (rows["label"] == "guided") & (rows["seed"] == 0)
    assert roles(replace(whole, metrics=rows[~gone])) == {"primary", "exploratory"}


def test_one_control_at_the_ceiling_is_named(make_results: Make) -> None:
    whole = planted(make_results)
    full = whole.metrics["label"].isin(["guided", "elsewhere"])
    results = replace(
        whole, metrics=whole.metrics.assign(value=whole.metrics["value"].mask(full, 1.0))
    )
    first, *others = said(results)
    assert first.startswith("Undecided")
    assert "“guided”, test accuracy: it and its control “elsewhere” are at the ceiling" in " ".join(
        others
    )
    assert roles(results) == {"primary", "exploratory"}


@pytest.mark.parametrize(
    ("share", "alike"), [(0.30, True), (0.31, True), (0.1, False), (0.5, False)]
)
def test_a_control_that_hides_another_share_decides_nothing(
    make_results: Make, share: float, alike: bool
) -> None:
    whole = planted(make_results)
    shares = whole.cells["label"].map({"guided": 0.3, "anywhere": share, "elsewhere": 0.3})
    results = replace(whole, cells=whole.cells.assign(occluded_fraction=shares))
    first, *others = said(results)
    assert (first == YES) is alike
    named = f"“guided” hid 30.0% of the input of digits and its control “anywhere” {share:.1%}"
    assert any(named in text for text in others) is not alike
    words = {
        each.word for each in answers(results, judge_contrasts(results, paired_outcomes(results)))
    }
    assert ("helps" in words) is alike


def test_pairs_of_a_spec_are_tested_once(make_results: Make) -> None:
    whole = planted(make_results)
    turned = replace(whole, spec=whole.spec | {"contrasts": [["anywhere", "guided"]]})
    for results in (whole, turned):
        contrasts = judge_contrasts(results, paired_outcomes(results))
        assert (contrasts["outcome"] == "accuracy").sum() == 2


def test_metrics_of_like_names_have_keys_of_their_own(make_results: Make) -> None:
    results = planted(make_results)
    names = ("accuracy/test/hits@1", "accuracy/test/hits+1")
    rows = results.metrics[results.metrics["metric"] == "accuracy"]
    more = [rows.assign(metric=name.rpartition("/")[2]) for name in names]
    entries = [{"name": n, "primary": True, "direction": "higher", "margin": None} for n in names]
    results = replace(
        results,
        metrics=type(rows)(
            np.concatenate([part.to_numpy(object) for part in more]), columns=rows.columns
        )
        .infer_objects()
        .astype({"value": float}),
        declarations=({"outcomes": entries, "done": 0, "cells": 1},),
    )
    assert len({outcome.key for outcome in outcomes(results)}) == 2


def test_seeds_that_were_added_are_told(make_results: Make) -> None:
    results = planted(make_results)
    (stamp,) = results.declarations
    stamp = {**stamp, "seeds": [0, 1]}
    again = {**stamp, "done": 12, "cells": 54, "seeds": [0, 1, 2]}
    before, text = declared_when(replace(results, declarations=(stamp, again)))
    assert not before
    assert text.startswith("seeds were added after 12 of 54 cells were done")
    other = {**again, "seeds": [0, 1], "outcomes": [{**stamp["outcomes"][0], "name": "cues"}]}
    before, text = declared_when(replace(results, declarations=(stamp, other)))
    assert not before
    assert "seeds" not in text


def test_more_seeds_are_advised_as_a_run_of_their_own_or_not_at_all(make_results: Make) -> None:
    results = planted(make_results)
    noise = np.random.default_rng(0)
    texts = {}
    for spread in (0.002, 0.1):
        values = 0.6 + noise.normal(0, spread, len(results.metrics))
        drawn = replace(results, metrics=results.metrics.assign(value=values))
        lined_up = paired_outcomes(drawn)
        contrasts = judge_contrasts(drawn, lined_up).assign(verdict="unclear")
        texts[spread] = what_would_decide(drawn, lined_up, contrasts, {("guided", "accuracy")})
    assert "6 seeds would have found a difference as large as the margin" in texts[0.002]
    assert "a run of its own with" in texts[0.1]
    assert answer(
        results, paired_outcomes(results), judge_contrasts(results, paired_outcomes(results))
    )
