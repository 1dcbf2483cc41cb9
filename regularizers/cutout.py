"""Cutout: one square hole at a random place."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.shape import draw_squares, rectangle_mask
from reldrop_bench.plugins.base import Probability


@dataclass(frozen=True)
class Cutout(Regularizer):
    """One square hole around a random pixel, clipped (DeVries & Taylor, arXiv 1708.04552)."""

    name: ClassVar[str] = "cutout"
    modalities: ClassVar[Set[str]] = frozenset({"image"})
    off: ClassVar[Mapping[str, Any] | None] = {"size": 0.0}

    size: Probability = 0.5
    """Side, as a fraction of the image's shorter one: 16 of 32 pixels on CIFAR-10."""
    fill: ImageFill = "mean"

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            size = batch.inputs.shape[2:]
            side = round(self.size * min(size))
            return rectangle_mask(draw_squares(len(rows), side, size, step.generator), size)

        return hide(batch, step, region, self.fill)
