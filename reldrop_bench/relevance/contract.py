"""The contract of an attribution method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.plugin import Count, Plugin


@dataclass(frozen=True)
class Attributor(Plugin, ABC):
    """A way to explain a logit: a frozen dataclass of its hyper-parameters."""

    from_training: ClassVar[bool] = False
    """Whether training takes maps from its own backward passes instead of asking for any."""
    refresh: Count = field(default=1, kw_only=True)
    """Epochs for which training uses a sample's map again before it is made anew."""

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
