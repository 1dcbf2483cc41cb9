"""Aggregates against the definitions of Agarwal et al. (arXiv 2108.13264) and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics import aggregates

SCORES = st.lists(
    st.lists(st.floats(0, 1).map(lambda value: round(value, 2)), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
).map(lambda runs: [np.array(run) for run in runs])


def test_hand_examples() -> None:
    runs = [np.array([0.0, 0.2]), np.array([0.4, 1.2, 1.4])]
    assert aggregates.mean(runs) == pytest.approx((0.1 + 1.0) / 2)
    # Five runs: one is cut on each side.
    assert aggregates.interquartile_mean(runs) == pytest.approx((0.2 + 0.4 + 1.2) / 3)
    assert aggregates.optimality_gap(runs) == pytest.approx(1 - (0.1 + (0.4 + 1 + 1) / 3) / 2)
    assert aggregates.optimality_gap(runs, target=2.0) == pytest.approx(2 - 0.55)
    profile = aggregates.performance_profile(runs, [0.0, 0.3, 1.2])
    # "Above" is strict.
    np.testing.assert_allclose(profile, [(1 / 2 + 1) / 2, (0 + 1) / 2, (0 + 1 / 3) / 2])
    better = aggregates.probability_of_improvement(runs, [np.array([0.2]), np.array([1.0, 1.3])])
    assert better == pytest.approx((0.25 + (0 + 0.5 + 1) / 3) / 2)


@given(SCORES)
def test_interquartile_mean_agrees_with_scipy(runs: list[np.ndarray]) -> None:
    reference = stats.trim_mean(np.concatenate(runs), 0.25)
    assert aggregates.interquartile_mean(runs) == pytest.approx(reference)


@given(SCORES, SCORES)
def test_probability_of_improvement_is_mann_whitney_s_u(
    first: list[np.ndarray], second: list[np.ndarray]
) -> None:
    count = min(len(first), len(second))
    first, second = first[:count], second[:count]
    reference = np.mean(
        [
            stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
            for x, y in zip(first, second, strict=True)
        ]
    )
    found = aggregates.probability_of_improvement(first, second)
    assert found == pytest.approx(reference)
    assert aggregates.probability_of_improvement(second, first) == pytest.approx(1 - found)


@given(SCORES)
def test_the_area_under_the_profile_is_the_mean(runs: list[np.ndarray]) -> None:
    # Agarwal et al., section 4.2. Scores lie on hundredths: the profile is a step function.
    steps = np.arange(100) / 100 + 0.005
    area = aggregates.performance_profile(runs, steps).mean()
    assert area == pytest.approx(aggregates.mean(runs), abs=1e-9)


@given(SCORES, st.randoms(use_true_random=False))
def test_leading_axes_are_worked_on_alike(runs: list[np.ndarray], random: object) -> None:
    generator = np.random.default_rng(random.randint(0, 2**31))  # type: ignore[attr-defined]
    many = [generator.permuted(np.broadcast_to(run, (2, 3, len(run))), axis=-1) for run in runs]
    for aggregate in (
        aggregates.mean,
        aggregates.interquartile_mean,
        aggregates.optimality_gap,
        lambda given: aggregates.probability_of_improvement(given, runs),
        lambda given: aggregates.performance_profile(given, [0.2, 0.5])[..., 1],
    ):
        found = aggregate(many)
        assert found.shape == (2, 3)
        np.testing.assert_allclose(found, np.full((2, 3), aggregate(runs)), atol=1e-12)


def test_improvement_interval_stays_within_probabilities() -> None:
    random = np.random.default_rng(0)
    first = [random.normal(0.5, 1, 6) for _ in range(3)]
    second = [random.normal(0.0, 1, 5) for _ in range(3)]
    found = aggregates.improvement_interval(first, second)
    observed = aggregates.probability_of_improvement(first, second)
    assert 0 <= found.low < observed < found.high <= 1
    mirrored = aggregates.improvement_interval(second, first)
    assert mirrored.low == pytest.approx(1 - found.high, abs=0.03)
    above = aggregates.improvement_interval([np.array([3.0, 4.0])], [np.array([1.0, 2.0])])
    assert (above.low, above.high) == (1.0, 1.0)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1 settings of the first, 2 of"):
        aggregates.probability_of_improvement([np.ones(2)], [np.ones(2)] * 2)
