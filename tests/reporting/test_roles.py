"""Primary outcomes first: families, gatekeeping, what is asked, and what would decide the rest."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from reldrop_bench.reporting.deciding import what_would_decide
from reldrop_bench.reporting.guidance import answer, answers, judge_contrasts
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.outcomes import declared_when, margin_of, outcomes
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.results import Results

Make = Callable[..., Results]
LABELS = ("none", "guided", "anywhere")
SEEDS = 6


def declared(*names: str, primary: str, done: int = 0) -> tuple[Mapping[str, Any], ...]:
    entries = [
        {"name": name, "primary": name == primary, "direction": "higher", "margin": 0.01}
        for name in (primary, *names)
    ]
    return ({"outcomes": entries, "done": done, "cells": 54},)


def planted(make_results: Make, sd: float = 0.01, **gains: float) -> Results:
    """Return results in which the guided label gains so much, by the name of the evaluation."""
    results = make_results(labels=LABELS, tasks=("digits",), seeds=SEEDS)
    metrics = results.metrics.copy()
    random = np.random.default_rng(3)
    gain = metrics["evaluation"].map(gains).fillna(0.0).where(metrics["label"] == "guided", 0.0)
    judged = metrics["metric"].isin(["accuracy"]) | metrics["metric"].str.endswith("/auc")
    noise = random.normal(0, sd, len(metrics))
    metrics["value"] = metrics["value"].where(~judged, 0.6 + gain + noise)
    return replace(
        results,
        metrics=metrics,
        guided={"guided": {"random": "anywhere"}},
        declarations=declared("shifts", "occlusion", primary="accuracy"),
    )


def contrasts_of(results: Results) -> pd.DataFrame:
    return judge_contrasts(results, paired_outcomes(results)).set_index("outcome")


def holm(p: np.ndarray) -> np.ndarray:
    """Holm 1979, written out."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    running = 0.0
    for rank, place in enumerate(order):
        running = max(running, (len(p) - rank) * p[place])
        adjusted[place] = min(1.0, running)
    return adjusted


def test_each_role_is_a_family(make_results: Make) -> None:
    results = planted(make_results, accuracy=0.02, occlusion=0.02)
    frame = contrasts_of(results)
    assert frame.loc["accuracy", "p_family"] == frame.loc["accuracy", "p"]
    rest = frame.loc[["shifts", "occlusion"]]
    np.testing.assert_allclose(rest["p_family"], holm(rest["p"].to_numpy()), rtol=1e-12)
    compared = judge(results)
    for label, part in compared.groupby("label"):
        for role, family in part.groupby("role"):
            wanted = holm(family["p"].to_numpy())
            np.testing.assert_allclose(
                family["p_pair"], wanted, rtol=1e-12, err_msg=f"{label} {role}"
            )
    for _, family in compared.groupby("role"):
        np.testing.assert_allclose(family["p_page"], holm(family["p"].to_numpy()), rtol=1e-12)


def test_the_rest_is_exploratory_until_each_primary_contrast_is_decided(make_results: Make) -> None:
    opened = contrasts_of(planted(make_results, accuracy=0.2, occlusion=0.2))
    assert opened["role"].to_dict() == {
        "accuracy": "primary", "shifts": "secondary", "occlusion": "secondary"
    }  # fmt: skip
    closed = contrasts_of(planted(make_results, occlusion=0.2))
    assert set(closed.loc[["shifts", "occlusion"], "role"]) == {"exploratory"}
    assert closed.loc["accuracy", "role"] == "primary"


def test_the_question_is_asked_of_primary_outcomes_alone(make_results: Make) -> None:
    results = planted(make_results, occlusion=0.2)
    lined_up = paired_outcomes(results)
    contrasts = judge_contrasts(results, lined_up)
    assert {each.outcome: each.word for each in answers(results, contrasts)}["occlusion"] == "helps"
    first, counts, *_ = answer(results, lined_up, contrasts)
    assert not first.startswith("Yes")
    assert counts.startswith("Of 1 question (guided method × primary outcome) guidance: 0 helps")
    first, *_ = answer(*_with_contrasts(planted(make_results, accuracy=0.2)))
    assert first == "Yes: guidance is shown to help."


def _with_contrasts(results: Results) -> tuple[Results, Any, pd.DataFrame]:
    lined_up = paired_outcomes(results)
    return results, lined_up, judge_contrasts(results, lined_up)


@pytest.mark.parametrize(("metric", "done", "before"), [("", 0, True), ("", 12, False)])
def test_it_says_when_outcomes_were_declared(
    make_results: Make, metric: str, done: int, before: bool
) -> None:
    results = replace(
        planted(make_results), metric=metric, declarations=declared(primary="accuracy", done=done)
    )
    known, text = declared_when(results)
    assert known is before
    assert ("after 12 of 54 cells" in text) is not before
    chosen = replace(results, metric="calibration/test/ece")
    assert declared_when(chosen)[0] is False
    assert declared_when(replace(results, declarations=()))[0] is False


def test_a_metric_is_judged_with_its_direction_and_margin(make_results: Make) -> None:
    entry = {"name": "calibration/test/ece", "primary": True, "direction": "lower", "margin": 0.02}
    results = replace(
        planted(make_results), declarations=({"outcomes": [entry], "done": 0, "cells": 1},)
    )
    (outcome,) = outcomes(results)
    assert (outcome.direction, outcome.primary) == ("lower", True)
    assert margin_of(results, outcome) == 0.02
    assert margin_of(replace(results, margin=0.5), outcome) == 0.5


def test_what_would_decide_the_rest_finds_the_margin_as_often_as_it_says(
    make_results: Make,
) -> None:
    results = planted(make_results, sd=0.02)
    text = what_would_decide(*_with_contrasts(results), {("guided", "accuracy")})
    seeds = int(
        re.search(r"of its own with ([\d,]+) seeds instead of 6", text).group(1).replace(",", "")
    )  # type: ignore[union-attr]
    metrics = results.metrics
    chosen = metrics[(metrics["evaluation"] == "accuracy") & (metrics["metric"] == "accuracy")]
    pivot = chosen.pivot(index="seed", columns="label", values="value")
    sd = (pivot["guided"] - pivot["anywhere"]).std(ddof=1)
    power = _power(0.01 / sd, seeds)
    assert power == pytest.approx(0.8, abs=0.02)
    assert _power(0.01 / sd, seeds - 1) < 0.8


def _power(effect: float, n: int) -> float:
    """The power of the paired t test, by the noncentral t distribution of scipy."""
    critical = scipy.stats.t.ppf(0.975, n - 1)
    shift = effect * np.sqrt(n)
    return float(
        scipy.stats.nct.sf(critical, n - 1, shift) + scipy.stats.nct.cdf(-critical, n - 1, shift)
    )


def test_where_all_is_decided_nothing_more_is_asked_for(make_results: Make) -> None:
    assert what_would_decide(*_with_contrasts(planted(make_results, accuracy=0.2)), set()) == ""
    said = answer(*_with_contrasts(planted(make_results, accuracy=-0.2)))
    assert said[0].startswith("Guidance is not shown to help")
    assert not any("What would decide" in text for text in said)


def test_outcomes_by_default_are_those_of_the_tasks(make_results: Make) -> None:
    results = make_results(tasks=("digits", "cue-images"))
    found = {outcome.key: outcome.primary for outcome in outcomes(results)}
    assert [key for key, primary in found.items() if primary] == ["cues", "shifts"]
    assert list(itertools.islice(found, 2)) == ["cues", "shifts"]
