"""RelDrop with one rectangle on a relevant place."""

from torch import Tensor

from reldrop_bench import Batch, Count, Positive, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import Per, hide
from reldrop_bench.occlusion.score import ScoreName, moved, score_maps, uses_relevance
from reldrop_bench.occlusion.shape import (
    draw_areas,
    draw_centres,
    draw_sizes,
    rectangle_mask,
    rectangles_at,
)


class RelDropBlock(Regularizer):
    """One rectangle around one of the k most relevant pixels is hidden (arXiv 2505.21595)."""

    name = "reldrop-block"
    modalities = {"image"}
    off = {"probability": 0.0}
    presets = {
        "paper": {},
        "authors-code": {"per": "batch", "fill": "channel-mean"},
        "corrected": {},
    }

    probability: Probability = 0.5
    per: Per = "sample"
    k: Count = 1
    """The centre is drawn from that many of the most relevant pixels."""
    area_min: Probability = 0.02
    area_max: Probability = 0.4
    aspect: Positive = 0.3
    """Height / width is log-uniform between this and its inverse."""
    fill: ImageFill = "mean"
    score: ScoreName = "relevance"

    @property
    def uses_relevance(self) -> bool:
        return self.probability > 0 and uses_relevance(self.score, "places")

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            size = batch.inputs.shape[2:]
            scores = score_maps(self.score, "places", batch, rows, step)
            centres = draw_centres(scores, self.k, step.generator).unsqueeze(1)
            area = (self.area_min, self.area_max)
            areas = draw_areas((len(rows), 1), area, size, step.generator)
            sides = draw_sizes(areas, (self.aspect, 1 / self.aspect), step.generator)
            mask = rectangle_mask(rectangles_at(centres, *sides, size), size)
            return moved(mask, self.score, step.generator)

        return hide(batch, step, region, self.fill, self.probability, self.per)
