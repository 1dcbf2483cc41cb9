"""Wilcoxon's signed-rank test against scipy, enumeration and published examples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics.wilcoxon import EXACT, all_pairs, many_to_one, wilcoxon

NAN = float("nan")
TIED = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=9)


def enumerated(differences: list[float]) -> float:
    """Return p by trying all signs of the ranks of what is not 0."""
    values = np.array(differences)
    ranks = stats.rankdata(np.abs(values))[values != 0]
    if not len(ranks):
        return np.nan
    found = abs(float(np.sum(np.sign(values[values != 0]) * ranks)))
    sums = [abs(np.dot(signs, ranks)) for signs in product((1, -1), repeat=len(ranks))]
    return float(np.mean([value >= found - 1e-9 for value in sums]))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 14, 40])
def test_it_agrees_with_scipy_without_ties(n: int) -> None:
    for seed in range(5):
        differences = np.random.default_rng(seed).normal(0.3, 1, n)
        reference = stats.wilcoxon(differences, method="exact")
        found = wilcoxon(differences)
        assert found.statistic == reference.statistic
        assert found.p == pytest.approx(reference.pvalue)


@settings(max_examples=80, deadline=None)
@given(TIED)
def test_ties_and_zeros_agree_with_enumeration(differences: list[float]) -> None:
    found = wilcoxon(differences)
    expected = enumerated(differences)
    assert found.p == pytest.approx(expected, nan_ok=True)
    assert np.isnan(found.p) or found.p >= found.smallest_p


@pytest.mark.parametrize("decimals", [1, 9])
def test_many_differences_agree_with_scipys_approximation(decimals: int) -> None:
    differences = np.round(np.random.default_rng(2).normal(0.1, 1, EXACT + 50), decimals)
    reference = stats.wilcoxon(
        differences, method="asymptotic", zero_method="pratt", correction=False
    )
    found = wilcoxon(differences)
    assert found.p == pytest.approx(reference.pvalue)
    assert "normal approximation" in found.note


def test_the_approximation_takes_over_smoothly() -> None:
    differences = np.random.default_rng(5).normal(0.15, 1, EXACT)
    exact = wilcoxon(differences).p
    reference = stats.wilcoxon(differences, method="asymptotic", correction=False).pvalue
    assert exact == pytest.approx(reference, abs=0.003)


def test_the_example_of_hollander_and_wolfe() -> None:
    # Depression scale factors of nine patients before and after (R: wilcox.test(x, y, paired =
    # TRUE, alternative = "greater"): V = 40, p = 0.01953; two-sided twice that).
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    found = wilcoxon(before - after)
    assert found.statistic == 45 - 40
    assert found.p == pytest.approx(2 * 0.01953, abs=1e-5)


def test_the_example_of_demsar() -> None:
    # C4.5 with and without m on 14 data sets (Journal of Machine Learning Research 7, 2006, table
    # 2): T = 12, the ranks of the two zeros split; 21 is critical at 0.05. The differences of the
    # table tie only if rounding does not part them.
    plain = [763, 599, 954, 628, 882, 936, 661, 583, 775, 1000, 940, 619, 972, 957]
    tuned = [768, 591, 971, 661, 888, 931, 668, 583, 838, 1000, 962, 666, 981, 978]
    found = wilcoxon(np.array(tuned) / 1000 - np.array(plain) / 1000)
    assert (found.n, found.statistic) == (14, 12.0)
    assert found.p < 0.05
    assert found.note == "2 of 14 differences are 0"
    assert found == wilcoxon(np.array(tuned) - np.array(plain))


@pytest.mark.parametrize("n", [1, 3, 5, 6, 8, 12])
def test_the_smallest_p_is_reached_where_all_differences_agree(n: int) -> None:
    found = wilcoxon(np.arange(1, n + 1) / 7)
    assert found.p == found.smallest_p == pytest.approx(min(1.0, 2.0 ** (1 - n)))


@settings(deadline=None)
@given(TIED, st.randoms(use_true_random=False), st.sampled_from([1e-12, 0.1, 1 / 3, 1e9]))
def test_neither_order_nor_side_nor_unit_matters(
    differences: list[float], random: object, unit: float
) -> None:
    shuffled = random.sample(differences, len(differences))  # type: ignore[attr-defined]
    found = wilcoxon(differences)
    assert wilcoxon(shuffled) == wilcoxon(-unit * np.array(differences)) == found


def test_what_cannot_be_computed_is_nan_and_says_why() -> None:
    nothing, zeros = wilcoxon([]), wilcoxon([0.0, 0.0])
    assert np.isnan([nothing.p, zeros.p, zeros.statistic]).all()
    assert (nothing.n, zeros.n, zeros.smallest_p) == (0, 2, 1.0)
    assert zeros.note == "every difference is 0"
    part = wilcoxon([0.1, NAN, 0.2])
    assert (part.n, part.p, part.note) == (2, 0.5, "1 of 3 left out: no score")


def test_labels_against_the_baseline_depend_on_the_two_alone() -> None:
    scores = np.random.default_rng(0).normal(size=(9, 4))
    scores[2, 3] = NAN
    found = many_to_one(scores, baseline=1)
    assert found == [wilcoxon(scores[:, column] - scores[:, 1]) for column in (0, 2, 3)]
    fewer = many_to_one(scores[::-1, [1, 2]], baseline=0)
    assert fewer == found[1:2]
    pairs = all_pairs(scores)
    assert list(pairs) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert pairs[0, 1] == found[0]
    assert pairs[1, 2].p == found[1].p


def test_a_missing_score_that_counts_as_the_worst_ranks_last() -> None:
    scores = np.array([[0.5, 0.4], [0.6, -np.inf], [-np.inf, -np.inf], [0.7, 0.9]])
    (found,) = many_to_one(scores, baseline=0)
    assert found == wilcoxon([-0.1, -9.0, 0.0, 0.2])
