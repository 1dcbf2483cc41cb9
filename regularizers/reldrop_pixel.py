"""RelDrop on single pixels."""

from torch import Tensor

from reldrop_bench import Batch, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import ImageFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.score import ScoreName, score_maps, uses_relevance
from reldrop_bench.occlusion.shape import normalise, threshold_mask


class RelDropPixel(Regularizer):
    """Hide the pixels where alpha * u + (1 - alpha) * relevance >= 1 - beta (arXiv 2505.21595)."""

    name = "reldrop-pixel"
    modalities = {"image"}
    off = {"probability": 0.0}
    presets = {
        "paper": {"positive": False},
        "authors-code": {"positive": False, "fill": "channel-mean"},
        "corrected": {},
    }

    probability: Probability = 0.3
    alpha: Probability = 0.3
    """The balance: 1 is random alone, 0 relevance alone."""
    beta: Probability = 0.5
    """Lowers the threshold; not a drop rate."""
    positive: bool = True
    """Whether negative relevance counts as none, instead of shifting the zero of the others."""
    fill: ImageFill = "mean"
    score: ScoreName = "relevance"

    @property
    def uses_relevance(self) -> bool:
        return self.probability > 0 and uses_relevance(self.score, "values")

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            scores = normalise(score_maps(self.score, "values", batch, rows, step), self.positive)
            return threshold_mask(scores, self.alpha, self.beta, step.generator)

        return hide(batch, step, region, self.fill, self.probability)
