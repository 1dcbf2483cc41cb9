"""Random point dropout, as PointNet++ is trained with."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.plugins.base import Probability


@dataclass(frozen=True)
class RandomPointDropout(Regularizer):
    """A random share of a cloud's points becomes its first point (PointNet++, arXiv 1706.02413)."""

    name: ClassVar[str] = "random-point-dropout"
    modalities: ClassVar[Set[str]] = frozenset({"cloud"})
    off: ClassVar[Mapping[str, Any] | None] = {"max_ratio": 0.0}

    max_ratio: Probability = 0.875
    """The share is drawn from U(0, max_ratio) for each cloud."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            ratio = self.max_ratio * torch.rand((len(rows), 1), generator=step.generator)
            shape = (len(rows), *batch.inputs.shape[2:])
            hidden = torch.rand(shape, generator=step.generator) < ratio
            hidden[:, 0] = False  # it is what the others become, so it stays itself
            return hidden

        return hide(batch, step, region, "first")
