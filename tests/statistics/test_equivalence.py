"""The equivalence test against statsmodels and against its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.weightstats import ttost_paired

from reldrop_bench.statistics.equivalence import equivalence_p
from reldrop_bench.statistics.overall import overall_difference


def of_pairs(differences: np.ndarray | list[float], margin: float) -> float | np.ndarray:
    found = overall_difference([differences])
    return equivalence_p(found.mean, found.error, found.df, margin, found.df_least)


@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("shift", [0.0, 0.4, -0.9, 2.0])
def test_it_agrees_with_statsmodels(n: int, shift: float) -> None:
    random = np.random.default_rng(n)
    first, second = random.normal(shift, 1, n), random.normal(0, 1, n)
    reference = ttost_paired(first, second, -1.0, 1.0)[0]
    assert of_pairs(first - second, 1.0) == pytest.approx(reference, rel=1e-9)


@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=2, max_size=6), min_size=1, max_size=4),
    st.floats(0.01, 2),
)
def test_equivalent_means_that_the_90_percent_interval_lies_within_the_margin(
    groups: list[list[float]], margin: float
) -> None:
    found = overall_difference(groups, confidence=0.9)
    p = equivalence_p(found.mean, found.error, found.df, margin, found.df_least)
    if np.isnan(found.p):
        assert np.isnan(p)
        return
    outer = max(-found.low, found.high)
    if abs(outer - margin) > 1e-9:
        assert (p < 0.05) == (outer < margin)


def test_many_at_once() -> None:
    mean, error, df = [0.0, 0.005, np.nan], [0.01, 0.001, 0.01], [4.0, 2.5, 4.0]
    found = np.asarray(equivalence_p(mean, error, df, 0.01))
    alone = [equivalence_p(*parts, 0.01) for parts in zip(mean, error, df, strict=True)]
    np.testing.assert_array_equal(found, alone)
    assert np.isnan(found[2])


def test_nothing_to_test_with_is_nan() -> None:
    assert np.isnan(of_pairs([0.0, 0.0, 0.0], 0.01))
    assert np.isnan(of_pairs([0.0], 0.01))
    assert np.isnan(equivalence_p(np.nan, np.nan, np.nan, 0.01))


@pytest.mark.parametrize("margin", [0.0, -0.01, float("nan")])
def test_a_margin_is_positive(margin: float) -> None:
    with pytest.raises(ValueError, match="margin is positive"):
        equivalence_p(0.0, 0.1, 4.0, margin)
