"""The reference for our rules: stock zennit, on a network put into the form that it expects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from zennit import rules as stock
from zennit.attribution import Gradient
from zennit.core import Composite, Hook
from zennit.layer import Sum
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, AvgPool, BatchNorm, Linear

from reldrop_bench.attributors._lrp import rules
from reldrop_bench.attributors._lrp.propagation import Rules
from reldrop_bench.models.pointnet import TransformNet as LearnedTransform


@pytest.fixture(scope="session")
def stock_zennit() -> Callable[..., Tensor]:
    """Return `explain(rules, network, inputs, targets, first=(), sums=())`.

    `first` names the layers that the rule for first layers goes to (by default the first one that
    is registered), `sums` modules that add two activations.
    """
    return _explain


@pytest.fixture(scope="session")
def deviation() -> Callable[..., float]:
    """Return `measure(map, reference, logits)`: norm of the difference over the reference's norm.

    Where the reference is zero but for rounding, over the norm of the logits that were explained.
    """

    def measure(relevance: Tensor, reference: Tensor, logits: Tensor) -> float:
        assert relevance.shape == reference.shape
        reference = reference.double()
        difference, scale = (relevance.double() - reference).norm(), reference.norm()
        start = logits.double().norm()
        if scale < 1e-8 * start:
            scale = start
        return float(difference / scale) if difference > 0 else 0.0

    return measure


class _StackedSum(nn.Module):
    """A sum in the form that zennit has a rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.sum(torch.stack([first, second], dim=-1))


class _Product(nn.Module):
    """Applies a matrix that counts as a constant."""

    matrix: Tensor

    def forward(self, points: Tensor) -> Tensor:
        return self.matrix @ points


class _ConstantTransform(nn.Module):
    """A transform net with its own layers hidden from zennit, in a tuple."""

    def __init__(self, transform: LearnedTransform) -> None:
        super().__init__()
        self.hidden = (transform,)
        self.product = _Product()

    def forward(self, points: Tensor) -> Tensor:
        with torch.no_grad():
            self.product.matrix = self.hidden[0].matrix(points)
        return self.product(points)


def _canonical(network: nn.Module, sums: Collection[str]) -> nn.Module:
    """Return a copy without batch norm behind layers, and with sums and transforms as modules.

    Batch norm is fused by torch instead of zennit's canonizer, which leaves a factor of
    1 / sqrt(1 + eps) behind at every one.
    """
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for name, module in list(network.named_modules()):
        if isinstance(module, LearnedTransform):
            network.set_submodule(name, _ConstantTransform(module))
        elif name in sums:
            network.set_submodule(name, _StackedSum())
    leaves = [each for each in network.named_modules() if not list(each[1].children())]
    for (name, layer), (norm_name, norm) in pairwise(leaves):
        if isinstance(norm, BatchNorm) and isinstance(layer, Linear):
            if not norm.affine:  # torch fuses no dense layer with it
                norm.weight = nn.Parameter(torch.ones_like(norm.running_mean))
                norm.bias = nn.Parameter(torch.zeros_like(norm.running_mean))
            fuse = fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
            network.set_submodule(name, fuse(layer, norm))
            network.set_submodule(norm_name, nn.Identity())
    return network


def _explain(
    wanted: Rules,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    first: Collection[str] = (),
    sums: Collection[str] = (),
) -> Tensor:
    network = _canonical(network, sums)
    weighted = [name for name, each in network.named_modules() if isinstance(each, Linear)]
    first = first or weighted[:1]

    def hook_of(context: object, name: str, module: nn.Module) -> Hook | None:
        if name in first and wanted.first is not None:
            return _hook(wanted.first, _inputs_of(module, network, inputs))
        if isinstance(module, nn.Linear | _Product):
            return _hook(wanted.dense, inputs)
        if isinstance(module, Linear):
            return _hook(wanted.convolution, inputs)
        if isinstance(module, AvgPool | Sum):
            return stock.Norm()
        return stock.Pass() if isinstance(module, Activation | BatchNorm) else None

    def start(logits: Tensor) -> Tensor:
        return logits.detach() * nn.functional.one_hot(targets, logits.shape[1])

    blocks = [ResNetBasicBlockCanonizer(), ResNetBottleneckCanonizer()]
    with Gradient(network, Composite(hook_of, canonizers=blocks)) as attributor:
        _, relevance = attributor(inputs.clone(), start)
    return relevance.sum(1)


def _hook(rule: rules.Rule, inputs: Tensor) -> Hook:
    match rule:
        case rules.Epsilon(epsilon):
            return stock.Epsilon(epsilon)
        case rules.ZPlus(stabilizer):
            return stock.ZPlus(stabilizer)
        case rules.Gamma(gamma, stabilizer):
            return stock.Gamma(gamma, stabilizer)
        case rules.AlphaBeta(alpha, beta, stabilizer):
            return stock.AlphaBeta(alpha, beta, stabilizer)
        case rules.Flat(stabilizer):
            return stock.Flat(stabilizer)
        case rules.ZBox(low, high, stabilizer):
            # Per sample and channel, over the places; a layer without places has but one channel.
            values = inputs.flatten(2) if inputs.ndim > 2 else inputs[:, None]
            shape = (*values.shape[:2], *[1] * (inputs.ndim - 2))
            lowest, highest = values.amin(2).view(shape), values.amax(2).view(shape)
            return stock.ZBox(
                lowest if low is None else low, highest if high is None else high, stabilizer
            )
    raise AssertionError(f"{rule} has no counterpart")


def _inputs_of(layer: nn.Module, network: nn.Module, inputs: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        network(inputs)
    handle.remove()
    return seen[0]
