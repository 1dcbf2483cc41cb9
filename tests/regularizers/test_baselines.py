"""The unguided baselines do what their papers say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from scipy import stats

from reldrop_bench.data import Batch
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins.regularizers.cutout import Cutout
from reldrop_bench.plugins.regularizers.mixup import Mixup
from reldrop_bench.plugins.regularizers.none import NoRegularizer
from reldrop_bench.plugins.regularizers.random_input_dropout import RandomInputDropout
from reldrop_bench.plugins.regularizers.random_point_dropout import RandomPointDropout

MakeStep = Callable[..., Step]
MakeBatch = Callable[..., Batch]


def test_none_returns_the_batch_itself(make_step: MakeStep, make_batch: MakeBatch) -> None:
    batch = make_batch("image", 4)
    assert NoRegularizer().transform(batch, make_step("image")) is batch


@pytest.mark.parametrize("modality", ["image", "cloud"])
def test_input_dropout_hides_its_share(
    modality: str, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    out = RandomInputDropout().transform(make_batch(modality, 500), make_step(modality))
    assert out.occluded is not None
    assert out.occluded.float().mean().item() == pytest.approx(0.2, abs=0.01)


def test_cutout_hides_a_quarter_of_a_cifar_image_at_most(
    make_step: MakeStep, make_batch: MakeBatch
) -> None:
    out = Cutout().transform(make_batch("image", 500), make_step("image"))
    assert out.occluded is not None
    assert out.occluded.flatten(1).sum(1).max() == 256
    assert (out.inputs.movedim(1, -1)[out.occluded] == 0).all()


def test_dropped_points_become_the_first_point(make_step: MakeStep, make_batch: MakeBatch) -> None:
    batch = make_batch("cloud", 2000)
    out = RandomPointDropout().transform(batch, make_step("cloud"))
    assert out.occluded is not None
    first = batch.inputs[:, :, :1].expand_as(batch.inputs)
    assert torch.equal(out.inputs, torch.where(out.occluded[:, None], first, batch.inputs))
    ratio = out.occluded[:, 1:].float().mean(1).numpy()
    assert stats.kstest(ratio, stats.uniform(0, 0.875).cdf).statistic < 0.05


def test_mixup_interpolates_inputs_and_targets_alike(
    make_step: MakeStep, make_batch: MakeBatch
) -> None:
    batch = make_batch("image", 6)
    # One-hot inputs make the shares readable from the mixtures.
    batch = batch.replace(inputs=torch.eye(6).view(6, 6, 1, 1), targets=torch.tensor([0, 1, 2] * 2))
    out = Mixup().transform(batch, make_step("image", seed=2))
    weights = out.inputs.view(6, 6)  # row i: how much of each sample is in mixture i
    torch.testing.assert_close(weights.sum(1), torch.ones(6))
    torch.testing.assert_close(weights.sum(0), torch.ones(6))  # the partners are a permutation
    assert out.targets.shape == (6, 3)
    one_hot = torch.nn.functional.one_hot(batch.targets, 3).float()
    torch.testing.assert_close(out.targets, weights @ one_hot)
    shares = weights.diagonal()[weights.diagonal() < 1]
    assert len(shares.unique()) == 1  # one share a batch


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_share_follows_its_beta(
    alpha: float, make_step: MakeStep, make_batch: MakeBatch
) -> None:
    step = make_step("image")
    batch = Batch(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1), torch.tensor([0, 1]))
    mixtures = [Mixup(alpha=alpha).transform(batch, step).inputs.flatten() for _ in range(4000)]
    # The partner is the sample itself in half of the batches; there nothing is mixed.
    shares = torch.stack([1 - each[0] for each in mixtures])
    mixed = shares[shares < 1].numpy()
    assert stats.kstest(mixed, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_mixup_off_and_alone_return_the_input(make_step: MakeStep, make_batch: MakeBatch) -> None:
    batch = make_batch("image", 4)
    assert Mixup.create(Mixup.off).transform(batch, make_step("image")) is batch
    alone = make_batch("image", 1)
    before = alone.inputs.clone()
    out = Mixup().transform(alone, make_step("image"))
    torch.testing.assert_close(out.inputs, alone.inputs)
    assert torch.equal(alone.inputs, before)
    torch.testing.assert_close(out.targets.sum(1), torch.ones(1))


def test_mixup_mixes_soft_targets(make_step: MakeStep, make_batch: MakeBatch) -> None:
    soft = torch.rand(4, 3).softmax(1)
    out = Mixup().transform(make_batch("image", 4).replace(targets=soft), make_step("image"))
    torch.testing.assert_close(out.targets.sum(1), torch.ones(4))
