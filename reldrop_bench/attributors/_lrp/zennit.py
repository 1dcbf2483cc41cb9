"""The same methods by zennit: the reference for our rules, and the way out where those do not reach.

Imported late: zennit takes seconds.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d
from zennit.canonizers import AttributeCanonizer, Canonizer, SequentialMergeBatchNorm
from zennit.composites import LayerMapComposite, SpecialFirstLayerMapComposite, layer_map_base
from zennit.core import Composite, Hook
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, ZBox, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, BatchNorm, Convolution, ConvolutionTranspose, Linear

from reldrop_bench.kinds.model import LearnedTransform, Routing

from . import rules
from .operations import unknown
from .propagation import Rules, explain_logit

_NORMS = (BatchNorm, FrozenBatchNorm2d)
"""zennit has the second one among the first only from 1.0 on."""
_WEIGHTED = (LearnedTransform, Routing, Activation, BatchNorm, Linear)


class ExactMergeBatchNorm(SequentialMergeBatchNorm):
    """Merges batch norm into the layer before it, and makes of it the identity.

    zennit's own differ by version: up to 0.5 they leave the batch norm's `eps` behind, so that every
    one of them still scales by 1 / sqrt(1 + eps); 1.0 sets `eps` to 0, which torch 2.10 refuses, and
    leaves merged weights in the layer's state. Here a layer holds merged parameters in the place of
    its own, which come back as the same objects, and batch norm hands on its input.
    """

    batch_norm_type = _NORMS

    def register(self, linears: Any, batch_norm: Any) -> None:
        self.batch_norm, self.given = batch_norm, []
        if batch_norm.forward is _identity:
            return  # a layer and its batch norm that the network has in two places
        shift, gain = batch_norm.bias, batch_norm.weight
        shift = torch.zeros_like(batch_norm.running_mean) if shift is None else shift
        gain = torch.ones_like(batch_norm.running_var) if gain is None else gain
        scale = (gain / (batch_norm.running_var + batch_norm.eps) ** 0.5).detach()
        for linear in linears:
            weight, bias = linear.weight, linear.bias
            self.given.append((linear, weight, bias))
            outputs = 1 if isinstance(linear, ConvolutionTranspose) else 0
            places = [1] * weight.ndim
            places[outputs] = -1
            offset = torch.zeros_like(shift) if bias is None else bias
            merged = (
                weight * scale.view(places),
                (offset - batch_norm.running_mean) * scale + shift,
            )
            linear.weight, linear.bias = (nn.Parameter(each.detach(), False) for each in merged)
        batch_norm.forward = _identity

    def remove(self) -> None:
        for linear, weight, bias in self.given:
            linear.weight, linear.bias = weight, bias
        vars(self.batch_norm).pop("forward", None)


def _identity(inputs: Tensor) -> Tensor:
    return inputs


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
    # zennit 1.0 puts other objects in the place of the parameters of every layer that has a rule.
    held = [
        (module, name, parameter)
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False)
    ]
    composite = _composite(wanted, inputs)
    try:
        composite.register(model)
        return explain_logit(model, inputs, targets)
    finally:
        composite.remove()
        for module, name, parameter in held:
            setattr(module, name, parameter)


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
        (_NORMS, Pass()),
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
