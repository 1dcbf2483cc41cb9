"""Rules of layer-wise relevance propagation, each at the cost of the passes that it needs.

A rule says how the relevance of a layer's outputs is shared among its inputs. Definitions are
zennit's (Anders et al., arXiv 2106.13200), whose stabiliser these rules use and against which they
are tested; what differs is the cost. zennit computes every part of a rule from the start; here the
forward pass that was made anyway is used again, parts that are zero by construction are left out,
and a bias carries the stabiliser.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

STABILIZER = 1e-6
"""Added to denominators, away from zero; zennit's default."""

Parameters = tuple[Tensor, Tensor | None]
"""Weight and bias."""


@dataclass(frozen=True)
class LinearLayer:
    """A layer as the rules see it: batch norm merged, and what is known of its surroundings."""

    call: Callable[[Tensor], Tensor]
    """The layer as it is, for rules that go back the way its output came."""
    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    """(input, weight, bias) → output, linear in the input; None where there are no weights."""
    merged: Callable[[], Parameters] | None = None
    """Makes the weights, merged with the batch norm behind the layer. As large as the layer's own,
    they are made when they are needed and kept no longer."""
    non_negative: bool = False
    """Whether inputs are known to be non-negative, as behind a ReLU."""
    rectified: bool = False
    """Whether a ReLU follows, so that its output is kept in place of the layer's own.

    Wherever that is zero no relevance arrives: what a later layer hands down is in proportion to
    its input. Elsewhere it is the layer's output."""
    transposed: bool = False
    """Whether its weight has the inputs' channels first."""

    def weights(self) -> Parameters:
        """Return the weights, merged with the batch norm behind the layer."""
        assert self.merged is not None, "the layer has no weights"
        return self.merged()

    def run(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return what the layer would with other weights."""
        assert self.apply is not None, "the layer has no weights"
        return self.apply(inputs, weight, bias)


class Rule(ABC):
    """How relevance goes through a linear layer."""

    def needs_output(self, layer: LinearLayer) -> bool:
        """Whether `share` reads the layer's output; otherwise that is not kept for it."""
        return False

    @abstractmethod
    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        """Return the relevance of the inputs.

        Parameters
        ----------
        layer
            The layer.
        inputs
            What it was given; a leaf that requires gradient.
        output
            What it returned for exactly these `inputs`, its graph attached; may be overwritten by a
            ReLU, see `LinearLayer.rectified`. None where the rule does not need it.
        relevance
            Of the output, of its shape; not to be changed.
        """


def stabilize(output: Tensor, epsilon: float) -> Tensor:
    """Return the output moved away from zero by `epsilon`; zero moves up."""
    away = torch.tensor(epsilon, dtype=output.dtype, device=output.device)
    return torch.where(output < 0, -away, away).add_(output)


def _leaf(inputs: Tensor) -> Tensor:
    return inputs.detach().requires_grad_()


def _times_gradient(inputs: Tensor, gradient: Tensor) -> Tensor:
    """Return their product, in place of the gradient where that is a tensor of its own."""
    inputs = inputs.detach()
    return gradient.mul_(inputs) if gradient.is_contiguous() else gradient * inputs


@dataclass(frozen=True)
class Epsilon(Rule):
    """In proportion to contributions, over the stabilised output. Sums and averages have it too.

    With a tiny `epsilon` it is gradient times input.
    """

    epsilon: float = STABILIZER

    def needs_output(self, layer: LinearLayer) -> bool:
        return True

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        assert output is not None
        given = output.detach()
        below = given + self.epsilon if layer.rectified else stabilize(given, self.epsilon)
        (gradient,) = torch.autograd.grad(output, inputs, torch.div(relevance, below, out=below))
        return _times_gradient(inputs, gradient)


def _one_sign(
    layer: LinearLayer, inputs: Tensor, relevance: Tensor, positive: bool, stabilizer: float
) -> Tensor:
    """Share relevance in proportion to the contributions of one sign.

    Those are of positive inputs with weights of that sign, and of negative inputs with weights of
    the other; the bias counts where it has the sign. Without negative inputs half of it is left out.
    """
    weight, bias = layer.weights()
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    if not positive:
        up, down = down, up
    if bias is not None:
        bias = bias.clamp(min=0) if positive else bias.clamp(max=0)
    inputs = inputs.detach()
    # With no negative inputs, `clamp` would only make a copy.
    parts = [_leaf(inputs if layer.non_negative else inputs.clamp(min=0))]
    with torch.enable_grad():
        outputs = [layer.run(parts[0], up, bias)]
        if not layer.non_negative:
            parts.append(_leaf(inputs.clamp(max=0)))
            outputs.append(layer.run(parts[1], down, None))
    total = sum_in_place([output.detach() for output in outputs])
    # Fast convolutions can miss a sum of no contributions by more than the stabiliser.
    below = total.clamp_(min=0).add_(stabilizer) if positive else stabilize(total, stabilizer)
    share = torch.div(relevance, below, out=below)
    gradients = torch.autograd.grad(outputs, parts, [share] * len(parts))
    pairs = zip(parts, gradients, strict=True)
    return sum_in_place([_times_gradient(part, gradient) for part, gradient in pairs])


def sum_in_place(terms: list[Tensor]) -> Tensor:
    """Add all terms to the first."""
    for term in terms[1:]:
        terms[0].add_(term)
    return terms[0]


@dataclass(frozen=True)
class ZPlus(Rule):
    """In proportion to the positive contributions alone."""

    stabilizer: float = STABILIZER

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        return _one_sign(layer, inputs, relevance, True, self.stabilizer)


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """α shares in proportion to positive contributions less β in proportion to negative ones."""

    alpha: float = 2.0
    beta: float = 1.0
    stabilizer: float = STABILIZER

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        positive = _one_sign(layer, inputs, relevance, True, self.stabilizer).mul_(self.alpha)
        if self.beta == 0:
            return positive
        negative = _one_sign(layer, inputs, relevance, False, self.stabilizer)
        return positive.sub_(negative, alpha=self.beta)


@dataclass(frozen=True)
class Gamma(Rule):
    """As epsilon, with contributions of the output's sign strengthened by γ.

    With z the output, n the sum of its positive contributions and p = z - n that of the negative
    ones, the denominators are z + γn where z > 0 and z + γp where z < 0, so that one more pass gives
    both. n comes from the magnitudes: n = (z + Σ|x||w| + |b|) / 2.
    """

    gamma: float = 0.25
    stabilizer: float = STABILIZER

    def needs_output(self, layer: LinearLayer) -> bool:
        return not (layer.rectified and layer.non_negative)

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        if output is None:
            return self._positive(layer, inputs, relevance)
        weight, bias = layer.weights()
        half, given = self.gamma / 2, output.detach()
        leaf = inputs if layer.non_negative else _leaf(inputs.detach().abs())
        with torch.enable_grad():
            absolute = layer.run(leaf, weight.abs(), None if bias is None else bias.abs())
        # In place as far as it goes: this is where an explanation takes the most memory.
        sign = given.sign()
        below = absolute.detach().mul_(half).add_(self.stabilizer).mul_(sign)
        below.add_(given, alpha=1 + half)
        share = torch.div(relevance, below, out=below).masked_fill_(given == 0, 0)
        signed = sign.mul_(share).mul_(half)
        share.mul_(1 + half)
        if layer.non_negative:
            (gradient,) = torch.autograd.grad([output, absolute], inputs, [share, signed])
            return _times_gradient(inputs, gradient)
        (first,) = torch.autograd.grad(output, inputs, share)
        (second,) = torch.autograd.grad(absolute, leaf, signed)
        return sum_in_place([_times_gradient(inputs, first), _times_gradient(leaf, second)])

    def _positive(self, layer: LinearLayer, inputs: Tensor, relevance: Tensor) -> Tensor:
        """Share where only positive outputs have relevance and no input is negative."""
        weight, bias = layer.weights()
        weight = weight + self.gamma * weight.clamp(min=0)
        if bias is not None:
            bias = bias + self.gamma * bias.clamp(min=0)
        leaf = _leaf(inputs)
        with torch.enable_grad():
            total = layer.run(leaf, weight, bias)
        below = total.detach().clamp_(min=0).add_(self.stabilizer)
        (gradient,) = torch.autograd.grad(total, leaf, torch.div(relevance, below, out=below))
        return _times_gradient(leaf, gradient)


@dataclass(frozen=True)
class ZBox(Rule):
    """For a first layer: contributions against those of the lowest and highest possible inputs.

    `low` and `high` bound the inputs; where they are None, the smallest and the largest value that
    a channel has in that sample do.
    """

    low: float | None = None
    high: float | None = None
    stabilizer: float = STABILIZER

    def bounds(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return both bounds, of a shape that broadcasts against the inputs'."""
        axes = tuple(range(2, inputs.ndim)) or (1,)
        low = inputs.amin(axes, keepdim=True) if self.low is None else self.low
        high = inputs.amax(axes, keepdim=True) if self.high is None else self.high
        return torch.as_tensor(low).to(inputs), torch.as_tensor(high).to(inputs)

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        weight, _ = layer.weights()
        if layer.transposed:
            return self._one_by_one(layer, weight, inputs, relevance)
        # All three parts in one pass, side by side as channels (of each group) or features.
        convolution = weight.ndim == inputs.ndim
        channel = 1 if convolution else -1
        groups = inputs.shape[channel] // weight.shape[1]
        low, high = (bound.expand_as(inputs) for bound in self.bounds(inputs.detach()))
        parts = [values.unflatten(channel, (groups, -1)) for values in (inputs.detach(), low, high)]
        within = 2 if convolution else -1
        leaf = _leaf(torch.cat(parts, within).flatten(within - 1, within))
        signed = [weight, -weight.clamp(min=0), -weight.clamp(max=0)]
        with torch.enable_grad():
            # Without bias: that of the first part is the sum of those of the other two.
            total = layer.run(leaf, torch.cat(signed, 1), None)
        below = stabilize(total.detach(), self.stabilizer)
        (gradient,) = torch.autograd.grad(total, leaf, torch.div(relevance, below, out=below))
        shares = _times_gradient(leaf, gradient).unflatten(channel, (groups, 3, -1))
        return shares.sum(2 if convolution else -2).flatten(within - 1, within)

    def _one_by_one(
        self, layer: LinearLayer, weight: Tensor, inputs: Tensor, relevance: Tensor
    ) -> Tensor:
        low, high = (bound.expand_as(inputs) for bound in self.bounds(inputs.detach()))
        leaves = [_leaf(inputs), _leaf(low), _leaf(high)]
        signed = [weight, -weight.clamp(min=0), -weight.clamp(max=0)]
        with torch.enable_grad():
            parts = zip(leaves, signed, strict=True)
            outputs = [layer.run(leaf, part, None) for leaf, part in parts]
        below = stabilize(
            sum_in_place([each.detach().clone() for each in outputs]), self.stabilizer
        )
        gradients = torch.autograd.grad(outputs, leaves, [relevance / below] * 3)
        shares = zip(leaves, gradients, strict=True)
        return sum_in_place([_times_gradient(leaf, gradient) for leaf, gradient in shares])


@dataclass(frozen=True)
class Flat(Rule):
    """For a first layer: alike among all inputs that an output reads, whatever their values."""

    stabilizer: float = STABILIZER

    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        ones = torch.ones_like(layer.weights()[0])
        leaf = _leaf(torch.ones_like(inputs))
        with torch.enable_grad():
            total = layer.run(leaf, ones, None)
        # The same for all samples.
        share = relevance / stabilize(total[:1].detach(), self.stabilizer)
        (gradient,) = torch.autograd.grad(total, leaf, share)
        return gradient
