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


RECTANGLES: tuple[tuple[type[Regularizer], dict[str, object]], ...] = (
    (RelDropBlock, {}),
    (RelDropBlock, {"border": "clip", "k": 10}),
    (RelDropPatch, {}),
    (RelDropPatch, {"border": "clip", "single": True}),
)
CONTROLS = ("random", "other-sample", "inverted")


def bounds(mask: Tensor) -> tuple[Tensor, ...]:
    """Return top, bottom, left and right (b,) of what is hidden of each sample."""
    rows, columns = mask.any(2).int(), mask.any(1).int()
    last = mask.shape[1] - 1
    first = (rows.argmax(1), columns.argmax(1))
    ends = (last - rows.flip(1).argmax(1), last - columns.flip(1).argmax(1))
    return first[0], ends[0], first[1], ends[1]


@pytest.mark.parametrize(("cls", "parameters"), RECTANGLES)
def test_rectangle_controls_hide_exactly_as_much(
    cls: type[Regularizer], parameters: dict[str, object], make_step: MakeStep
) -> None:
    inputs, _ = peaked(2000)
    masks = {
        score: occluded(
            cls.create({"probability": 0.7, "score": score, **parameters}),
            inputs,
            make_step("image"),
        ).flatten(1)
        for score in ("relevance", *CONTROLS)
    }
    areas = {score: mask.sum(1) for score, mask in masks.items()}
    for score in CONTROLS:
        assert torch.equal(areas[score] > 0, areas["relevance"] > 0), "the same samples"
    for score in ("random", "inverted"):
        assert torch.equal(areas[score], areas["relevance"]), score
    if cls is RelDropBlock and "border" not in parameters:
        assert torch.equal(areas["other-sample"], areas["relevance"])
    assert stats.ks_2samp(areas["relevance"], areas["other-sample"]).pvalue > 0.001
    assert correlation(masks["relevance"], inputs[:, 0].flatten(1)) > 0.2
    assert correlation(masks["inverted"], inputs[:, 0].flatten(1)) < 0


@pytest.mark.parametrize("border", ["inside", "clip"])
def test_the_blocks_control_is_whole_of_the_same_shape_and_uniform_where_it_fits(
    border: str, make_step: MakeStep
) -> None:
    inputs, _ = peaked(4000)
    guided, random = (
        occluded(
            RelDropBlock.create({"probability": 1.0, "score": score, "border": border}),
            inputs,
            make_step("image"),
        )
        for score in ("relevance", "random")
    )
    top, bottom, left, right = bounds(random)
    height, width = bottom - top + 1, right - left + 1
    assert torch.equal(random.flatten(1).sum(1), height * width), "one rectangle, in one piece"
    other = bounds(guided)
    assert torch.equal(height, other[1] - other[0] + 1)
    assert torch.equal(width, other[3] - other[2] + 1)
    generator = torch.Generator().manual_seed(0)
    for start, side in ((top, height), (left, width)):
        # A discrete place made continuous: uniform on [0, 1] if and only if all places are alike.
        jitter = torch.rand(len(start), generator=generator)
        assert stats.kstest(((start + jitter) / (33 - side)).numpy(), "uniform").pvalue > 0.001


@pytest.mark.parametrize("cls", [RelDropPixel, RelDropPoints])
def test_controls_of_single_elements_hide_exactly_as_much(
    cls: type[Regularizer], make_step: MakeStep
) -> None:
    modality = next(iter(cls.modalities))
    shape = (500, 3, 32, 32) if modality == "image" else (500, 3, 128)
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    areas = [
        occluded(cls.create({"probability": 0.5, "score": score}), inputs, make_step(modality))
        .flatten(1)
        .sum(1)
        for score in ("relevance", "random", "inverted")
    ]
    assert torch.equal(areas[0], areas[1])
    assert torch.equal(areas[0], areas[2])


def test_the_balls_controls_hide_exactly_as_much(make_step: MakeStep) -> None:
    inputs = torch.randn(500, 3, 128, generator=torch.Generator().manual_seed(0))
    areas = [
        occluded(RelDropBall(probability=0.5, k=9, score=score), inputs, make_step("cloud")).sum(1)  # type: ignore[arg-type]
        for score in ("relevance", *CONTROLS)
    ]
    for other in areas[1:]:
        assert torch.equal(areas[0], other)


def test_a_stream_is_not_moved_by_draws_from_others(make_step: MakeStep) -> None:
    first, second = make_step("image"), make_step("image")
    torch.rand(100, generator=first.generator)
    torch.rand(7, generator=first.stream("another"))
    drawn = [torch.rand(5, generator=step.stream("who")) for step in (first, second)]
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], torch.rand(5, generator=first.stream("who"))), "it goes on"
    assert not torch.equal(drawn[0], torch.rand(5, generator=second.stream("shape")))


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
    for cls, parameters, batch, explained in (
        (RelDropPixel, {}, inputs, 16),
        (RelDropBlock, {}, inputs, 0),
        (RelDropBlock, {"border": "clip"}, inputs, 16),
        (RelDropPatch, {}, inputs, 16),
        (RelDropPatch, {"single": True}, inputs, 0),
        (RelDropPoints, {}, clouds, 16),
        (RelDropBall, {}, clouds, 0),
    ):
        step = make_step("cloud" if batch is clouds else "image")
        control = cls.create({"probability": 1.0, "score": "random", **parameters})
        occluded(control, batch, step)
        assert step.explained == explained
        assert control.uses_relevance == (explained > 0)
