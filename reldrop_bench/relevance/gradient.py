"""Attribution by the plain gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.relevance.contract import Attributor
from reldrop_bench.relevance.explain import logit_gradient


@dataclass(frozen=True)
class GradientTimesInput(Attributor):
    """The target logit's gradient times the input, summed over channels.

    One forward and one backward pass to the input: the cheapest map that a model gives.
    Shrikumar et al., arXiv 1605.01713.
    """

    name: ClassVar[str] = "gradient-x-input"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return (logit_gradient(model, inputs, targets) * inputs).sum(1)
