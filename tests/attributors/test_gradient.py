"""Gradients: the chain rule by hand, and what their averages over a path or over noise must be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.attributors.gradient import (
    GradientTimesInput,
    IntegratedGradients,
    SmoothGrad,
)
from reldrop_bench.kinds.attributor import explain_with, input_gradient, untouched

GENERATOR = torch.Generator()


def smooth() -> nn.Module:
    """Return a network without kinks, for clouds of ten points."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.Tanh(), nn.Flatten(), nn.Linear(80, 4)
    )


def test_known_answer_of_a_linear_model() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 4))
    images, targets = torch.randn(5, 2, 3, 3), torch.tensor([0, 3, 1, 1, 2])
    weights = model[1].weight[targets].view(5, 2, 3, 3).detach()
    relevance = explain_with(GradientTimesInput(), model, images, targets, GENERATOR)
    torch.testing.assert_close(relevance, (weights * images).sum(1))
    torch.testing.assert_close(input_gradient(model, images, targets), weights.abs().sum(1))


def test_equals_autograd_by_hand() -> None:
    model = smooth()
    clouds, targets = torch.randn(3, 3, 10), torch.tensor([3, 0, 1])
    relevance = explain_with(GradientTimesInput(), model, clouds, targets, GENERATOR)
    saliency = input_gradient(model, clouds, targets)
    with untouched(model):
        for index, target in enumerate(targets):
            cloud = clouds[index : index + 1].clone().requires_grad_()
            model(cloud)[0, target].backward()
            assert cloud.grad is not None
            torch.testing.assert_close(relevance[index], (cloud.grad * cloud)[0].sum(0).detach())
            torch.testing.assert_close(saliency[index], cloud.grad[0].abs().sum(0))


def smoothgrad(seed: int, samples: int = 4, noise: float = 0.15) -> Tensor:
    model = smooth()
    clouds, targets = torch.randn(3, 3, 10), torch.tensor([3, 0, 1])
    attributor = SmoothGrad(samples=samples, noise=noise)
    return explain_with(attributor, model, clouds, targets, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("target", range(4))
def test_integrated_gradients_add_up_to_what_the_logit_gains(target: int) -> None:
    model = smooth()
    clouds, targets = torch.randn(5, 3, 10), torch.full((5,), target)
    relevance = explain_with(IntegratedGradients(steps=100), model, clouds, targets, GENERATOR)
    with untouched(model), torch.no_grad():
        gain = (model(clouds) - model(torch.zeros_like(clouds)))[:, target]
    torch.testing.assert_close(relevance.sum(1), gain, rtol=1e-3, atol=1e-4)
    plain = explain_with(GradientTimesInput(), model, clouds, targets, GENERATOR)
    assert not torch.allclose(plain.sum(1), gain, rtol=1e-2)


@pytest.mark.parametrize("attributor", [IntegratedGradients(steps=3), SmoothGrad(samples=3)])
def test_a_linear_model_has_the_same_gradient_everywhere(
    attributor: IntegratedGradients | SmoothGrad,
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 4))
    images, targets = torch.randn(5, 2, 3, 3), torch.tensor([0, 3, 1, 1, 2])
    expected = explain_with(GradientTimesInput(), model, images, targets, GENERATOR)
    relevance = explain_with(attributor, model, images, targets, GENERATOR)
    torch.testing.assert_close(relevance, expected)


def test_integrated_gradients_of_a_piecewise_linear_model_are_exact() -> None:
    """Known answer: max(x - 1/2, 0) has the slope 1 on half of the way from 0 to 1."""
    first, last = nn.Linear(1, 1), nn.Linear(1, 1)
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)
    for layer, bias in ((first, -0.5), (last, 0.0)):
        nn.init.ones_(layer.weight)
        nn.init.constant_(layer.bias, bias)
    one = torch.ones(1, 1, 1)
    relevance = explain_with(
        IntegratedGradients(steps=10), model, one, torch.tensor([0]), GENERATOR
    )
    torch.testing.assert_close(relevance, torch.full((1, 1), 0.5))


def test_smoothgrad_without_noise_is_gradient_times_input() -> None:
    model = smooth()
    clouds, targets = torch.randn(3, 3, 10), torch.tensor([3, 0, 1])
    expected = explain_with(GradientTimesInput(), model, clouds, targets, GENERATOR)
    torch.testing.assert_close(smoothgrad(seed=0, noise=0.0), expected)
    assert not torch.allclose(smoothgrad(seed=0), expected, rtol=1e-2)


def test_smoothgrad_takes_its_noise_from_the_generator() -> None:
    assert torch.equal(smoothgrad(seed=1), smoothgrad(seed=1))
    assert not torch.allclose(smoothgrad(seed=1), smoothgrad(seed=2), rtol=1e-2)


def test_smoothgrad_with_more_samples_depends_less_on_the_seed() -> None:
    few, many = (
        torch.stack([smoothgrad(seed, samples) for seed in range(8)]).std(0).mean()
        for samples in (1, 25)
    )
    assert many < few / 3  # a fifth, in expectation


def test_smoothgrad_scales_its_noise_with_the_sample() -> None:
    """A sample of no range has no noise: its map is gradient times input."""
    model = smooth()
    clouds, targets = torch.full((2, 3, 10), 0.3), torch.tensor([3, 1])
    expected = explain_with(GradientTimesInput(), model, clouds, targets, GENERATOR)
    relevance = explain_with(SmoothGrad(noise=10.0), model, clouds, targets, GENERATOR)
    torch.testing.assert_close(relevance, expected)
