"""Attribution that knows nothing: the control for every guided method."""

import torch
from torch import Tensor, nn

from reldrop_bench import Attributor


class RandomRelevance(Attributor):
    """Uniform random values in [0, 1), the same on every device."""

    name = "random"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        shape = (len(inputs), *inputs.shape[2:])
        return torch.rand(shape, generator=generator, device=generator.device).to(inputs.device)
