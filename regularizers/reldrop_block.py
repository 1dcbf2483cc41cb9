"""RelDrop with one rectangle on a relevant place."""

from collections.abc import Iterator

from torch import Tensor

from reldrop_bench import (
    Batch,
    Count,
    GuidedOcclusion,
    ImageFill,
    Positive,
    Probability,
    Step,
    shape,
)
from reldrop_bench.occlusion.hide import Per
from reldrop_bench.occlusion.score import Reading
from reldrop_bench.occlusion.shape import Border, Rectangles


class RelDropBlock(GuidedOcclusion):
    """One rectangle around one of the k most relevant pixels is hidden (arXiv 2505.21595)."""

    name = "reldrop-block"
    modalities = {"image"}
    presets = {
        "paper": {"border": "clip"},
        "authors-code": {"per": "batch", "fill": "channel-mean", "border": "clip"},
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
    border: Border = "inside"
    """Whether a rectangle that reaches over the border moves inside, or is clipped and so hides less."""
    fill: ImageFill = "mean"

    @property
    def reading(self) -> Reading:  # type: ignore[override]
        return "ranks" if self.border == "inside" and self.patches == 1 else "places"

    @property
    def patches(self) -> int:
        """How many rectangles are hidden."""
        return 1

    @property
    def sharing(self) -> int:
        """How many rectangles share the area, whether or not they are all hidden."""
        return 1

    def centres(self, scores: Tensor, step: Step) -> Tensor:
        """Return the flat indices (b, m) of the centres of m rectangles from scores (b, H, W)."""
        return shape.draw_centres(scores, self.k, step.stream("place")).unsqueeze(1)

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        size, shapes = batch.inputs.shape[2:], step.stream("shape")
        area, aspect = (self.area_min, self.area_max), (self.aspect, 1 / self.aspect)
        areas = shape.draw_areas((len(rows), 1), area, size, shapes) / self.sharing
        sides = shape.draw_sizes(areas.expand(-1, self.patches), aspect, shapes)
        scores = self.scores(batch, rows, step)
        relevance = -scores if self.score == "inverted" else scores
        guided = shape.rectangles_at(self.centres(relevance, step), *sides, size, self.border)
        mask = shape.rectangle_mask(guided, size)
        if self.score not in ("random", "inverted"):
            return mask
        elsewhere = self._elsewhere(guided, scores, step)
        return shape.exactly(mask.flatten(1).sum(1), elsewhere, size)

    def _elsewhere(self, guided: Rectangles, scores: Tensor, step: Step) -> Iterator[Rectangles]:
        """Place rectangles of the same sizes at random, or where scores are highest, again and again."""
        size, sides = scores.shape[1:], (guided.height, guided.width)
        if self.score == "random":
            for _ in range(scores[0].numel()):
                yield shape.placed_anew(*sides, size, step.stream("place"))
            return
        if self.patches == 1:  # drawn, as the guided one is
            yield shape.rectangles_at(self.centres(scores, step), *sides, size, "inside")
        order = shape.descending_order(scores, step.stream("place"))
        for centres in order.split(self.patches, dim=1):
            if centres.shape[1] == self.patches:
                yield shape.rectangles_at(centres, *sides, size, "inside")
