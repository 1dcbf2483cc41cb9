"""Does guidance help: planted answers, and the numbers held against scipy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from reldrop_bench.reporting.guidance import (
    HELPS,
    HELPS_NOT,
    UNDECIDED,
    answer,
    answers,
    judge_contrasts,
)
from reldrop_bench.reporting.headlines import headline
from reldrop_bench.reporting.judgement import INCOMPLETE, judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.results import Results

Make = Callable[..., Results]
LABELS = ("none", "guided", "anywhere", "elsewhere")
GUIDED = {"guided": {"random": "anywhere", "other-sample": "elsewhere"}}


def planted(
    make_results: Make,
    gains: tuple[float, float, float],
    seeds: int = 8,
    sd: float = 0.004,
    **more: object,
) -> Results:
    """Return results whose accuracies are the baseline's plus a gain a label, plus noise."""
    results = make_results(labels=LABELS, tasks=("digits", "cue-images"), seeds=seeds, **more)
    metrics = results.metrics
    of = dict(zip(LABELS, (0.0, *gains), strict=True))
    random = np.random.default_rng(1)
    place = {
        (task, seed): random.normal(0, 0.05)
        for task, seed in itertools.product(("digits", "cue-images"), range(seeds))
    }
    judged = metrics["metric"].isin(["accuracy"]) | metrics["metric"].str.endswith("/auc")
    values = [
        0.7 + place[task, seed] + of[label] + random.normal(0, sd) if chosen else value
        for task, seed, label, value, chosen in zip(
            metrics["task"],
            metrics["seed"],
            metrics["label"],
            metrics["value"],
            judged,
            strict=True,
        )
    ]
    judged_by = [
        {"name": name, "primary": True, "direction": "higher", "margin": 0.01}
        for name in ("accuracy", "shifts", "occlusion", "cues")
    ]
    return replace(
        results,
        metrics=metrics.assign(value=values),
        guided=GUIDED,
        declarations=({"outcomes": judged_by, "done": 0, "cells": 1},),
    )


def words(results: Results) -> set[str]:
    return {
        each.word for each in answers(results, judge_contrasts(results, paired_outcomes(results)))
    }


@pytest.mark.parametrize(
    ("gains", "word", "first"),
    [
        # All of the gain is the relevance of the very sample.
        ((0.1, 0.02, 0.02), HELPS, "Yes: guidance is shown to help."),
        # All of it is the place: another sample's relevance does as well.
        ((0.1, 0.02, 0.1), HELPS_NOT, "Guidance is not shown to help: the controls do as well"),
        # Hiding more or less anywhere is what helps.
        ((0.1, 0.1, 0.1), HELPS_NOT, "Guidance is not shown to help"),
        # It is better than nothing, and worse than its control.
        ((0.05, 0.1, 0.0), HELPS_NOT, "Guidance is not shown to help"),
    ],
)
def test_planted_answers_are_found(
    make_results: Make, gains: tuple[float, float, float], word: str, first: str
) -> None:
    results = planted(make_results, gains)
    lined_up = paired_outcomes(results)
    contrasts = judge_contrasts(results, lined_up)
    assert words(results) == {word}
    said = answer(results, lined_up, contrasts)
    assert said[0].startswith(first)
    outcomes = len(lined_up)
    assert f"{outcomes} {word}" in " ".join(said)
    # What is better than none is never said without its control.
    compared = judge(results, lined_up)
    for item in lined_up:
        text = headline(results, item, compared, contrasts)
        if word == HELPS:
            assert "and better than its controls: guidance helps" in text
        else:
            assert "not due to guidance" in text


def test_noise_is_undecided(make_results: Make) -> None:
    results = planted(make_results, (0.0, 0.0, 0.0), seeds=3, sd=0.05)
    assert words(results) == {UNDECIDED}
    lined_up = paired_outcomes(results)
    assert answer(results, lined_up, judge_contrasts(results, lined_up))[0].startswith("Undecided")


