"""Random erasing: one rectangle of random area, aspect and place."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.shape import draw_rectangles_inside, rectangle_mask
from reldrop_bench.plugins.base import Positive, Probability


@dataclass(frozen=True)
class RandomErasing(Regularizer):
    """One random rectangle inside the image is hidden (Zhong et al., arXiv 1708.04896)."""

    name: ClassVar[str] = "random-erasing"
    modalities: ClassVar[Set[str]] = frozenset({"image"})
    off: ClassVar[Mapping[str, Any] | None] = {"probability": 0.0}

    probability: Probability = 0.5
    area_min: Probability = 0.02
    area_max: Probability = 0.33
    aspect_min: Positive = 0.3
    aspect_max: Positive = 3.3
    fill: ImageFill = "mean"

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            size = batch.inputs.shape[2:]
            area, aspect = (self.area_min, self.area_max), (self.aspect_min, self.aspect_max)
            drawn = draw_rectangles_inside(len(rows), area, aspect, size, step.generator)
            return rectangle_mask(drawn, size)

        return hide(batch, step, region, self.fill, self.probability)
