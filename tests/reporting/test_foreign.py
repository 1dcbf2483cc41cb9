"""Shifts without what was trained: by pairs, beside what they are with it, and what their mean hides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reldrop_bench.kinds.recipe import AUGMENTATIONS, TRAINED_KINDS
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.falls import hidden_falls, judge_kinds
from reldrop_bench.reporting.guidance import judge_contrasts
from reldrop_bench.reporting.headlines import headline
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.results import Results
from reldrop_bench.store.declared import trained_kinds

Make = Callable[..., Results]
KINDS = ("noise", "blur", "contrast", "rotation")


def shifted(make_results: Make, **gains: float) -> Results:
    """Return results of two labels and a baseline; label "cutout" gains so much under each kind."""
    results = make_results(labels=("none", "cutout", "mixing"), tasks=("digits",), seeds=6)
    metrics = results.metrics.copy()
    random = np.random.default_rng(0)
    shifts = metrics["evaluation"] == "shifts"
    base = {seed: random.normal(0.6, 0.05) for seed in range(6)}
    kinds = metrics["split"].astype(str).str.partition("/")[0]
    gain = kinds.map(gains).fillna(0.0).where(metrics["label"] == "cutout", 0.0)
    noise = random.normal(0, 0.004, len(metrics))
    metrics["value"] = metrics["value"].where(~shifts, metrics["seed"].map(base) + gain + noise)
    return replace(results, metrics=metrics)


def by_hand(results: Results, label: str, kinds: set[str]) -> float:
    """Return the mean difference to the baseline: over severities, kinds and seeds, by pandas alone."""
    rows = results.metrics[results.metrics["evaluation"] == "shifts"]
    rows = rows.assign(kind=rows["split"].astype(str).str.split("/").str[0])
    rows = rows[rows["kind"].isin(kinds)]
    by_kind = rows.groupby(["label", "seed", "kind"])["value"].mean()
    by_cell = by_kind.groupby(["label", "seed"]).mean()
    return float((by_cell[label] - by_cell["none"]).mean())


def row_of(results: Results, label: str) -> pd.Series:
    frame = judge(results)
    return frame[(frame["label"] == label) & (frame["outcome"] == "shifts")].squeeze()


def test_what_a_label_is_trained_with_is_left_out_and_shown_beside(make_results: Make) -> None:
    results = shifted(make_results, noise=0.2, blur=0.02)
    plain = {label: row_of(results, label) for label in ("cutout", "mixing")}
    assert plain["cutout"]["mean"] == pytest.approx(by_hand(results, "cutout", set(KINDS)))
    assert np.isnan(plain["cutout"]["with_trained"])
    trained = replace(results, trains_with={"cutout": frozenset({"noise", "occlusion"})})
    row = row_of(trained, "cutout")
    rest = set(KINDS) - {"noise"}
    assert row["mean"] == pytest.approx(by_hand(results, "cutout", rest))
    assert row["with_trained"] == pytest.approx(by_hand(results, "cutout", set(KINDS)))
    assert row["mean"] < row["with_trained"]
    # The other label's row says what it said, to the last bit.
    pd.testing.assert_series_equal(
        row_of(trained, "mixing").drop(["p_page", "p_page_equivalence", "holds"]),
        plain["mixing"].drop(["p_page", "p_page_equivalence", "holds"]),
        check_exact=True,
    )


def test_what_the_recipe_augments_with_is_trained_by_all() -> None:
    assert TRAINED_KINDS.keys() <= AUGMENTATIONS.keys()
    spec = {"name": "x", "tasks": ["digits"], "regularizers": ["none", "cutout"], "seeds": 1}
    plain, cropped = (
        trained_kinds(expand(load_spec(spec | {"recipe": {"augmentation": names}})).cells)
        for names in ([], ["crop"])
    )
    assert plain["none"] == []
    assert "shift" in {
        name.partition("/")[0] for name in registry.create("tasks", "digits", {}).shifts(None)
    }
    assert "shift" in cropped["none"]
    assert {*cropped["cutout"]} == {*plain["cutout"], *cropped["none"]}


def test_what_nobody_recorded_is_said(make_results: Make) -> None:
    results = shifted(make_results)
    (item,) = (item for item in paired_outcomes(results) if item.outcome.key == "shifts")

    def text(trains_with: dict[str, frozenset[str]]) -> str:
        recorded = replace(results, trains_with=trains_with)
        compared = judge(recorded)
        return headline(recorded, item, compared, judge_contrasts(recorded, [item]))

    nothing: frozenset[str] = frozenset()
    assert "What 2 of 3 labels trained with is not recorded" in text({"none": nothing})
    assert "recorded" not in text(dict.fromkeys(["none", "cutout", "mixing"], nothing))


def test_a_label_that_is_trained_with_all_kinds_has_no_such_outcome(make_results: Make) -> None:
    results = shifted(make_results)
    trained = replace(results, trains_with={"cutout": frozenset(KINDS)})
    frame = judge(trained)
    assert "shifts" not in set(frame.loc[frame["label"] == "cutout", "outcome"])
    assert "shifts" in set(frame.loc[frame["label"] == "mixing", "outcome"])


def test_what_the_baseline_is_trained_with_is_foreign_to_nobody(make_results: Make) -> None:
    results = shifted(make_results, noise=0.2)
    trained = replace(results, trains_with={"none": frozenset({"noise"})})
    for label in ("cutout", "mixing"):
        assert row_of(trained, label)["mean"] == pytest.approx(
            by_hand(results, label, set(KINDS) - {"noise"})
        )


def test_a_fall_that_the_mean_hides_is_named(make_results: Make) -> None:
    results = shifted(make_results, noise=0.2, blur=-0.1)
    (item,) = (item for item in paired_outcomes(results) if item.outcome.key == "shifts")
    compared = judge(results)
    row = compared[(compared["label"] == "cutout") & (compared["outcome"] == "shifts")]
    assert list(row["verdict"]) == ["better"]
    text = hidden_falls(results, item, compared)
    assert text.startswith("The mean hides falls under single kinds: blur (“cutout” by −0.")
    assert "noise" not in text
    by_kind = judge_kinds(results, item, ["cutout"]).set_index("kind")
    for kind in KINDS:
        assert by_kind.loc[kind, "mean"] == pytest.approx(by_hand(results, "cutout", {kind}))
    # What is trained with is no fall under a foreign shift.
    trained = replace(results, trains_with={"cutout": frozenset({"blur"})})
    (item,) = (item for item in paired_outcomes(trained) if item.outcome.key == "shifts")
    assert hidden_falls(trained, item, judge(trained)) == ""


def test_where_nothing_falls_nothing_is_said(make_results: Make) -> None:
    results = shifted(make_results, noise=0.05, blur=0.05)
    (item,) = (item for item in paired_outcomes(results) if item.outcome.key == "shifts")
    assert hidden_falls(results, item, judge(results)) == ""
