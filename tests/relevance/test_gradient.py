"""Gradient times input: the chain rule by hand, without parameter gradients."""

from __future__ import annotations

import torch
from torch import nn

from reldrop_bench.relevance.explain import explain_with, input_gradient
from reldrop_bench.relevance.gradient import GradientTimesInput

GENERATOR = torch.Generator()


def test_known_answer_of_a_linear_model() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 4))
    images, targets = torch.randn(5, 2, 3, 3), torch.tensor([0, 3, 1, 1, 2])
    weights = model[1].weight[targets].view(5, 2, 3, 3).detach()
    relevance = explain_with(GradientTimesInput(), model, images, targets, GENERATOR)
    torch.testing.assert_close(relevance, (weights * images).sum(1))
    torch.testing.assert_close(input_gradient(model, images, targets), weights.abs().sum(1))


def test_equals_autograd_by_hand() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.Tanh(), nn.Flatten(), nn.Linear(80, 4)
    )
    clouds, targets = torch.randn(3, 3, 10), torch.tensor([3, 0, 1])
    relevance = explain_with(GradientTimesInput(), model, clouds, targets, GENERATOR)
    saliency = input_gradient(model, clouds, targets)
    model.eval()
    for index, target in enumerate(targets):
        cloud = clouds[index : index + 1].clone().requires_grad_()
        model(cloud)[0, target].backward()
        assert cloud.grad is not None
        torch.testing.assert_close(relevance[index], (cloud.grad * cloud)[0].sum(0).detach())
        torch.testing.assert_close(saliency[index], cloud.grad[0].abs().sum(0))
