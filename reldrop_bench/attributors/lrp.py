"""Layer-wise relevance propagation.

Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation" (2015); rules as in Montavon et al. (2019). Every method exists twice: computed by our
own rules, at about the cost of a training step, and as `…@zennit` by zennit's (Anders et al., arXiv
2106.13200), the reference for the first.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from reldrop_bench import Attributor, NonNegative, Positive

from ._lrp.propagation import Rules, propagate
from ._lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus


class LRP(Attributor):
    """A method that is a set of rules."""

    @abstractmethod
    def rules(self) -> Rules:
        """Return which rule goes where."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return propagate(self.rules(), model, inputs, targets)

    def by_zennit(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Do as `attribute` does, by zennit's rules."""
        from ._lrp.zennit import propagate_by_zennit

        return propagate_by_zennit(self.rules(), model, inputs, targets)


class EpsilonPlusFlatLRP(LRP):
    """LRP: flat rule for the first layer, z-plus for convolutions, epsilon for dense layers."""

    name = "lrp-epsilon-plus-flat"
    epsilon: Positive = 1e-6
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""

    def rules(self) -> Rules:
        return Rules(ZPlus(), Epsilon(self.epsilon), first=Flat())


class EpsilonFlatLRP(LRP):
    """LRP: flat rule for the first layer, epsilon for all others; what RelDrop's authors computed.

    Their code calls it "epsilon_zplus", and leaves out the canonisation of residual sums, which is
    done here.
    """

    name = "lrp-epsilon-flat"
    epsilon: Positive = 1e-3
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""

    def rules(self) -> Rules:
        epsilon = Epsilon(self.epsilon)
        return Rules(epsilon, epsilon, first=Flat())


class EpsilonGammaBoxLRP(LRP):
    """LRP: box rule for the first layer, gamma for convolutions, epsilon for dense layers."""

    name = "lrp-epsilon-gamma-box"
    epsilon: Positive = 1e-6
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""
    gamma: NonNegative = 0.25
    """How much positive contributions are strengthened."""
    low: float | None = None
    """Lowest possible input, as normalised; by default the lowest of each channel of a sample, of
    what the first layer reads."""
    high: float | None = None
    """Highest possible input, as normalised; by default the highest of each channel of a sample."""

    def rules(self) -> Rules:
        box = ZBox(self.low, self.high)
        return Rules(Gamma(self.gamma), Epsilon(self.epsilon), first=box)


class Alpha2Beta1LRP(LRP):
    """LRP: alpha-beta rule (2, 1) for convolutions, epsilon for dense layers."""

    name = "lrp-alpha2-beta1"
    epsilon: Positive = 1e-6
    """Stabiliser of the epsilon rule, on the scale of a layer's outputs."""

    def rules(self) -> Rules:
        return Rules(AlphaBeta(2.0, 1.0), Epsilon(self.epsilon))


class ZennitEpsilonPlusFlatLRP(EpsilonPlusFlatLRP):
    """lrp-epsilon-plus-flat as zennit computes it."""

    name = EpsilonPlusFlatLRP.name + "@zennit"
    attribute = LRP.by_zennit


class ZennitEpsilonFlatLRP(EpsilonFlatLRP):
    """lrp-epsilon-flat as zennit computes it."""

    name = EpsilonFlatLRP.name + "@zennit"
    attribute = LRP.by_zennit


class ZennitEpsilonGammaBoxLRP(EpsilonGammaBoxLRP):
    """lrp-epsilon-gamma-box as zennit computes it."""

    name = EpsilonGammaBoxLRP.name + "@zennit"
    attribute = LRP.by_zennit


class ZennitAlpha2Beta1LRP(Alpha2Beta1LRP):
    """lrp-alpha2-beta1 as zennit computes it."""

    name = Alpha2Beta1LRP.name + "@zennit"
    attribute = LRP.by_zennit
