"""The difference over all settings against scipy, by hand, and where it cannot be computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics.overall import (
    degrees_of_freedom,
    overall_difference,
    stratified_t,
)

NAN = float("nan")
FINITE = st.floats(-1, 1).map(lambda value: round(value, 6))
GROUP = st.lists(st.one_of(FINITE, st.just(NAN)), min_size=1, max_size=6)


@given(st.lists(FINITE, min_size=2, max_size=12))
def test_one_setting_is_the_paired_t_test(differences: list[float]) -> None:
    found = overall_difference([differences])
    if np.std(differences) < 1e-9:
        assert np.isnan(found.p)
        return
    reference = stats.ttest_1samp(differences, 0)
    interval = reference.confidence_interval(0.95)
    assert found.df == pytest.approx(len(differences) - 1)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_two_settings_have_the_error_of_welchs_test() -> None:
    # The mean of a and -b is half the difference of a and b.
    random = np.random.default_rng(0)
    a, b = random.normal(0.3, 1, 6), random.normal(0, 3, 9)
    found = overall_difference([a, -b])
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert found.mean / found.error == pytest.approx(reference.statistic)
    assert found.df == pytest.approx(reference.df)
    assert min(len(a), len(b)) - 1 < found.df_least < found.df
    assert found.p > reference.pvalue  # more careful than Welch's


def test_degrees_of_freedom_by_hand() -> None:
    # Two equal shares of 5 pairs: Satterthwaite's are 4 + 4, one setting has 4.
    assert degrees_of_freedom([2.0, 2.0], [5, 5]) == pytest.approx((8, 4))
    # One setting has all the variance: the degrees of freedom are its own.
    assert degrees_of_freedom([3.0, 0.0, 0.0], [4, 9, 9]) == pytest.approx((3, 3))
    assert degrees_of_freedom([1.0, 4.0], [5001, 5001]) == pytest.approx((5000 * 25 / 17, 5000))


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12),
    st.lists(st.integers(2, 50), min_size=12, max_size=12),
)
def test_degrees_of_freedom_lie_between_one_settings_and_satterthwaites(
    shares: list[float], counts: list[int]
) -> None:
    free = np.array(counts[: len(shares)]) - 1
    weights = np.array(shares) / np.sum(shares)
    found, least = degrees_of_freedom(shares, counts[: len(shares)])
    assert free.min() * (1 - 1e-9) <= least <= found * (1 + 1e-9)
    assert found == pytest.approx(1 / np.sum(weights**2 / free), rel=1e-9)


def test_many_benchmarks_at_once_give_what_each_gives_alone() -> None:
    random = np.random.default_rng(1)
    differences = random.normal(0.2, random.uniform(0.1, 9, (50, 4, 1)), (50, 4, 5))
    together = stratified_t(differences.mean(-1), differences.var(-1, ddof=1), np.full(4, 5))
    alone = [overall_difference(list(one)) for one in differences]
    for part, name in zip(together, ("mean", "error", "df", "df_least", "p"), strict=True):
        np.testing.assert_allclose(part, [getattr(one, name) for one in alone], rtol=1e-9)


def test_settings_weigh_the_same_however_many_pairs_they_have() -> None:
    found = overall_difference([[0.1, 0.3], [0.9, 1.1, 1.0, 1.0, 1.0, 1.0]])
    assert found.mean == pytest.approx(0.6)
    assert (found.settings, found.n) == (2, 8)


@settings(deadline=None)
@given(st.lists(GROUP, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_no_order_has_a_meaning(groups: list[list[float]], random: object) -> None:
    shuffled = [random.sample(group, len(group)) for group in groups]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert overall_difference(shuffled) == overall_difference(groups)


@given(st.lists(GROUP, min_size=1, max_size=5))
def test_swapping_the_two_methods_mirrors_the_result(groups: list[list[float]]) -> None:
    found = overall_difference(groups)
    mirrored = overall_difference([[-value for value in group] for group in groups])
    assert (mirrored.settings, mirrored.n, mirrored.note) == (found.settings, found.n, found.note)
    for name, other, sign in (("mean", "mean", -1), ("low", "high", -1), ("p", "p", 1)):
        own = getattr(found, name)
        expected = pytest.approx(sign * own, rel=1e-9, abs=1e-12, nan_ok=True)
        assert getattr(mirrored, other) == expected


def test_incomplete_pairs_and_settings_are_counted_and_said() -> None:
    found = overall_difference([[0.1, 0.2, NAN], [0.3, NAN, NAN], [NAN] * 3])
    assert (found.settings, found.settings_expected) == (1, 3)
    assert (found.n, found.n_expected) == (2, 9)
    assert found.mean == pytest.approx(0.15)
    assert found.note == "2 of 3 settings left out: fewer than two complete pairs"


def test_what_cannot_be_computed_is_nan_and_says_why() -> None:
    nothing = overall_difference([[NAN, NAN], []])
    assert (nothing.settings, nothing.n, nothing.n_expected) == (0, 0, 2)
    assert np.isnan([nothing.mean, nothing.low, nothing.df, nothing.df_least, nothing.p]).all()
    assert nothing.note == "no complete pair"
    assert overall_difference([]).note == "no complete pair"
    single = overall_difference([[0.1], [0.3], [NAN]])
    assert (single.settings, single.n) == (2, 2)
    assert np.isnan([single.low, single.high, single.p]).all()
    assert single.mean == pytest.approx(0.2)
    assert "1 of 3 settings left out: no complete pair" in single.note
    assert "no interval" in single.note
    equal = overall_difference([[0.1, 0.1, 0.1], [0.3, 0.3]])
    assert equal.error == 0.0
    assert np.isnan([equal.df, equal.p]).all()
    assert equal.low == equal.mean == equal.high == pytest.approx(0.2)
    assert equal.note == "all differences are equal: no t test"
    assert overall_difference([[0.0, 0.0]]).note == "no pair differs: no t test"


def test_a_setting_without_spread_adds_its_mean_and_no_error() -> None:
    own = overall_difference([[0.1, 0.2, 0.4]])
    both = overall_difference([[0.1, 0.2, 0.4], [0.5, 0.5, 0.5]])
    assert both.error == pytest.approx(own.error / 2)
    assert (both.df, both.df_least) == pytest.approx((2, 2))
