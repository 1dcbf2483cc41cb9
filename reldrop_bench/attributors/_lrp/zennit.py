"""The same methods by zennit: the reference for our rules, and the way out where those do not reach.

Imported late: zennit takes seconds.
"""

from typing import Any

import torch
from torch import Tensor, nn
from zennit.canonizers import AttributeCanonizer, Canonizer, SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite, SpecialFirstLayerMapComposite, layer_map_base
from zennit.core import Composite, Hook
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, BatchNorm, Convolution, Linear

from reldrop_bench.kinds.model import LearnedTransform, Routing

from . import rules
from .operations import unknown
from .propagation import Rules, explain_logit

_WEIGHTED = (LearnedTransform, Routing, Activation, BatchNorm, Linear)


class ExactMergeBatchNorm(SequentialMergeBatchNorm):
    """Merges batch norm into the layer before it, and makes of it the identity.

    zennit's own leaves the batch norm's `eps` behind, so that every one of them still scales by
    1 / sqrt(1 + eps).
    """

    def register(self, linears: Any, batch_norm: Any) -> None:
        self.given = (batch_norm.eps, batch_norm.weight, batch_norm.bias)
        if batch_norm.weight is None:
            batch_norm.weight = nn.Parameter(torch.ones_like(batch_norm.running_var))
        if batch_norm.bias is None:
            batch_norm.bias = nn.Parameter(torch.zeros_like(batch_norm.running_var))
        super().register(linears, batch_norm)
        batch_norm.eps = 0.0

    def remove(self) -> None:
        super().remove()
        self.batch_norm.eps, self.batch_norm.weight, self.batch_norm.bias = self.given


class ConstantTransform(nn.Module):
    """The application of a given `matrix` (B, C, C) to points (B, C, N): linear, for the rules."""

    matrix: Tensor

    def forward(self, points: Tensor) -> Tensor:
        return torch.bmm(self.matrix, points)


def propagate_by_zennit(wanted: Rules, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Propagate as `propagation.propagate` does, by zennit's hooks.

    Raises
    ------
    UnexplainableError
        The model has a layer that zennit has no rule for, which it would pass by with a gradient.
    """
    for name, module in model.named_modules():
        weights = any(True for _ in module.parameters(recurse=False))
        attention = isinstance(module, nn.MultiheadAttention)  # counts as an activation in zennit
        if attention or (weights and not isinstance(module, _WEIGHTED)):
            raise unknown(f"{name or 'the model'} ({type(module).__name__})")
    composite = _composite(wanted, inputs)
    try:
        composite.register(model)
        return explain_logit(model, inputs, targets)
    finally:
        composite.remove()


def canonizers() -> list[Canonizer]:
    """Return what turns networks into a form that the rules hold for, while they are explained.

    Batch norm is merged into the layer before it, residual sums of torchvision's blocks become
    modules, and the matrices of transform nets become constants.
    """
    return [
        ExactMergeBatchNorm(),
        ResNetBottleneckCanonizer(),
        ResNetBasicBlockCanonizer(),
        AttributeCanonizer(_constant_transform),
    ]


def _composite(wanted: Rules, inputs: Tensor) -> Composite:
    layers = [
        *layer_map_base(rules.STABILIZER),
        (ConstantTransform, _hook(wanted.dense, inputs)),
        (Convolution, _hook(wanted.convolution, inputs)),
        (nn.Linear, _hook(wanted.dense, inputs)),
    ]
    if wanted.first is None:
        return LayerMapComposite(layers, canonizers=canonizers())
    first = [(Linear, _hook(wanted.first, inputs))]
    return SpecialFirstLayerMapComposite(layers, first, canonizers=canonizers())


def _hook(rule: rules.Rule, inputs: Tensor) -> Hook:
    """Return zennit's counterpart of a rule."""
    match rule:
        case rules.Epsilon(epsilon):
            return Epsilon(epsilon)
        case rules.ZPlus(stabilizer):
            return ZPlus(stabilizer)
        case rules.Gamma(gamma, stabilizer):
            return Gamma(gamma, stabilizer)
        case rules.AlphaBeta(alpha, beta, stabilizer):
            return AlphaBeta(alpha, beta, stabilizer)
        case rules.Flat(stabilizer):
            return Flat(stabilizer)
        case rules.ZBox():
            low, high = rule.bounds(inputs)
            return ZBox(low, high, rule.stabilizer)
    raise TypeError(f"zennit has no counterpart of {rule}")


def _constant_transform(name: str, module: nn.Module) -> dict[str, Any] | None:
    if not isinstance(module, LearnedTransform):
        return None
    transform = ConstantTransform()

    def forward(points: Tensor) -> Tensor:
        # Detached points keep the rules' hooks off the net that predicts the matrix.
        with torch.no_grad():
            transform.matrix = module.matrix(points.detach())
        return transform(points)

    # As a submodule, so that the composite finds it and gives it a rule.
    return {"forward": forward, "canonizer_transform": transform}
