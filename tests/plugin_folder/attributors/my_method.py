"""An attribution method of one's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reldrop_bench import Attributor, logit_gradient


class MyMethod(Attributor):
    """The target logit's gradient times the input, where it speaks for the class."""

    name = "my-method"
    any_network = True

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return (logit_gradient(model, inputs, targets) * inputs).sum(1).relu()
