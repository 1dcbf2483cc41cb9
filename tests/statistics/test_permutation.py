"""The sign-flip test against scipy, enumeration and Fisher's own example."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics.permutation import EXACT_PAIRS, sign_flip, sign_flip_p

NAN = float("nan")
GROUP = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=4)


def enumerated(groups: list[list[float]]) -> float:
    """Return p by trying all signs, one after the other."""
    kept = [group for group in groups if len(group) > 1] or groups
    parts = [value / len(group) for group in kept for value in group]
    sums = [
        abs(sum(sign * part for sign, part in zip(signs, parts, strict=True)))
        for signs in product((1, -1), repeat=len(parts))
    ]
    return float(np.mean([value >= sums[0] - 1e-9 for value in sums]))


def test_fishers_example() -> None:
    # Darwin's 15 pairs of maize, in eighths of an inch (Fisher, The Design of Experiments, section
    # 21): in 1726 of the 32768 arrangements the sum is at least 314 in size.
    differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    found = sign_flip([differences])
    assert found.exact
    assert found.p == 1726 / 32768


def test_it_agrees_with_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.5, 1, 8)
    reference = stats.permutation_test(
        (differences, np.zeros(8)),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert sign_flip([differences]).p == pytest.approx(reference.pvalue)


@settings(max_examples=60, deadline=None)
@given(st.lists(GROUP, min_size=1, max_size=3))
def test_strata_agree_with_enumeration(groups: list[list[float]]) -> None:
    found = sign_flip(groups)
    kept = [group for group in groups if len(group) > 1] or groups
    if not any(value for group in kept for value in group):
        assert np.isnan(found.p)
        assert found.smallest_p == 1.0
        return
    assert found.p == pytest.approx(enumerated(groups))
    assert found.p >= found.smallest_p


def test_a_sample_of_signs_comes_close_to_all_of_them() -> None:
    differences = np.random.default_rng(3).normal(0.35, 1, EXACT_PAIRS + 2)
    signs = 1 - 2 * ((np.arange(2 ** len(differences))[:, None] >> np.arange(18)) & 1)
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    found = sign_flip([differences])
    assert not found.exact
    error = np.sqrt(exact * (1 - exact) / 20_000)
    assert found.p == pytest.approx(exact, abs=4 * error)


@pytest.mark.parametrize("n", range(1, 11))
def test_the_smallest_p_is_reached_where_all_differences_agree(n: int) -> None:
    found = sign_flip([np.arange(1.0, n + 1)])
    assert found.p == found.smallest_p == 2.0 ** (1 - n)


def test_zeros_cannot_make_it_significant() -> None:
    found = sign_flip([[0.1, 0.2, 0.3, 0.0, 0.0, 0.0]])
    assert found.p == found.smallest_p == 0.25


def test_a_sampled_p_is_never_zero() -> None:
    found = sign_flip([np.ones(30) + np.arange(30)], resamples=999)
    assert found.p == found.smallest_p == 1 / 1000


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.floats(-1, 1), min_size=2, max_size=9), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_neither_an_order_nor_the_side_matters(groups: list[list[float]], random: object) -> None:
    shuffled = [random.sample(group, len(group)) for group in groups]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    mirrored = [[-value for value in group] for group in groups]
    found = sign_flip(groups, resamples=500)
    assert sign_flip(shuffled, resamples=500) == sign_flip(mirrored, resamples=500) == found


def test_many_at_once_are_tested_each_for_itself() -> None:
    for pairs in (6, 20):
        parts = np.random.default_rng(pairs).normal(0.2, 1, (7, pairs))
        alone = [float(sign_flip_p(row, resamples=300)) for row in parts]
        assert sign_flip_p(parts, resamples=300).tolist() == alone


def test_incomplete_pairs_are_left_out() -> None:
    assert sign_flip([[0.1, NAN, 0.3], [NAN, 0.2]]) == sign_flip([[0.1, 0.3]])
    nothing = sign_flip([[NAN], []])
    assert np.isnan(nothing.p)
    assert nothing.smallest_p == 1.0
