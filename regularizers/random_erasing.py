"""Random erasing: one rectangle of random area, aspect and place."""

from torch import Tensor

from reldrop_bench import Batch, Positive, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.shape import draw_rectangles_inside, rectangle_mask


class RandomErasing(Regularizer):
    """One random rectangle inside the image is hidden (Zhong et al., arXiv 1708.04896)."""

    name = "random-erasing"
    modalities = {"image"}
    off = {"probability": 0.0}

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
