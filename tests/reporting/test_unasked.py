"""What cannot be asked is said: holes on both sides, the ceiling, nothing foreign, nothing measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reldrop_bench.kinds.section import Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.guidance import answer, answers, judge_contrasts
from reldrop_bench.reporting.judgement import INCOMPLETE, judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.reporting.render import build_sections
from reldrop_bench.results import Results

Make = Callable[..., Results]
LABELS = ("none", "guided", "anywhere", "elsewhere")
GUIDED = {"guided": {"random": "anywhere", "other-sample": "elsewhere"}}
TASKS = ("digits", "cue-images")


def planted(make_results: Make, *primary: str, **more: Any) -> Results:
    """Return results in which guidance helps, whatever is looked at."""
    results = make_results(labels=LABELS, tasks=TASKS, seeds=6, **more)
    random = np.random.default_rng(5)
    metrics = results.metrics
    gain = metrics["label"].map({"guided": 0.1, "anywhere": 0.02, "elsewhere": 0.02}).fillna(0.0)
    metrics = metrics.assign(value=0.6 + gain + random.normal(0, 0.003, len(metrics)))
    entries: list[Mapping[str, Any]] = [
        {"name": name, "primary": True, "direction": "higher", "margin": 0.01}
        for name in primary or ("accuracy",)
    ]
    entries.append({"name": "occlusion", "primary": False, "direction": "higher", "margin": 0.01})
    stamp = {"outcomes": entries, "done": 0, "cells": 1}
    return replace(results, metrics=metrics, guided=GUIDED, declarations=(stamp,))


def said(results: Results) -> list[str]:
    lined_up = paired_outcomes(results)
    return answer(results, lined_up, judge_contrasts(results, lined_up))


def without(results: Results, task: str, *labels: str) -> Results:
    rows = results.metrics
    gone = (rows["task"] == task) & rows["label"].isin(labels)
    return replace(results, metrics=rows[~gone].reset_index(drop=True))


@pytest.mark.parametrize("labels", [LABELS[1:], ("guided", "anywhere"), ("guided",)])
def test_a_task_where_method_and_controls_fail_is_a_hole(
    make_results: Make, labels: tuple[str, ...]
) -> None:
    whole = planted(make_results)
    assert said(whole)[0] == "Yes: guidance is shown to help."
    results = without(whole, "cue-images", *labels)
    contrasts = judge_contrasts(results, paired_outcomes(results))
    words = {each.word for each in answers(results, contrasts) if each.primary}
    assert words == {INCOMPLETE}
    assert set(contrasts["settings_expected"]) == {2}
    assert said(results)[0].startswith("It cannot be said of all")
    verdicts = judge(results).set_index(["label", "outcome"])["verdict"]
    assert verdicts["guided", "accuracy"] == INCOMPLETE


def test_what_is_undecided_is_bounded_in_the_first_sentence(make_results: Make) -> None:
    results = planted(make_results)
    random = np.random.default_rng(6).normal(0.6, 0.1, len(results.metrics))
    results = replace(results, metrics=results.metrics.assign(value=random))
    contrasts = judge_contrasts(results, paired_outcomes(results))
    rows = contrasts[contrasts["role"] == "primary"]
    assert set(rows["verdict"]) == {"unclear"}
    low, high = rows["verdict_low"].min(), rows["verdict_high"].max()
    assert f"It may add −{-low:.2f} to +{high:.2f} of test accuracy." in said(results)[0]


def test_what_was_declared_and_not_measured_is_named(make_results: Make) -> None:
    results = planted(make_results, "accuracy", "calibration/tset/ece")
    first, *others = said(results)
    assert first.startswith("Yes: guidance is shown to help where it says so")
    assert "Calibration/tset/ece was declared as primary and not measured." in others
    roles = set(judge_contrasts(results, paired_outcomes(results))["role"])
    assert roles == {"primary", "exploratory"}, "no gate is open while a primary outcome is missing"
    nothing = planted(make_results, "calibration/tset/ece")
    assert said(nothing)[0].startswith("It cannot be said of any primary outcome")
    assert set(judge_contrasts(nothing, paired_outcomes(nothing))["role"]) == {"exploratory"}


def test_a_question_at_the_ceiling_is_not_dropped(make_results: Make) -> None:
    results = planted(make_results, "accuracy", "cues")
    metrics = results.metrics
    full = (metrics["evaluation"] == "cues") & (metrics["label"] != "none")
    results = replace(results, metrics=metrics.assign(value=metrics["value"].mask(full, 1.0)))
    first, *others = said(results)
    assert not first.endswith("help.")
    assert any("at the ceiling, not told apart" in text for text in others)


@pytest.mark.parametrize("section", ["guidance", "verdict", "significance", "shifts", "checklist"])
def test_sections_stand_where_no_kind_is_foreign(
    make_results: Make, section: str, tmp_path: Path
) -> None:
    results = planted(make_results, "shifts", "accuracy")
    kinds = frozenset({"noise", "blur", "contrast", "rotation"})
    results = replace(results, trains_with=dict.fromkeys(LABELS[1:], kinds))
    (built,) = build_sections(results, [registry.create("sections", section, {})], tmp_path, 1)
    assert built.error == "", built.traceback
    assert any("no kind is foreign" in text for text in said(results))


def test_outcomes_of_one_metric_name_have_a_column_each(make_results: Make, tmp_path: Path) -> None:
    paths = ("accuracy/test/class_mean_accuracy", "shifts/noise/1/accuracy", "accuracy")
    results = planted(make_results, *paths)
    (built,) = build_sections(results, [registry.create("sections", "verdict", {})], tmp_path, 1)
    (board,) = [b for b in built.blocks if isinstance(b, Table) and b.name == "verdict"]
    heads = list(board.frame.columns)
    assert len(set(heads)) == len(heads) == 1 + len(paths) + 1
    assert board.data is not None
    assert set(board.data["outcome"]) == {"accuracy", "occlusion", *paths[:2]}


def test_occlusion_that_is_trained_with_is_shown_beside(make_results: Make) -> None:
    results = planted(make_results, "shifts")
    metrics = results.metrics
    split = metrics["split"].astype(str).str.replace("contrast", "occlusion", regex=False)
    results = replace(results, metrics=metrics.assign(split=split))
    plain = judge(results).set_index(["label", "outcome"])
    assert np.isnan(plain.loc[("guided", "shifts"), "with_trained"])
    trained = replace(results, trains_with={"guided": frozenset({"occlusion"})})
    beside = judge(trained).set_index(["label", "outcome"])
    assert np.isfinite(beside.loc[("guided", "shifts"), "with_trained"])
    assert beside.loc[("guided", "shifts"), "mean"] == plain.loc[("guided", "shifts"), "mean"]
