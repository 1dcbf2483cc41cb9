"""Shapes: what is drawn follows the published distributions, what is applied is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from reldrop_bench.occlusion.shape import (
    Rectangles,
    ball_mask,
    descending_order,
    draw_areas,
    draw_centres,
    draw_rectangles_inside,
    draw_sizes,
    draw_squares,
    normalise,
    rank_mask,
    rectangle_mask,
    rectangles_at,
    threshold_mask,
    top_elements,
)

SIZE = torch.Size((32, 32))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_at_one_half_the_probability_to_be_hidden_is_the_relevance() -> None:
    r = torch.linspace(0, 1, 11).repeat_interleave(100_000).view(11, -1)
    rate = threshold_mask(r, 0.5, 0.5, generator()).float().mean(1)
    torch.testing.assert_close(rate, torch.linspace(0, 1, 11), atol=0.02, rtol=0)
    assert rate[0] == 0


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.5), (0.7, 0.2), (1.0, 0.25), (0.5, 0.9)])
def test_threshold_follows_its_closed_form(alpha: float, beta: float) -> None:
    r = torch.linspace(0, 1, 11).repeat_interleave(100_000).view(11, -1)
    rate = threshold_mask(r, alpha, beta, generator()).double().mean(1)
    expected = [
        min(max(1 - (1 - beta - (1 - alpha) * x) / alpha, 0), 1) for x in np.linspace(0, 1, 11)
    ]
    np.testing.assert_allclose(rate, expected, atol=0.01)


def test_normalise_positive_keeps_zero_and_signed_spans_zero_to_one() -> None:
    maps = torch.tensor([[-4.0, 0.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [-1.0, -2.0, 0.0, -1.0]])
    positive, signed = normalise(maps, True), normalise(maps, False)
    assert positive[0].tolist() == [0, 0, 0.5, 1]
    assert signed[0].tolist() == pytest.approx([0, 4 / 6, 5 / 6, 1])
    assert signed[1].tolist() == [0] * 4
    assert positive[2].tolist() == [0] * 4


def test_area_is_uniform_and_aspect_log_uniform_before_clipping() -> None:
    areas = draw_areas((20_000, 1), (0.02, 0.4), SIZE, generator())
    heights, widths = draw_sizes(areas, (0.3, 1 / 0.3), generator(1))
    area = (heights * widths / 1024).flatten().numpy()
    aspect = (heights / widths).log().flatten().numpy()
    assert stats.kstest(area, stats.uniform(0.02, 0.38).cdf).pvalue > 0.001
    low = math.log(0.3)
    assert stats.kstest(aspect, stats.uniform(low, -2 * low).cdf).pvalue > 0.001


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_rectangle_mask_is_the_union_of_clipped_rectangles(
    height: int, width: int, k: int, seed: int
) -> None:
    g = generator(seed)
    size = torch.Size((height, width))
    place = torch.randint(-5, 10, (2, 3, k), generator=g)
    sides = torch.randint(0, 12, (2, 3, k), generator=g)
    mask = rectangle_mask(Rectangles(*place, *sides), size)
    expected = np.zeros((3, height, width), bool)
    for b in range(3):
        for j in range(k):
            (top, left), (h, w) = place[:, b, j].tolist(), sides[:, b, j].tolist()
            expected[b, max(top, 0) : max(top + h, 0), max(left, 0) : max(left + w, 0)] = True
    assert mask.dtype == torch.bool
    np.testing.assert_array_equal(mask.numpy(), expected)


def test_rectangles_surround_their_centre() -> None:
    g = generator()
    centres = torch.randint(1024, (500, 1), generator=g)
    sides = torch.rand(2, 500, 1, generator=g) * 20
    mask = rectangle_mask(rectangles_at(centres, *sides, SIZE), SIZE)
    assert mask.flatten(1).gather(1, centres).all()


def test_random_erasing_agrees_with_torchvision() -> None:
    reference = v2.RandomErasing(p=1.0, scale=(0.02, 0.33), ratio=(0.3, 3.3))
    image = torch.zeros(1, 32, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [reference.make_params([image]) for _ in range(4000)]
    ours = draw_rectangles_inside(20_000, (0.02, 0.33), (0.3, 3.3), SIZE, generator())
    theirs = {key: np.array([each[key] for each in drawn], float) for key in ("i", "j", "h", "w")}
    top, left, height, width = (part.flatten().double().numpy() for part in ours)
    assert (top >= 0).all()
    assert (top + height <= 32).all()
    assert (left >= 0).all()
    assert (left + width <= 32).all()
    pairs = {
        "area": (height * width, theirs["h"] * theirs["w"]),
        "aspect": (height / width, theirs["h"] / theirs["w"]),
        "top": (top, theirs["i"]),
        "left": (left, theirs["j"]),
    }
    for name, (mine, reference_values) in pairs.items():
        assert stats.ks_2samp(mine, reference_values).pvalue > 0.001, name


def test_random_erasing_that_fits_nowhere_is_empty() -> None:
    drawn = draw_rectangles_inside(8, (1.0, 1.0), (1.0, 1.0), SIZE, generator())
    assert not rectangle_mask(drawn, SIZE).any()


def test_squares_have_any_centre_and_are_clipped() -> None:
    squares = draw_squares(20_000, 16, SIZE, generator())
    area = rectangle_mask(squares, SIZE).flatten(1).sum(1)
    assert area.min() == 64  # a corner keeps a quarter
    assert area.max() == 256
    assert torch.equal((squares.top + 8).unique(), torch.arange(32))


@given(
    n=st.integers(1, 30), k=st.integers(1, 40), levels=st.integers(1, 4), seed=st.integers(0, 999)
)
@settings(max_examples=100, deadline=None)
def test_top_elements_are_distinct_and_the_highest(n: int, k: int, levels: int, seed: int) -> None:
    scores = torch.randint(-1, levels, (3, n), generator=generator(seed)).float()
    top = top_elements(scores, k, generator(seed))
    k = min(k, n)
    assert top.shape == (3, k)
    assert all(len(row.unique()) == k for row in top)
    values = scores.gather(1, top).sort(1, descending=True).values
    assert torch.equal(values, scores.sort(1, descending=True).values[:, :k])


def test_ties_are_broken_at_random() -> None:
    scores = torch.zeros(20_000, 2, 4)
    scores[:, 1, 3] = 1
    centres = draw_centres(scores, 3, generator())
    share = torch.bincount(centres, minlength=8) / 20_000
    assert (share[7] - 1 / 3).abs() < 0.015
    assert ((share[:7] - 2 / 3 / 7).abs() < 0.015).all()
    first = descending_order(scores, generator())[:, 1]
    assert ((torch.bincount(first, minlength=8)[:7] / 20_000 - 1 / 7).abs() < 0.015).all()


def test_centres_are_uniform_over_the_k_highest() -> None:
    scores = torch.arange(50.0).expand(30_000, 50)
    share = torch.bincount(draw_centres(scores, 5, generator()), minlength=50) / 30_000
    assert share[:45].sum() == 0
    assert ((share[45:] - 0.2).abs() < 0.015).all()


@given(n=st.integers(1, 40), fraction=st.floats(0, 1), seed=st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_rank_mask_hides_the_highest_fraction(n: int, fraction: float, seed: int) -> None:
    scores = torch.randint(0, 5, (3, n), generator=generator(seed)).float()
    mask = rank_mask(scores, fraction, generator(seed))
    assert (mask.sum(1) == round(fraction * n)).all()
    for row, hidden in zip(scores, mask, strict=True):
        if hidden.any() and not hidden.all():
            assert row[hidden].min() >= row[~hidden].max()


@given(n=st.integers(1, 60), seed=st.integers(0, 999))
@settings(max_examples=50, deadline=None)
def test_ball_hides_exactly_the_nearest_points(n: int, seed: int) -> None:
    g = generator(seed)
    places = torch.randn(4, 3, n, generator=g)
    centres = torch.randint(n, (4,), generator=g)
    counts = torch.randint(1, n + 1, (4,), generator=g)
    mask = ball_mask(places, centres, counts)
    assert torch.equal(mask.sum(1), counts)
    assert mask.gather(1, centres[:, None]).all()
    for cloud, centre, hidden in zip(places.numpy(), centres, mask.numpy(), strict=True):
        distance = np.linalg.norm(cloud - cloud[:, centre, None], axis=0)
        assert hidden.all() or distance[hidden].max() <= distance[~hidden].min()
