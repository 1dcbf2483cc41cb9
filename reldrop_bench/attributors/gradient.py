"""Attribution by gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench import Attributor, Count, NonNegative, UserError, logit_gradient
from reldrop_bench.kinds.attributor import loss_relevance, target_logits


class GradientTimesInput(Attributor):
    """The target logit's gradient times the input, summed over channels.

    One forward and one backward pass to the input: the cheapest map that a model gives.
    Shrikumar et al., arXiv 1605.01713.
    """

    name = "gradient-x-input"
    any_network = True

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return (logit_gradient(model, inputs, targets) * inputs).sum(1)


class LossGradientTimesInput(Attributor):
    """The loss's gradient times the input, negated and summed over channels: free in training.

    Training takes it from the backward pass that it makes anyway: a sample has the map of the last
    time that it was drawn, of the input as it was hidden then; the first time it has a random one.
    Elsewhere it is computed at the cost of gradient-x-input.
    """

    name = "loss-gradient-x-input"
    any_network = True
    from_training = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.refresh != 1:
            raise UserError(f"{self.name}: refresh has no meaning; training refreshes every map")

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        inputs = inputs.detach().requires_grad_()
        logits = model(inputs)
        target_logits(logits, targets)  # refuses what is no logits
        loss = F.cross_entropy(logits, targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
        return loss_relevance(inputs, gradient)


class IntegratedGradients(Attributor):
    """The gradient averaged from the zero input (the data's mean) to the input, times the input.

    With enough steps a map adds up to the logit less that of the zero input. Sundararajan et al.,
    arXiv 1703.01365; the integral by the midpoint rule, one step after the other.
    """

    name = "integrated-gradients"
    any_network = True
    steps: Count = 32
    """Points between the two, each of the cost of gradient-x-input."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        total = torch.zeros_like(inputs)
        for step in range(self.steps):
            total += logit_gradient(model, inputs * ((step + 0.5) / self.steps), targets)
        return (total / self.steps * inputs).sum(1)


class SmoothGrad(Attributor):
    """Gradient times input, averaged over noisy copies of the input.

    Smilkov et al., arXiv 1706.03825, with the gradient multiplied by the input as the other methods
    have it, so that it tells for a logit from against it.
    """

    name = "smoothgrad"
    any_network = True
    samples: Count = 16
    """Noisy copies, each of the cost of gradient-x-input."""
    noise: NonNegative = 0.15
    """Standard deviation of the noise, as a fraction of a sample's range."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        values = inputs.flatten(1)
        scale = self.noise * (values.amax(1) - values.amin(1))
        scale = scale.view(-1, *[1] * (inputs.ndim - 1))
        total = torch.zeros_like(inputs)
        for _ in range(self.samples):
            noise = torch.randn(inputs.shape, generator=generator, device=generator.device)
            total += logit_gradient(model, inputs + scale * noise.to(inputs), targets)
        return (total / self.samples * inputs).sum(1)
