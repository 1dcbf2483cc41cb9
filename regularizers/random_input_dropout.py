"""Input dropout: single pixels or points hidden at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.occlusion.fill import CloudFill, ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.plugins.base import Probability


@dataclass(frozen=True)
class RandomInputDropout(Regularizer):
    """Hide each pixel or point with the same probability (input dropout, JMLR 15:1929, 2014).

    Whole pixels and points, not single channels, and no rescaling of the rest.
    """

    name: ClassVar[str] = "random-input-dropout"
    off: ClassVar[Mapping[str, Any] | None] = {"probability": 0.0}

    probability: Probability = 0.2
    image_fill: ImageFill = "mean"
    cloud_fill: CloudFill = "duplicate"

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            shape = (len(rows), *batch.inputs.shape[2:])
            return torch.rand(shape, generator=step.generator) < self.probability

        fill = self.image_fill if step.facts.modality == "image" else self.cloud_fill
        return hide(batch, step, region, fill)
