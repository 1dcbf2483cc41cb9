"""Guided regularizers hide what is relevant; their control hides as much, elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins.regularizers.reldrop_ball import RelDropBall
from reldrop_bench.plugins.regularizers.reldrop_block import RelDropBlock
from reldrop_bench.plugins.regularizers.reldrop_patch import RelDropPatch
from reldrop_bench.plugins.regularizers.reldrop_pixel import RelDropPixel
from reldrop_bench.plugins.regularizers.reldrop_points import RelDropPoints

MakeStep = Callable[..., Step]


def peaked(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images whose first channel is a blob plus noise, and the blobs' (row, column)."""
    g = torch.Generator().manual_seed(seed)
    place = torch.randint(8, 24, (count, 2), generator=g)
    line = torch.arange(32)
    row = (line - place[:, :1]).float().square()
    column = (line - place[:, 1:]).float().square()
    blob = torch.exp(-(row[:, :, None] + column[:, None, :]) / 40)
    inputs = torch.randn(count, 3, 32, 32, generator=g)
    inputs[:, 0] = blob + 0.1 * inputs[:, 0]
    return inputs, place


def occluded(regularizer: Regularizer, inputs: Tensor, step: Step) -> Tensor:
    targets = torch.zeros(len(inputs), dtype=torch.long)
    mask = regularizer.transform(Batch(inputs, targets), step).occluded
    assert mask is not None
    return mask


def correlation(mask: Tensor, scores: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([mask.float().flatten(), scores.flatten()]))[0, 1])


@pytest.mark.parametrize("positive", [True, False])
def test_pixel_control_hides_as_much_but_unrelated(positive: bool, make_step: MakeStep) -> None:
    inputs, _ = peaked(2000)
    masks = {
        score: occluded(
            RelDropPixel(probability=1.0, alpha=0.5, positive=positive, score=score),
            inputs,
            make_step("image"),
        )
        for score in ("relevance", "random", "other-sample", "inverted")
    }
    areas = {score: mask.flatten(1).float().mean(1) for score, mask in masks.items()}
    for control in ("random", "inverted"):
        assert stats.ks_2samp(areas["relevance"], areas[control]).pvalue > 0.001
    assert correlation(masks["relevance"], inputs[:, 0]) > 0.3
    assert abs(correlation(masks["random"], inputs[:, 0])) < 0.01
    assert correlation(masks["inverted"], inputs[:, 0]) < -0.2
    assert correlation(masks["other-sample"], inputs[:, 0]) < 0.2


def test_points_control_hides_as_much_but_unrelated(make_step: MakeStep) -> None:
    inputs = torch.randn(2000, 3, 128, generator=torch.Generator().manual_seed(0))
    guided = occluded(RelDropPoints(probability=1.0), inputs, make_step("cloud"))
    control = occluded(RelDropPoints(probability=1.0, score="random"), inputs, make_step("cloud"))
    areas = (mask.float().mean(1) for mask in (guided, control))
    assert stats.ks_2samp(*areas).pvalue > 0.001
    assert correlation(guided, inputs[:, 0]) > 0.4
    assert abs(correlation(control, inputs[:, 0])) < 0.01


@pytest.mark.parametrize("cls", [RelDropBlock, RelDropPatch])
def test_rectangle_control_hides_exactly_as_much_at_any_place(
    cls: type[Regularizer], make_step: MakeStep
) -> None:
    inputs, _ = peaked(4000)
    guided, random = (
        occluded(cls.create({"probability": 1.0, "score": score}), inputs, make_step("image"))
        for score in ("relevance", "random")
    )
    assert torch.equal(guided.flatten(1).sum(1), random.flatten(1).sum(1))
    assert correlation(guided, inputs[:, 0]) > 0.2
    assert abs(correlation(random, inputs[:, 0])) < 0.01
    often = random.float().mean(0)
    assert float(often.std() / often.mean()) < 0.06, "every pixel is hidden equally often"


