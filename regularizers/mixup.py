"""Mixup: convex combinations of pairs of samples and of their targets."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.plugins.base import Positive, Probability


@dataclass(frozen=True)
class Mixup(Regularizer):
    """Mix each sample and its target with another one of the batch (Zhang, arXiv 1710.09412)."""

    name: ClassVar[str] = "mixup"
    modalities: ClassVar[Set[str]] = frozenset({"image"})
    off: ClassVar[Mapping[str, Any] | None] = {"probability": 0.0}

    probability: Probability = 1.0
    """The chance of a batch to be mixed."""
    alpha: Positive = 1.0
    """The share of a batch's first samples is drawn from Beta(alpha, alpha)."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        if torch.rand(1, generator=step.generator).item() >= self.probability:
            return batch
        # torch draws a Beta from the global generator only.
        seed = int(torch.randint(2**62, (1,), generator=step.generator))
        share = float(np.random.default_rng(seed).beta(self.alpha, self.alpha))
        partner = torch.randperm(len(batch), generator=step.generator).to(batch.inputs.device)
        targets = batch.targets
        if targets.ndim == 1:
            targets = torch.nn.functional.one_hot(targets, len(step.facts.classes)).float()
        return batch.replace(
            inputs=share * batch.inputs + (1 - share) * batch.inputs[partner],
            targets=share * targets + (1 - share) * targets[partner],
        )
