"""What every occluding regularizer keeps, whatever its score, shape and fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.occlusion.score import ScoreName
from reldrop_bench.plugins.regularizers.cutout import Cutout
from reldrop_bench.plugins.regularizers.random_erasing import RandomErasing
from reldrop_bench.plugins.regularizers.random_input_dropout import RandomInputDropout
from reldrop_bench.plugins.regularizers.random_point_dropout import RandomPointDropout
from reldrop_bench.plugins.regularizers.reldrop_ball import RelDropBall
from reldrop_bench.plugins.regularizers.reldrop_block import RelDropBlock
from reldrop_bench.plugins.regularizers.reldrop_patch import RelDropPatch
from reldrop_bench.plugins.regularizers.reldrop_pixel import RelDropPixel
from reldrop_bench.plugins.regularizers.reldrop_points import RelDropPoints

RANDOM = [Cutout, RandomErasing, RandomInputDropout, RandomPointDropout]
GUIDED = [RelDropPixel, RelDropBlock, RelDropPatch, RelDropPoints, RelDropBall]
BY_RANKS = [RelDropBall, RelDropBlock]
CASES = [(cls, modality) for cls in RANDOM + GUIDED for modality in sorted(cls.modalities)]
GUIDED_CASES = [
    (cls, modality, score)
    for cls in GUIDED
    for modality in cls.modalities
    for score in get_args(ScoreName)
]
MakeStep = Callable[..., Step]
MakeBatch = Callable[..., Batch]


@pytest.mark.parametrize(("cls", "modality"), CASES)
def test_off_is_the_input_bit_for_bit_and_explains_nobody(
    cls: type[Regularizer], modality: str, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    step, batch = make_step(modality), make_batch(modality, 16)
    out = cls.create(cls.off).transform(batch, step)
    assert torch.equal(out.inputs, batch.inputs)
    assert torch.equal(out.targets, batch.targets)
    assert step.explained == 0
    assert out.occluded is not None
    assert not out.occluded.any()


@pytest.mark.parametrize(("cls", "modality"), CASES)
@given(count=st.integers(1, 9), seed=st.integers(0, 99), size=st.integers(1, 9))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_only_what_occluded_marks_changes(
    cls: type[Regularizer],
    modality: str,
    count: int,
    seed: int,
    size: int,
    make_step: MakeStep,
    make_batch: MakeBatch,
) -> None:
    step, batch = make_step(modality, seed), make_batch(modality, count)
    batch = batch.replace(inputs=batch.inputs[:, :, :size].contiguous())  # also non-square images
    before, state = batch.inputs.clone(), torch.get_rng_state()
    out = cls().transform(batch, step)
    assert out.inputs.shape == batch.inputs.shape
    assert out.inputs.dtype == torch.float32
    assert out.occluded is not None
    assert out.occluded.dtype == torch.bool
    assert out.occluded.shape == (count, *batch.inputs.shape[2:])
    shown = (~out.occluded).unsqueeze(1).expand_as(before)
    assert torch.equal(out.inputs[shown], before[shown])
    assert torch.equal(batch.inputs, before)
    assert torch.equal(torch.get_rng_state(), state)
    again = cls().transform(batch, make_step(modality, seed))
    assert torch.equal(again.inputs, out.inputs)


@pytest.mark.parametrize(("cls", "modality", "score"), GUIDED_CASES)
def test_only_the_selected_are_explained(
    cls: type[Regularizer], modality: str, score: str, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    step, batch = make_step(modality), make_batch(modality, 64)
    regularizer = cls.create({"score": score, "probability": 0.25})
    selected = 64 * 0.25
    out = regularizer.transform(batch, step)
    assert out.occluded is not None
    changed = int(out.occluded.flatten(1).any(1).sum())
    if score == "random" and cls in BY_RANKS:
        assert step.explained == 0
    else:
        assert changed <= step.explained <= 2 * selected
    if cls in {
        RelDropBlock,
        RelDropPatch,
        RelDropBall,
    }:  # a threshold may hide nothing of a selected sample
        assert step.explained in {0, changed}
    assert regularizer.uses_relevance == (step.explained > 0 and score != "gradient")


@pytest.mark.parametrize(("cls", "modality", "score"), GUIDED_CASES)
def test_batch_of_one_and_constant_maps_work(
    cls: type[Regularizer], modality: str, score: str, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    batch = make_batch(modality, 1)
    for inputs in (batch.inputs, torch.zeros_like(batch.inputs)):
        regularizer = cls.create({"score": score, "probability": 1.0})
        out = regularizer.transform(batch.replace(inputs=inputs), make_step(modality))
        assert out.inputs.isfinite().all()


@pytest.mark.parametrize(("cls", "modality"), [(cls, next(iter(cls.modalities))) for cls in GUIDED])
def test_a_real_explanation_leaves_no_trace(
    cls: type[Regularizer], modality: str, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    step, batch = make_step(modality, real=True), make_batch(modality, 8)
    model = step.model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    out = cls.create({"probability": 1.0}).transform(batch, step)
    assert step.explained == 8
    assert out.occluded is not None
    assert out.occluded.any()
    assert not out.inputs.requires_grad
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("cls", GUIDED)
def test_every_preset_works_and_corrected_is_the_default(
    cls: type[Regularizer], make_step: MakeStep, make_batch: MakeBatch
) -> None:
    modality = next(iter(cls.modalities))
    for preset in cls.presets:
        out = cls.create({"preset": preset}).transform(make_batch(modality, 4), make_step(modality))
        assert out.inputs.isfinite().all()
    if cls is not RelDropBall:
        assert set(cls.presets) == {"paper", "authors-code", "corrected"}
        assert cls.create({"preset": "corrected"}) == cls()


@pytest.mark.parametrize("cls", [RelDropBlock, RelDropPatch])
def test_per_batch_selects_all_or_none(
    cls: type[Regularizer], make_step: MakeStep, make_batch: MakeBatch
) -> None:
    step, batch = make_step("image"), make_batch("image", 8)
    regularizer = cls.create({"per": "batch"})
    counts = []
    for _ in range(40):
        out = regularizer.transform(batch, step)
        assert out.occluded is not None
        counts.append(int(out.occluded.flatten(1).any(1).sum()))
    assert set(counts) == {0, 8}
    assert 8 < counts.count(8) < 32


def test_soft_targets_are_explained_by_their_likeliest_class(
    make_step: MakeStep, make_batch: MakeBatch
) -> None:
    batch = make_batch("image", 4)
    soft = torch.nn.functional.one_hot(batch.targets, 3) * 0.8 + 0.2 / 3
    regularizer = RelDropBlock(probability=1.0)
    hard_out = regularizer.transform(batch, make_step("image", real=True))
    soft_out = regularizer.transform(batch.replace(targets=soft), make_step("image", real=True))
    assert torch.equal(soft_out.inputs, hard_out.inputs)
    assert torch.equal(soft_out.targets, soft)


def test_what_was_hidden_before_stays_marked(make_step: MakeStep, make_batch: MakeBatch) -> None:
    step, batch = make_step("image"), make_batch("image", 4)
    first = Cutout().transform(batch, step)
    second = RandomInputDropout().transform(first, step)
    assert first.occluded is not None
    assert second.occluded is not None
    assert (second.occluded | ~first.occluded).all()
