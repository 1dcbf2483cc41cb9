"""Ranks over tasks against Demšar's published example, scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.ranks import (
    average_ranks,
    complete,
    critical_difference,
    friedman,
)

NAN, INF = float("nan"), float("inf")

# Area under the curve of C4.5, C4.5+m, C4.5+cf and C4.5+m+cf on 14 data sets (Demšar, Journal of
# Machine Learning Research 7, 2006, table 6). Its ranks are of numbers with more digits: on
# "voting", 0.975 and 0.975 there rank second and third.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
)
SCORES = st.integers(2, 8).flatmap(
    lambda tasks: st.lists(
        st.lists(st.integers(0, 6).map(lambda value: value / 10), min_size=4, max_size=4),
        min_size=tasks,
        max_size=tasks,
    )
)


def test_demsars_example() -> None:
    np.testing.assert_allclose(average_ranks(DEMSAR), [3.143, 2.000, 2.893, 1.964], atol=5e-4)
    # The paper's statistic, 9.28, makes no allowance for ties, which the table has.
    plain = 12 * 14 / (4 * 5) * ((average_ranks(DEMSAR) - 2.5) ** 2).sum()
    assert plain == pytest.approx(9.28, abs=0.005)
    found = friedman(DEMSAR)
    assert found.chi_square == pytest.approx(stats.friedmanchisquare(*DEMSAR.T).statistic)
    assert found.chi_square > plain
    assert found.f_p == pytest.approx(stats.f.sf(found.f, 3, 39))
    assert found.f > 3.69 > 2.85  # the paper's F without allowance, and its critical value at 0.05
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


def test_demsars_comparison_with_the_baseline() -> None:
    # Section 3.2.2: z = (R_baseline - R) / sqrt(k (k + 1) / 6N), p = .016, .019, .607.
    ranks = average_ranks(DEMSAR)
    z = (ranks[0] - ranks[[3, 1, 2]]) / math.sqrt(4 * 5 / (6 * 14))
    p = 2 * special.ndtr(-np.abs(z))
    np.testing.assert_allclose(p, [0.016, 0.019, 0.607], atol=2e-3)  # of rounded z
    assert (holm(p) < 0.05).tolist() == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(SCORES)
def test_friedman_agrees_with_scipy(scores: list[list[float]]) -> None:
    found = friedman(scores)
    if all(len(set(row)) == 1 for row in scores):
        assert np.isnan(found.p)
        return
    reference = stats.friedmanchisquare(*np.array(scores).T)
    assert found.chi_square == pytest.approx(reference.statistic, abs=1e-9)
    assert found.p == pytest.approx(reference.pvalue)


def test_iman_and_davenport_is_the_variance_analysis_of_the_ranks() -> None:
    scores = np.random.default_rng(0).normal(size=(9, 5)) + np.arange(5) / 4
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1.0
    means, tasks = ranks.mean(axis=0), len(ranks)
    between = tasks * ((means - 3) ** 2).sum() / 4
    within = ((ranks - means) ** 2).sum() / (4 * (tasks - 1))
    assert friedman(scores).f == pytest.approx(between / within)


def test_tasks_that_all_agree_have_the_chance_of_agreeing() -> None:
    found = friedman([[0.1, 0.2, 0.3]] * 4)
    assert (found.f, found.f_p) == (INF, pytest.approx(6.0**-3))


def test_too_little_to_test_is_nan() -> None:
    for scores in ([[0.1, 0.2, 0.3]], [[0.5, 0.5], [0.1, 0.1]], np.empty((0, 3))):
        found = friedman(scores)
        assert np.isnan([found.chi_square, found.p, found.f, found.f_p]).all()


# Demšar, table 5: critical values of the two-tailed Nemenyi test.
@pytest.mark.parametrize(
    ("labels", "strict", "loose"),
    [
        (2, 1.960, 1.645),
        (3, 2.343, 2.052),
        (4, 2.569, 2.291),
        (5, 2.728, 2.459),
        (10, 3.164, 2.920),
    ],
)
def test_critical_values_of_nemenyi(labels: int, strict: float, loose: float) -> None:
    error = math.sqrt(labels * (labels + 1) / (6 * 20))
    assert critical_difference(labels, 20) / error == pytest.approx(strict, abs=1e-3)
    assert critical_difference(labels, 20, 0.10) / error == pytest.approx(loose, abs=1e-3)


def test_critical_difference_without_tasks_or_labels() -> None:
    assert critical_difference(3, 0) == INF
    assert np.isnan(critical_difference(1, 5))


def test_the_direction_and_ties() -> None:
    assert average_ranks([[0.1, 0.3, 0.2]]).tolist() == [3, 1, 2]
    assert average_ranks([[0.5, 0.5, 0.2]]).tolist() == [1.5, 1.5, 3]
    # Two means that are equal on paper, (0.1 + 0.2) / 2 and 0.3 / 2, and one that is not.
    assert average_ranks([[(0.1 + 0.2) / 2, 0.3 / 2, 0.1501]]).tolist() == [2.5, 2.5, 1]


@given(SCORES, st.randoms(use_true_random=False))
def test_ranks_follow_the_labels_in_any_order(scores: list[list[float]], random: object) -> None:
    columns = random.sample(range(4), 4)  # type: ignore[attr-defined]
    rows = random.sample(range(len(scores)), len(scores))  # type: ignore[attr-defined]
    found = average_ranks(np.array(scores)[rows][:, columns])
    np.testing.assert_array_equal(found, average_ranks(scores)[columns])
    assert average_ranks(scores).sum() == pytest.approx(10)


def test_holes_need_a_policy() -> None:
    scores = [[0.1, 0.2], [0.3, NAN], [NAN, NAN]]
    with pytest.raises(ValueError, match="no score of label 1 in task 1"):
        average_ranks(scores)
    kept, rows = complete(scores)
    assert (kept.tolist(), rows.tolist()) == ([[0.1, 0.2]], [0])
    kept, rows = complete(scores, "worst")
    assert rows.tolist() == [0, 1]
    assert average_ranks(kept).tolist() == [(2 + 1) / 2, (1 + 2) / 2]
