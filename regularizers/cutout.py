"""Cutout: one square hole at a random place."""

from torch import Tensor

from reldrop_bench import Batch, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.shape import draw_squares, rectangle_mask


class Cutout(Regularizer):
    """One square hole around a random pixel, clipped (DeVries & Taylor, arXiv 1708.04552)."""

    name = "cutout"
    modalities = {"image"}
    off = {"size": 0.0}

    size: Probability = 0.5
    """Side, as a fraction of the image's shorter one: 16 of 32 pixels on CIFAR-10."""
    fill: ImageFill = "mean"

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            size = batch.inputs.shape[2:]
            side = round(self.size * min(size))
            return rectangle_mask(draw_squares(len(rows), side, size, step.generator), size)

        return hide(batch, step, region, self.fill)
