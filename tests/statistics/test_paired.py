"""Paired statistics against scipy, statsmodels, published values and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics.paired import (
    PairedDifference,
    against_baseline,
    pair,
    paired_difference,
)
from reldrop_bench.statistics.spread import over_seeds, shown
from reldrop_bench.statistics.verdicts import verdict

FINITE = st.floats(-1, 1).map(lambda value: round(value, 6))


def long(values: dict[str, list[float]], task: str = "task") -> pd.DataFrame:
    """Return a frame with a row a cell from values by label, seed by seed."""
    return pd.DataFrame(
        [
            {"task": task, "model": "net", "label": label, "seed": seed, "value": value}
            for label, column in values.items()
            for seed, value in enumerate(column)
        ]
    )


@given(st.lists(FINITE, min_size=2, max_size=12))
def test_interval_and_p_agree_with_scipy(differences: list[float]) -> None:
    found = paired_difference(differences)
    if np.std(differences) < 1e-9:
        assert np.isnan(found.p)
        return
    reference = stats.ttest_1samp(differences, 0)
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_worked_example() -> None:
    # Student's sleep data (1908), n = 10: mean difference 1.58, t = 4.0621, p = 0.002833,
    # 95 % interval 0.7001 to 2.4599 (R: t.test(extra ~ group, data = sleep, paired = TRUE)).
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    (row,) = against_baseline(long({"first": first, "second": second}), "first").to_dict("records")
    assert row["mean"] == pytest.approx(1.58)
    assert row["p"] == pytest.approx(0.002833, abs=5e-7)
    assert (row["low"], row["high"]) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert row["d_z"] * np.sqrt(10) == pytest.approx(4.0621, abs=1e-4)


def test_few_or_equal_differences() -> None:
    none = paired_difference([np.nan] * 3)
    assert (none.n, none.n_expected) == (0, 3)
    assert np.isnan([none.mean, none.p]).all()
    one = paired_difference([0.1])
    assert one.mean == 0.1
    assert np.isnan([one.low, one.p]).all()
    assert "no interval" in one.note
    equal = paired_difference([0.1, 0.1, 0.1])
    assert (equal.low, equal.high) == (equal.mean, equal.mean)
    assert np.isnan([equal.d_z, equal.p]).all()
    zero = paired_difference([0.0, 0.0])
    assert zero.note.startswith("no pair differs")


def test_incomplete_pairs_are_counted_and_not_used() -> None:
    frame = long({"none": [0.5, np.nan, 0.6], "other": [0.6, 0.9, 0.8]})
    frame = frame[~((frame["label"] == "other") & (frame["seed"] == 0))]
    (row,) = against_baseline(frame, "none").to_dict("records")
    assert (row["n"], row["n_expected"]) == (1, 3)
    assert row["mean"] == pytest.approx(0.2)
    assert pair(frame, "none")["difference"].isna().sum() == 2


def test_a_task_without_a_baseline_has_no_measure() -> None:
    frame = pd.concat([long({"none": [1.0], "a": [1.0]}), long({"a": [1.0, 2.0]}, "bare")])
    bare = against_baseline(frame, "none").set_index("task").loc["bare"]
    assert (bare["n"], bare["n_expected"]) == (0, 2)
    assert verdict(bare["mean"], bare["p"]) == "no measure"


def test_a_frame_of_many_comparisons_has_what_each_gives_alone() -> None:
    random = np.random.default_rng(0)
    tasks = {f"task {number}": random.integers(1, 9) for number in range(12)}
    parts = []
    for task, seeds in tasks.items():
        values = random.normal(0.5, 0.1, (4, seeds))
        values[random.random(values.shape) < 0.2] = np.nan
        values[3] = values[0]  # no pair differs
        parts.append(
            long(dict(zip(("none", "a", "b", "same"), values.tolist(), strict=True)), task)
        )
    frame = pd.concat(parts)
    found = against_baseline(frame.sample(frac=1, random_state=1), "none")
    assert len(found) == 36
    differences = pair(frame, "none").groupby(["task", "model", "label"])["difference"]
    for row in found.to_dict("records"):
        group = differences.get_group((row["task"], row["model"], row["label"]))
        alone = paired_difference(group.to_numpy())
        for name in PairedDifference.__dataclass_fields__:
            expected = getattr(alone, name)
            assert row[name] == expected or (np.isnan(expected) and np.isnan(row[name]))


def test_no_cell_gives_no_row() -> None:
    empty = pd.DataFrame(columns=["task", "model", "label", "seed", "value"])
    alone = long({"none": [0.5]})
    for frame in (empty, alone):
        found = against_baseline(frame, "none")
        assert len(found) == 0
        assert {"n", "mean", "p", "note"} <= set(found.columns)


def test_double_values_are_refused() -> None:
    frame = long({"none": [0.1], "a": [0.2]})
    with pytest.raises(ValueError, match="two values of 'a'"):
        against_baseline(pd.concat([frame, frame.tail(1)]), "none")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(FINITE, min_size=3, max_size=3),
    st.lists(FINITE, min_size=3, max_size=3),
    st.lists(st.one_of(FINITE, st.just(float("nan"))), min_size=3, max_size=3),
    st.randoms(use_true_random=False),
)
def test_order_and_other_methods_never_change_a_comparison(
    base: list[float], own: list[float], other: list[float], random: object
) -> None:
    alone = against_baseline(long({"none": base, "own": own}), "none")
    crowd = long({"other": other, "own": own, "none": base, "more": other[::-1]})
    shuffled = crowd.sample(frac=1, random_state=random.randint(0, 2**31))  # type: ignore[attr-defined]
    found = against_baseline(shuffled, "none")
    found = found[found["label"] == "own"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, found, check_exact=True)


def test_interval_covers_at_its_nominal_rate() -> None:
    random = np.random.default_rng(0)
    runs = [paired_difference(random.normal(0.1, 1, 5)) for _ in range(2000)]
    covered = np.mean([run.low <= 0.1 <= run.high for run in runs])
    assert abs(covered - 0.95) < 0.015  # three standard errors


def test_spread_counts_holes() -> None:
    frame = long({"a": [0.5, np.nan, 0.7], "b": [np.nan, np.nan, np.nan], "c": [0.25]})
    rows = over_seeds(frame, ["task", "label"])
    assert rows["label"].tolist() == ["a", "b", "c"]
    assert rows["n"].tolist() == [2, 0, 1]
    assert rows["n_expected"].tolist() == [3, 3, 1]
    texts = [shown(*row) for row in rows[["mean", "sd", "n", "n_expected"]].itertuples(index=False)]
    assert texts == ["0.600 ± 0.141 (n=2/3)", "– (n=0/3)", "0.250"]
