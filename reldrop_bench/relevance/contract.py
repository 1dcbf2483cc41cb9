"""The contract of an attribution method."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reldrop_bench.plugin import Plugin


class Attributor(Plugin, ABC):
    """A way to explain a logit: a frozen dataclass of its hyper-parameters."""

    @abstractmethod
    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the signed relevance of every pixel or point for the logit of its target.

        Parameters
        ----------
        model
            Maps inputs to logits (B, K). In evaluation mode, parameters without gradient: `explain`
            sees to both, and restores them.
        inputs
            (B, C, H, W) or (B, C, N), B >= 1; require no gradient.
        targets
            (B,) int64.
        generator
            The only source of randomness.

        Returns
        -------
        Tensor
            (B, H, W) or (B, N), float, detached; summed over channels.
        """
