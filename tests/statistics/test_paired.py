"""Paired statistics against scipy, statsmodels, published values and simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reldrop_bench.statistics.paired import (
    compare,
    holm,
    limits_of,
    pair,
    paired_difference,
    smallest_detectable_effect,
    smallest_wilcoxon_p,
    verdict,
)
from reldrop_bench.statistics.spread import over_seeds, shown

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
        assert found.p is None
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
    (row,) = compare(long({"first": first, "second": second}), "first").to_dict("records")
    assert row["mean"] == pytest.approx(1.58)
    assert row["p"] == pytest.approx(0.002833, abs=5e-7)
    assert (row["low"], row["high"]) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert row["d_z"] * np.sqrt(10) == pytest.approx(4.0621, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p: list[float]) -> None:
    found = holm(p)
    reference = multipletests(np.nan_to_num(p, nan=1.0), method="holm")[1]
    present = ~np.isnan(p)
    assert np.isnan(found[~present]).all()
    np.testing.assert_allclose(found[present], reference[present], rtol=1e-12)


def test_holm_of_an_empty_family_is_empty() -> None:
    assert holm([]).shape == (0,)


def test_a_hole_never_makes_another_verdict_easier() -> None:
    assert holm([0.02, float("nan")])[0] == holm([0.02, 0.9])[0] == 0.04


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (10, 1.00), (20, 0.66)])
def test_smallest_detectable_effect_has_the_known_values(n: int, effect: float) -> None:
    assert smallest_detectable_effect(n) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize(("n", "level"), [(2, 0.05), (3, 0.0025), (5, 0.0025), (100, 0.05)])
def test_smallest_detectable_effect_reaches_the_power(n: int, level: float) -> None:
    effect = smallest_detectable_effect(n, level=level)
    assert effect is not None
    critical = stats.t.ppf(1 - level / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, effect * np.sqrt(n)) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 5, 6, 8])
def test_smallest_wilcoxon_p_agrees_with_scipy(n: int) -> None:
    best = stats.wilcoxon(np.arange(1, n + 1), method="exact").pvalue
    assert smallest_wilcoxon_p(n) == pytest.approx(best)


def test_limits_say_what_cannot_be_significant() -> None:
    assert "Nothing can be significant with n=1" in limits_of(1)
    assert "cannot be significant with n=3" in limits_of(3)
    assert "0.25" in limits_of(3)
    assert "cannot be significant" not in limits_of(8)
    assert "20 Holm-adjusted" in limits_of(8, 20)


def test_few_or_equal_differences() -> None:
    none = paired_difference([float("nan")], n_expected=3)
    assert (none.n, none.n_expected, none.mean, none.p) == (0, 3, None, None)
    one = paired_difference([0.1])
    assert (one.mean, one.low, one.p) == (0.1, None, None)
    assert "no interval" in one.note
    equal = paired_difference([0.1, 0.1, 0.1])
    assert (equal.low, equal.high, equal.d_z, equal.p) == (equal.mean, equal.mean, None, None)
    zero = paired_difference([0.0, 0.0])
    assert zero.note.startswith("no pair differs")


def test_incomplete_pairs_are_counted_and_not_used() -> None:
    frame = long({"none": [0.5, np.nan, 0.6], "other": [0.6, 0.9, 0.8]})
    frame = frame[~((frame["label"] == "other") & (frame["seed"] == 0))]
    (row,) = compare(frame, "none").to_dict("records")
    assert (row["n"], row["n_expected"]) == (1, 3)
    assert row["mean"] == pytest.approx(0.2)
    assert pair(frame, "none")["difference"].isna().sum() == 2


def test_a_task_without_a_baseline_has_no_measure() -> None:
    frame = pd.concat([long({"none": [1.0], "a": [1.0]}), long({"a": [1.0, 2.0]}, "bare")])
    bare = compare(frame, "none").set_index("task").loc["bare"]
    assert (bare["n"], bare["n_expected"]) == (0, 2)
    assert verdict(bare["mean"], bare["p"]) == "no measure"


def test_double_values_are_refused() -> None:
    frame = long({"none": [0.1], "a": [0.2]})
    with pytest.raises(ValueError, match="two values of 'a'"):
        compare(pd.concat([frame, frame.tail(1)]), "none")


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
    alone = compare(long({"none": base, "own": own}), "none")
    crowd = long({"other": other, "own": own, "none": base, "more": other[::-1]})
    shuffled = crowd.sample(frac=1, random_state=random.randint(0, 2**31))  # type: ignore[attr-defined]
    found = compare(shuffled, "none")
    found = found[found["label"] == "own"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, found, check_exact=True)


def test_interval_covers_at_its_nominal_rate() -> None:
    random = np.random.default_rng(0)
    runs = [paired_difference(random.normal(0.1, 1, 5)) for _ in range(2000)]
    covered = np.mean([run.low <= 0.1 <= run.high for run in runs])  # type: ignore[operator]
    assert abs(covered - 0.95) < 0.015  # three standard errors


def test_verdict_words() -> None:
    assert verdict(0.1, 0.01) == "better"
    assert verdict(-0.1, 0.01) == "worse"
    assert verdict(-0.1, 0.01, "lower") == "better"
    assert verdict(0.1, 0.2) == verdict(0.1, float("nan")) == "unclear"
    assert verdict(float("nan"), float("nan")) == "no measure"


def test_spread_counts_holes() -> None:
    frame = long({"a": [0.5, np.nan, 0.7], "b": [np.nan, np.nan, np.nan], "c": [0.25]})
    rows = over_seeds(frame, ["task", "label"])
    assert rows["label"].tolist() == ["a", "b", "c"]
    assert rows["n"].tolist() == [2, 0, 1]
    assert rows["n_expected"].tolist() == [3, 3, 1]
    texts = [shown(*row) for row in rows[["mean", "sd", "n", "n_expected"]].itertuples(index=False)]
    assert texts == ["0.600 ± 0.141 (n=2/3)", "– (n=0/3)", "0.250"]
