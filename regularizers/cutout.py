"""Cutout: one square hole at a random place."""

from torch import Tensor

from reldrop_bench import Batch, ImageFill, OccludingRegularizer, Probability, Step, shape


class Cutout(OccludingRegularizer):
    """One square hole around a random pixel, clipped (DeVries & Taylor, arXiv 1708.04552)."""

    name = "cutout"
    modalities = {"image"}
    off = {"size": 0.0}

    size: Probability = 0.5
    """Side, as a fraction of the image's shorter one: 16 of 32 pixels on CIFAR-10."""
    fill: ImageFill = "mean"

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        size = batch.inputs.shape[2:]
        side = round(self.size * min(size))
        squares = shape.draw_squares(len(rows), side, size, step.generator)
        return shape.rectangle_mask(squares, size)
