"""Random erasing: one rectangle of random area, aspect and place."""

from torch import Tensor

from reldrop_bench import Batch, ImageFill, OccludingRegularizer, Positive, Probability, Step, shape


class RandomErasing(OccludingRegularizer):
    """One random rectangle inside the image is hidden (Zhong et al., arXiv 1708.04896)."""

    name = "random-erasing"
    modalities = {"image"}
    off = {"probability": 0.0}

    probability: Probability = 0.5
    area_min: Probability = 0.02
    """The share of the image that is hidden is uniform, from this …"""
    area_max: Probability = 0.33
    """… to this."""
    aspect_min: Positive = 0.3
    """Height / width is log-uniform, from this …"""
    aspect_max: Positive = 3.3
    """… to this."""
    fill: ImageFill = "mean"

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        size = batch.inputs.shape[2:]
        area, aspect = (self.area_min, self.area_max), (self.aspect_min, self.aspect_max)
        drawn = shape.draw_rectangles_inside(len(rows), area, aspect, size, step.generator)
        return shape.rectangle_mask(drawn, size)
