"""Plugins in somebody's own training loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench import explain, regularizer, task
from reldrop_bench.errors import UserError


def image_model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def cloud_model() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 4, 1), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(4, 5)
    )


@pytest.fixture
def image() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    inputs = torch.randn(16, 3, 12, 12)
    model = image_model()
    model(inputs)
    return model, inputs, torch.arange(16) % 5


def test_a_guided_regularizer_hides_parts_of_images(
    image: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, inputs, targets = image
    model.train()
    before = inputs.clone()
    x, y = regularizer("reldrop-block", probability=1.0).apply(model, inputs, targets, fill=9.0)
    assert torch.equal(inputs, before)
    assert torch.equal(y, targets)
    changed = (x != inputs).any(1)
    assert changed.flatten(1).any(1).all()
    assert (x[changed.unsqueeze(1).expand_as(x)] == 9).all()
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_clouds_and_soft_targets(image: tuple[nn.Module, Tensor, Tensor]) -> None:
    clouds = torch.randn(8, 3, 50)
    x, _ = regularizer("reldrop-ball", probability=1.0).apply(
        cloud_model(), clouds, torch.zeros(8).long()
    )
    assert (x != clouds).flatten(1).any(1).all()
    model, inputs, targets = image
    x, y = regularizer("mixup").apply(model, inputs, targets)
    assert y.shape == (16, 5), "the number of classes is that of the model's logits"
    assert torch.allclose(y.sum(1), torch.ones(16))


def test_a_loop_is_repeatable_by_the_global_seed(image: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, inputs, targets = image
    erasing = regularizer("random-erasing", probability=1.0)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(erasing.apply(model, inputs, targets)[0])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match="neither images"):
        regularizer("cutout").apply(nn.Flatten(), torch.zeros(4, 7), torch.zeros(4).long())


def test_explain_and_task() -> None:
    digits = task("digits")
    facts = digits.facts(None)
    batch = digits.test(None).batch(torch.arange(4))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, len(facts.classes)))
    maps = explain(model, batch.inputs, batch.targets, method="gradient-x-input")
    weights = model[1].weight[batch.targets].view(4, 8, 8)
    assert torch.allclose(maps, (weights * batch.inputs[:, 0]).detach())
    with pytest.raises(UserError, match="did you mean 'gradient-x-input'"):
        explain(model, batch.inputs, batch.targets, method="gradient-input")


def test_explaining_in_batches_gives_the_same_maps(
    image: tuple[nn.Module, Tensor, Tensor],
) -> None:
    model, inputs, targets = image
    told: list[tuple[int, int]] = []
    whole = explain(model, inputs, targets)
    parts = explain(
        model,
        inputs,
        targets,
        batch_size=6,
        progress=lambda done, total: told.append((done, total)),
    )
    torch.testing.assert_close(parts, whole)
    assert told == [(6, 16), (12, 16), (16, 16)]
    with pytest.raises(UserError, match="batch_size = 0"):
        explain(model, inputs, targets, batch_size=0)
