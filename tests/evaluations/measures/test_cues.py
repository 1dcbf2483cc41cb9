from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench.evaluations._measures.cues import (
    causal_shares,
    effective_cues,
    mass_by_part,
    rank_agreement,
    shapley_values,
    share_agreement,
)


def test_mass_by_part_by_hand():
    relevance = torch.tensor([[1.0, 2.0, -5.0, 4.0, 8.0]])
    masks = torch.tensor([[0, 1, 1, 2, 9]], dtype=torch.uint8)
    assert mass_by_part(relevance, masks, 2).tolist() == [[9.0, 2.0, 4.0]]


def test_effective_cues_by_hand():
    mass = torch.tensor([[2.0, 2.0, 0.0], [0.0, 0.0, 7.0], [3.0, 3.0, 3.0]])
    torch.testing.assert_close(effective_cues(mass), torch.tensor([2.0, 1.0, 3.0]))


def by_permutations(worth: np.ndarray, cues: int) -> np.ndarray:
    """The definition: what a cue adds when it comes, over all orders."""
    found = np.zeros((cues, *worth.shape[1:]))
    for order in itertools.permutations(range(cues)):
        present = 0
        for cue in order:
            found[cue] += worth[present | 1 << cue] - worth[present]
            present |= 1 << cue
    return found / math.factorial(cues)


@pytest.mark.parametrize("cues", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("items", [(), (7,)])
def test_shapley_values_are_means_over_orders_and_add_up(cues, items):
    worth = np.random.default_rng(cues).random((2**cues, *items))
    found = shapley_values(torch.from_numpy(worth)).numpy()
    np.testing.assert_allclose(found, by_permutations(worth, cues), atol=1e-12)
    np.testing.assert_allclose(found.sum(0), worth[-1] - worth[0], atol=1e-12)


def test_shapley_values_by_hand():
    # Sets: none, {0}, {1}, {0, 1}. Either one alone is enough: they share; only one counts: it has all.
    assert shapley_values(torch.tensor([0.1, 0.9, 0.9, 0.9])).tolist() == pytest.approx([0.4, 0.4])
    assert shapley_values(torch.tensor([0.1, 0.9, 0.1, 0.9])).tolist() == pytest.approx([0.8, 0])
    # A glove and its partner are worth nothing alone; a cue that does harm has a negative value.
    assert shapley_values(torch.tensor([0.0, 0, 0, 1])).tolist() == pytest.approx([0.5, 0.5])
    assert shapley_values(torch.tensor([0.5, 0.3, 0.5, 0.3])).tolist() == pytest.approx([-0.2, 0])


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_shapley_values_need_every_set(count):
    with pytest.raises(ValueError, match="2\\^K"):
        shapley_values(torch.zeros(count))


def test_shapley_values_swap_with_the_cues():
    worth = torch.rand(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    swapped = worth[[0, 2, 1, 3, 4, 6, 5, 7]]  # cues 0 and 1 change places
    expected = shapley_values(worth)[[1, 0, 2]]
    torch.testing.assert_close(shapley_values(swapped), expected)


def test_causal_shares_leave_out_harm_and_what_is_nothing():
    values = torch.tensor([[0.3, 0.1, -0.2], [0.0, -0.1, 0.0], [1e-9, 0, 0]])
    shares, defined = causal_shares(values, 1e-6)
    assert defined.tolist() == [True, False, False]
    torch.testing.assert_close(shares[0], torch.tensor([0.75, 0.25, 0]))
    assert (shares[1:] == 0).all()


def test_share_agreement_by_hand():
    first = torch.tensor([[0.5, 0.5, 0], [1, 0, 0], [0.5, 0.3, 0.2]])
    second = torch.tensor([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    torch.testing.assert_close(share_agreement(first, second), torch.tensor([1.0, 0, 0.7]))


counts = st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any)


@given(counts, counts)
def test_rank_agreement_is_scipys_where_there_is_one(first, second):
    x, y = (torch.tensor([row], dtype=torch.float64) / sum(row) for row in (first, second))
    found = rank_agreement(x, y + 1e-12 * torch.arange(4))
    assert found.defined.item() == (len(set(first)) > 1 and len(set(second)) > 1)
    if found.defined:
        expected = scipy.stats.spearmanr(first, second).statistic
        assert found.values.item() == pytest.approx(expected)
    assert 0 <= share_agreement(x, y).item() <= 1
    assert share_agreement(x, x).item() == 1