@pytest.mark.parametrize("cls", [RelDropBlock, RelDropPatch])
def test_another_samples_relevance_hides_as_much(
    cls: type[Regularizer], make_step: MakeStep
) -> None:
    inputs, _ = peaked(4000)
    areas = [
        occluded(cls.create({"probability": 1.0, "score": score}), inputs, make_step("image", seed))
        .flatten(1)
        .float()
        .mean(1)
        for seed, score in enumerate(("relevance", "other-sample"))
    ]
    assert stats.ks_2samp(*areas).pvalue > 0.001


@pytest.mark.parametrize("cls", [RelDropBlock, RelDropPatch])
def test_rectangles_cover_the_most_relevant_pixel(
    cls: type[Regularizer], make_step: MakeStep
) -> None:
    inputs, _ = peaked(500)
    best = inputs[:, 0].flatten(1).argmax(1, keepdim=True)
    guided = occluded(cls.create({"probability": 1.0}), inputs, make_step("image"))
    assert guided.flatten(1).gather(1, best).all()
    random = occluded(
        cls.create({"probability": 1.0, "score": "random"}), inputs, make_step("image")
    )
    assert random.flatten(1).gather(1, best).float().mean() < 0.4
    worst = inputs[:, 0].flatten(1).argmin(1, keepdim=True)
    inverted = cls.create({"probability": 1.0, "score": "inverted"})
    assert occluded(inverted, inputs, make_step("image")).flatten(1).gather(1, worst).all()


def test_block_area_follows_its_range(make_step: MakeStep) -> None:
    inputs = torch.zeros(4000, 3, 32, 32)
    inputs[:, 0, 16, 16] = 1  # a centre from which hardly any block is clipped
    area = occluded(RelDropBlock(probability=1.0), inputs, make_step("image"))
    fraction = area.flatten(1).float().mean(1)
    # Whole pixels and the clipping of the longest blocks move it by a few per cent.
    assert stats.kstest(fraction.numpy(), stats.uniform(0.02, 0.38).cdf).statistic < 0.05


def test_patches_share_one_blocks_area_and_a_single_one_hides_less(make_step: MakeStep) -> None:
    inputs = torch.zeros(2000, 3, 32, 32)
    for row, column in ((8, 8), (8, 24), (24, 8), (24, 24)):
        inputs[:, 0, row, column] = 1
    for single, patches in ((False, 4), (True, 1)):
        regularizer = RelDropPatch(probability=1.0, k=4, single=single, area_min=0.1, area_max=0.1)
        mask = occluded(regularizer, inputs, make_step("image"))
        quarters = mask.unfold(1, 16, 16).unfold(2, 16, 16).flatten(3).any(3).flatten(1).sum(1)
        assert (quarters == patches).all()
        area = mask.flatten(1).float().mean()
        assert float(area) == pytest.approx(0.1 * patches / 4, rel=0.05)


def test_ball_is_around_the_most_relevant_point(make_step: MakeStep) -> None:
    inputs = torch.randn(400, 3, 128, generator=torch.Generator().manual_seed(0))
    mask = occluded(RelDropBall(probability=1.0), inputs, make_step("cloud"))
    centre = inputs[:, 0].argmax(1)
    distance = (inputs - inputs.gather(2, centre[:, None, None].expand(-1, 3, 1))).norm(dim=1)
    farthest_hidden = distance.masked_fill(~mask, -1).amax(1)
    nearest_shown = distance.masked_fill(mask, torch.inf).amin(1)
    assert (farthest_hidden <= nearest_shown).all()
    assert mask.gather(1, centre[:, None]).all()
    fraction = mask.float().mean(1).numpy()
    assert stats.kstest(fraction, stats.uniform(0.02, 0.38).cdf).pvalue > 0.001


def test_a_control_explains_unless_its_area_is_known_without(make_step: MakeStep) -> None:
    inputs, _ = peaked(16)
    clouds = torch.randn(16, 3, 128, generator=torch.Generator().manual_seed(0))
    for cls, batch, explained in (
        (RelDropPixel, inputs, 16),
        (RelDropBlock, inputs, 16),
        (RelDropPatch, inputs, 16),
        (RelDropPoints, clouds, 16),
        (RelDropBall, clouds, 0),
    ):
        step = make_step("cloud" if batch is clouds else "image")
        control = cls.create({"probability": 1.0, "score": "random"})
        occluded(control, batch, step)
        assert step.explained == explained
        assert control.uses_relevance == (explained > 0)
