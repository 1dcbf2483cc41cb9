"""Layer-wise relevance propagation, with zennit's rules.

Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation" (2015); rules as in Montavon et al. (2019). zennit takes seconds to import, so that it
is imported where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.models.pointnet import LearnedTransform
from reldrop_bench.plugin import Positive
from reldrop_bench.relevance.contract import Attributor

if TYPE_CHECKING:
    from zennit.canonizers import Canonizer
    from zennit.core import Composite


@dataclass(frozen=True)
class EpsilonPlusFlatLRP(Attributor):
    """LRP: flat rule for the first layer, z-plus for convolutions, epsilon for linear layers."""

    name: ClassVar[str] = "lrp-epsilon-plus-flat"
    epsilon: Positive = 1e-6
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        from zennit.composites import EpsilonPlusFlat
        from zennit.rules import Epsilon
        from zennit.types import Convolution

        from reldrop_bench.relevance._zennit_rules import NonNegativeZPlus

        composite = EpsilonPlusFlat(
            epsilon=self.epsilon,
            layer_map=[
                (ConstantTransform, Epsilon(self.epsilon)),
                (Convolution, NonNegativeZPlus()),
            ],
            canonizers=canonizers(),
        )
        return propagate(composite, model, inputs, targets)


@dataclass(frozen=True)
class EpsilonFlatLRP(Attributor):
    """LRP: flat rule for the first layer, epsilon for all others; what RelDrop's authors computed.

    Their code calls it "epsilon_zplus", and leaves out the canonisation of residual sums, which is
    done here.
    """

    name: ClassVar[str] = "lrp-epsilon-flat"
    epsilon: Positive = 1e-3
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        from zennit.composites import (
            SpecialFirstLayerMapComposite,
            layer_map_base,
        )
        from zennit.rules import Epsilon, Flat
        from zennit.types import Linear

        epsilon = Epsilon(self.epsilon)
        composite = SpecialFirstLayerMapComposite(
            layer_map=[*layer_map_base(), (Linear, epsilon), (ConstantTransform, epsilon)],
            first_map=[(Linear, Flat())],
            canonizers=canonizers(),
        )
        return propagate(composite, model, inputs, targets)


def propagate(composite: Composite, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Propagate the target logits of `inputs` (B, C, …) back to (B, …), summed over channels.

    Starts from the one-hot target times its logit: from the bare one-hot, rules would give R/logit,
    of the opposite sign wherever the logit is negative.
    """
    inputs = inputs.detach().requires_grad_()
    try:
        composite.register(model)
        logits = model(inputs)
        start = torch.zeros_like(logits)
        start.scatter_(1, targets[:, None], logits.detach().gather(1, targets[:, None]))
        (relevance,) = torch.autograd.grad(logits, inputs, start)
    finally:
        composite.remove()
    return relevance.sum(1)


def canonizers() -> list[Canonizer]:
    """Return what turns networks into a form that the rules hold for, while they are explained.

    Batch norm is merged into the layer before it, residual sums of torchvision's blocks become
    modules, and the matrices of transform nets become constants.
    """
    from zennit.canonizers import AttributeCanonizer
    from zennit.torchvision import ResNetCanonizer

    return [ResNetCanonizer(), AttributeCanonizer(_constant_transform)]


class ConstantTransform(nn.Module):
    """The application of a given `matrix` (B, C, C) to points (B, C, N): linear, for the rules."""

    matrix: Tensor

    def forward(self, points: Tensor) -> Tensor:
        return torch.bmm(self.matrix, points)


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
