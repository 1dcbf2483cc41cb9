"""RelDrop with one rectangle on a relevant place."""

from torch import Tensor

from reldrop_bench import Batch, Count, GuidedOcclusion, ImageFill, Positive, Probability, Step
from reldrop_bench.occlusion.hide import Per
from reldrop_bench.occlusion.score import moved
from reldrop_bench.occlusion.shape import (
    draw_areas,
    draw_centres,
    draw_sizes,
    rectangle_mask,
    rectangles_at,
)


class RelDropBlock(GuidedOcclusion):
    """One rectangle around one of the k most relevant pixels is hidden (arXiv 2505.21595)."""

    name = "reldrop-block"
    modalities = {"image"}
    reading = "places"
    presets = {
        "paper": {},
        "authors-code": {"per": "batch", "fill": "channel-mean"},
        "corrected": {},
    }

    per: Per = "sample"
    k: Count = 1
    """The centre is drawn from that many of the most relevant pixels."""
    area_min: Probability = 0.02
    """The share of the image that is hidden is uniform, from this …"""
    area_max: Probability = 0.4
    """… to this."""
    aspect: Positive = 0.3
    """Height / width is log-uniform between this and its inverse."""
    fill: ImageFill = "mean"

    @property
    def sharing(self) -> int:
        """How many rectangles share the area, whether or not they are all hidden."""
        return 1

    def centres(self, scores: Tensor, step: Step) -> Tensor:
        """Return the flat indices (b, m) of the centres of m rectangles from scores (b, H, W)."""
        return draw_centres(scores, self.k, step.generator).unsqueeze(1)

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        size = batch.inputs.shape[2:]
        centres = self.centres(self.scores(batch, rows, step), step)
        area, aspect = (self.area_min, self.area_max), (self.aspect, 1 / self.aspect)
        areas = draw_areas((len(rows), 1), area, size, step.generator) / self.sharing
        sides = draw_sizes(areas.expand(centres.shape), aspect, step.generator)
        mask = rectangle_mask(rectangles_at(centres, *sides, size), size)
        return moved(mask, self.score, step.generator)