def test_a_method_that_fails_where_it_does_badly_is_not_said_to_help(make_results: Make) -> None:
    failed = tuple(("cue-images", "guided", seed) for seed in range(8))
    results = planted(make_results, (0.1, 0.02, 0.02), failed=failed)
    rows = results.metrics
    gone = (rows["task"] == "cue-images") & (rows["label"] == "guided")
    results = replace(results, metrics=rows[~gone].reset_index(drop=True))
    lined_up = paired_outcomes(results)
    contrasts = judge_contrasts(results, lined_up)
    found = {each.outcome: each.word for each in answers(results, contrasts)}
    # Of these made-up tasks digits alone has other shifts than removed cues: there no pair is missing.
    assert found == {
        "accuracy": INCOMPLETE, "occlusion": INCOMPLETE, "cues": INCOMPLETE, "shifts": HELPS
    }  # fmt: skip
    assert answer(results, lined_up, contrasts)[0].startswith("It cannot be said of all")


def test_numbers_are_those_of_scipy_and_holm(make_results: Make) -> None:
    results = planted(make_results, (0.01, 0.004, 0.0), sd=0.01)
    rows = results.metrics
    results = replace(
        results,
        cells=results.cells[results.cells["task"] == "digits"].reset_index(drop=True),
        metrics=rows[rows["task"] == "digits"].reset_index(drop=True),
    )
    contrasts = judge_contrasts(results, paired_outcomes(results))
    path = {"task": "digits", "evaluation": "accuracy", "split": "test", "metric": "accuracy"}
    chosen = rows[(rows[list(path)] == list(path.values())).all(axis=1)]
    wide = chosen.pivot(index="seed", columns="label", values="value")
    for control in ("anywhere", "elsewhere"):
        row = contrasts[
            (contrasts["other"] == control) & (contrasts["outcome"] == "accuracy")
        ].iloc[0]
        expected = scipy.stats.ttest_rel(wide["guided"], wide[control])
        assert row["mean"] == pytest.approx((wide["guided"] - wide[control]).mean())
        assert row["p"] == pytest.approx(expected.pvalue)
    # Holm's step-down, written out: the i-th smallest of m times m − i + 1, never less than before.
    ordered = contrasts["p"].sort_values()
    adjusted, largest = {}, 0.0
    for place, (index, p) in enumerate(ordered.items()):
        largest = max(largest, min(1.0, p * (len(ordered) - place)))
        adjusted[index] = largest
    assert contrasts["p_family"].to_dict() == pytest.approx(adjusted)


def test_pairs_of_the_spec_are_contrasts_and_missing_controls_are_named(make_results: Make) -> None:
    results = planted(make_results, (0.1, 0.1, 0.1))
    spec = {**results.spec, "contrasts": [["guided", "none"], ["guided", "anywhere"]]}
    only = replace(results, spec=spec, guided={"guided": {"random": "anywhere"}, "elsewhere": {}})
    lined_up = paired_outcomes(only)
    contrasts = judge_contrasts(only, lined_up)
    pairs = list(zip(contrasts["label"], contrasts["other"], contrasts["rung"], strict=True))
    assert set(pairs) == {("guided", "anywhere", "random"), ("guided", "none", "")}
    said = " ".join(answer(only, lined_up, contrasts))
    assert "“elsewhere” has no control here" in said
    nobody = replace(results, guided={})
    assert answer(nobody, lined_up, judge_contrasts(nobody, lined_up)) == []


def test_a_random_control_alone_does_not_show_that_guidance_helps(make_results: Make) -> None:
    # All of the gain is the place; the control that would show it was left out.
    whole = planted(make_results, (0.1, 0.02, 0.1))
    results = replace(whole, guided={"guided": {"random": "anywhere", "other-sample": ""}})
    assert words(results) == {UNDECIDED}
    lined_up = paired_outcomes(results)
    contrasts = judge_contrasts(results, lined_up)
    said = answer(results, lined_up, contrasts)
    assert said[0].startswith("Undecided")
    assert any("“guided” lacks its control other-sample" in sentence for sentence in said)
    compared = judge(results, lined_up)
    for item in lined_up:
        text = headline(results, item, compared, contrasts)
        assert "what guidance adds is undecided" in text
        assert "guidance helps" not in text
