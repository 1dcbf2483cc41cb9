"""Spread and place of relevance, against cases by hand, scipy, Quantus and direct enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from reldrop_bench.evaluations._measures import maps
from reldrop_bench.evaluations._measures.samples import PerSample, joined

MASK = torch.tensor([[1, 2, 0, 0, 0, 0]], dtype=torch.uint8)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ranked(relevance: Tensor, masks: Tensor) -> PerSample:
    return maps.relevance_rank_accuracy(relevance, masks, stream())


EVERYWHERE = [maps.attribution_entropy, maps.gini, maps.mass_coverage]
IN_MASK = [maps.relevance_mass_accuracy, ranked, maps.in_mask_entropy]


def both(relevance: Tensor, masks: Tensor) -> list[PerSample]:
    return [f(relevance) for f in EVERYWHERE] + [f(relevance, masks) for f in IN_MASK]


@pytest.mark.parametrize(
    ("measure", "values", "expected"),
    [
        (maps.attribution_entropy, [3, 0, 0, 0], 0),
        (maps.attribution_entropy, [3, 3, 3, 3], 1),
        (maps.attribution_entropy, [2, 2, -9, 0], 0.5),
        (maps.gini, [3, 0, 0, 0], 0.75),
        (maps.gini, [3, 3, 3, 3], 0),
        # Mean absolute difference 2 (1 * 1 + 1 * 2 + 1 * 1) / 9 over twice the mean of 2.
        (maps.gini, [1, 2, 3], 2 / 9),
        (maps.mass_coverage, [3, 0, 0, 0], 0.25),
        (maps.mass_coverage, [3, 3, 3, 3], 0.5),
        (maps.mass_coverage, [0.1] * 10, 0.5),
        (maps.mass_coverage, [4, 3, 2, 1, -7], 0.4),
    ],
)
def test_spread_by_hand(measure, values, expected):
    found = measure(torch.tensor([values], dtype=torch.float32))
    assert found.defined.all()
    assert found.values.item() == pytest.approx(expected, abs=1e-12)


def test_place_by_hand():
    relevance = torch.tensor([[4.0, 1, 3, 2, -5, 0]])
    assert maps.relevance_mass_accuracy(relevance, MASK).values.item() == pytest.approx(0.5)
    assert ranked(relevance, MASK).values.item() == 0.5  # 4 and 3 are the highest; 3 is outside
    entropy = scipy.stats.entropy([0.8, 0.2]) / math.log(2)
    assert maps.in_mask_entropy(relevance, MASK).values.item() == pytest.approx(entropy)


def test_spread_is_that_of_scipy_and_of_the_definition():
    relevance = torch.randn(7, 5, 6, generator=stream())
    a = relevance.clamp(min=0).flatten(1).double().numpy()
    entropy = scipy.stats.entropy(a, axis=1) / math.log(30)
    np.testing.assert_allclose(maps.attribution_entropy(relevance).values, entropy)
    differences = np.abs(a[:, :, None] - a[:, None, :]).mean((1, 2)) / (2 * a.mean(1))
    np.testing.assert_allclose(maps.gini(relevance).values, differences)
    for row, found in zip(a, maps.mass_coverage(relevance).values.tolist(), strict=True):
        least = next(k for k in range(31) if np.sort(row)[::-1][:k].sum() >= row.sum() / 2)
        assert found == pytest.approx(least / 30)


def test_positive_maps_are_measured_as_quantus_does():
    quantus = pytest.importorskip("quantus")
    relevance = torch.rand(6, 5, 8, generator=stream(), dtype=torch.float64)
    masks = torch.rand(6, 5, 8, generator=stream(1)) < 0.3
    known = {
        "RelevanceMassAccuracy": maps.relevance_mass_accuracy(relevance, masks).values,
        "RelevanceRankAccuracy": ranked(relevance, masks).values,
        "Sparseness": maps.gini(relevance).values,
        "Complexity": maps.attribution_entropy(relevance).values * math.log(40),
    }
    for name, found in known.items():
        metric = getattr(quantus, name)(abs=True, normalise=False, disable_warnings=True)
        expected = metric(
            model=torch.nn.Identity(),
            x_batch=np.zeros((6, 1, 5, 8)),
            y_batch=np.zeros(6, dtype=int),
            a_batch=relevance[:, None].numpy(),
            s_batch=masks[:, None].numpy(),
            device="cpu",
        )
        # Quantus adds 1e-7 to each value before its Gini coefficient.
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=name)


def test_rank_accuracy_is_counted_element_by_element():
    relevance = torch.randn(9, 20, generator=stream())
    masks = torch.rand(9, 20, generator=stream(1)) < 0.4
    relevance = relevance.abs()
    for row, mask, found in zip(relevance, masks, ranked(relevance, masks).values, strict=True):
        size = int(mask.sum())
        top = set(row.argsort(descending=True)[:size].tolist())
        assert found.item() == pytest.approx(len(top & set(mask.nonzero()[:, 0].tolist())) / size)


def test_equal_values_are_ranked_at_random():
    # One element of the mask is relevant; the second place goes to one of five zeros, one inside.
    relevance = torch.tensor([[1.0, 0, 0, -1, 0, 0]]).expand(20_000, -1)
    found = ranked(relevance, MASK.expand(20_000, -1)).values
    assert set(found.tolist()) == {0.5, 1.0}
    assert found.mean().item() == pytest.approx(0.5 + 0.5 / 5, abs=0.01)
    assert torch.equal(found, ranked(relevance, MASK.expand(20_000, -1)).values)


def test_a_tie_does_not_favour_the_place_in_the_tensor():
    relevance = torch.zeros(20_000, 6)
    relevance[:, 5] = 1
    for place in range(4):
        masks = torch.zeros(20_000, 6)
        masks[:, [place, 5]] = 1
        found = ranked(relevance, masks).values.mean().item()
        assert found == pytest.approx(0.5 + 0.5 / 5, abs=0.01)


maps_and_masks = st.integers(2, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-4, 9), min_size=n, max_size=n),
        st.lists(st.integers(0, 2), min_size=n, max_size=n),
    )
)


@given(maps_and_masks)
def test_bounds_and_no_value_where_there_is_none(drawn):
    relevance, masks = (torch.tensor([row], dtype=torch.float32) for row in drawn)
    for found in both(relevance, masks):
        assert found.values.isfinite().all()
        assert (found.values >= 0).all()
        assert (found.values <= 1).all()
        assert (found.values[~found.defined] == 0).all()
    if not (relevance > 0).any():
        assert not any(found.defined.any() for found in both(relevance, masks))


@given(maps_and_masks, st.sampled_from([1e-30, 1e-6, 0.3, 7.0, 1e20]), st.randoms())
def test_scale_and_order_mean_nothing(drawn, factor, random):
    relevance, masks = (torch.tensor([row], dtype=torch.float64) for row in drawn)
    order = list(range(relevance.shape[1]))
    random.shuffle(order)
    for measure in (*EVERYWHERE, maps.relevance_mass_accuracy, maps.in_mask_entropy):
        arguments = (relevance,) if measure in EVERYWHERE else (relevance, masks)
        changed = (relevance[:, order] * factor, masks[:, order])[: len(arguments)]
        torch.testing.assert_close(measure(*changed), measure(*arguments), rtol=1e-9, atol=1e-12)


def test_rank_accuracy_without_ties_is_free_of_scale_and_order():
    relevance, masks = torch.rand(5, 12, generator=stream()), torch.arange(60).view(5, 12) % 3 == 0
    order = torch.randperm(12, generator=stream(1))
    expected = ranked(relevance, masks).values
    assert torch.equal(ranked(relevance[:, order] * 1e-9, masks[:, order]).values, expected)


def test_samples_without_a_value_are_marked():
    relevance = torch.tensor([[1.0, 2, 3, 4], [-1, -2, 0, 0], [2, 2, 2, 2], [0, 0, 0, 0]])
    some, none, whole = torch.tensor([1, 1, 0, 0]), torch.zeros(4), torch.ones(4)
    for mask, mass, rank, entropy in (
        (some, [True, False, True, False], [True, False, False, False], [True, False, True, False]),
        (none, [False] * 4, [False] * 4, [False] * 4),
        (whole, [False] * 4, [False] * 4, [True, False, True, False]),
    ):
        masks = mask.expand(4, -1)
        assert maps.relevance_mass_accuracy(relevance, masks).defined.tolist() == mass
        assert ranked(relevance, masks).defined.tolist() == rank
        assert maps.in_mask_entropy(relevance, masks).defined.tolist() == entropy
    for measure in EVERYWHERE:
        assert measure(relevance).defined.tolist() == [True, False, True, False]
        assert not measure(relevance[[1]]).mean
    assert not maps.attribution_entropy(torch.ones(2, 1)).defined.any()
    # Relevance outside of the mask alone: nothing inside to be spread.
    assert not maps.in_mask_entropy(torch.tensor([[0.0, -1, 5, 5]]), some[None]).defined.any()


def test_the_mean_is_over_those_that_have_a_value():
    parts = [maps.gini(torch.tensor([[1.0, 0]])), maps.gini(torch.tensor([[0.0, 0], [1, 1]]))]
    whole = joined(parts)
    assert whole.kept.tolist() == [0.5, 0]
    assert whole.mean == 0.25
    assert joined(parts[:0] or [maps.gini(torch.zeros(1, 2))]).mean is None


def test_cosine_within_classes_by_hand():
    found = maps.ClassCosine()
    found.add(torch.tensor([[1.0, 0], [0, 2], [3, 3]]), torch.tensor([0, 0, 1]))
    found.add(torch.tensor([[5.0, 5], [-1, 0], [1, 0]]), torch.tensor([1, 1, 2]))
    # Class 0: disjoint. Class 1: the same twice, and one map without a direction. Class 2: alone.
    assert found.by_class == {0: pytest.approx(0), 1: pytest.approx(1)}
    assert found.mean == pytest.approx(0.5)
    assert maps.ClassCosine().mean is None


def test_cosine_within_classes_is_the_mean_over_pairs_in_any_batches():
    relevance, labels = torch.randn(14, 4, 5, generator=stream()), torch.arange(14) % 3
    a = relevance.clamp(min=0).flatten(1).double().numpy()
    expected = []
    for label in range(3):
        pairs = itertools.combinations(a[labels.numpy() == label], 2)
        expected.append(np.mean([x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in pairs]))
    for size in (1, 4, 14):
        found = maps.ClassCosine()
        for part in torch.arange(14).split(size):
            found.add(relevance[part] * 1e-12, labels[part])
        assert list(found.by_class.values()) == pytest.approx(expected)
        assert found.mean == pytest.approx(np.mean(expected))
