"""RelDrop on single points of a cloud."""

from torch import Tensor

from reldrop_bench import Batch, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import CloudFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.score import ScoreName, score_maps, uses_relevance
from reldrop_bench.occlusion.shape import normalise, threshold_mask


class RelDropPoints(Regularizer):
    """Hide the points where alpha * u + (1 - alpha) * relevance >= 1 - beta (arXiv 2505.21595)."""

    name = "reldrop-points"
    modalities = {"cloud"}
    off = {"probability": 0.0}
    presets = {
        "paper": {"probability": 1.0, "positive": False, "fill": "first"},
        "authors-code": {"probability": 1.0, "positive": False, "fill": "origin"},
        "corrected": {},
    }

    probability: Probability = 0.5
    """Published is none, that is 1; at 0.5 the network also meets whole clouds, as it is tested."""
    alpha: Probability = 0.5
    """The balance: 1 is random alone, 0 relevance alone."""
    beta: Probability = 0.5
    """Lowers the threshold; not a drop rate. At alpha = beta = 0.5, P(drop) is the relevance."""
    positive: bool = True
    """Whether negative relevance counts as none, instead of shifting the zero of the others."""
    fill: CloudFill = "duplicate"
    score: ScoreName = "relevance"

    @property
    def uses_relevance(self) -> bool:
        return self.probability > 0 and uses_relevance(self.score, "values")

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            scores = normalise(score_maps(self.score, "values", batch, rows, step), self.positive)
            return threshold_mask(scores, self.alpha, self.beta, step.generator)

        return hide(batch, step, region, self.fill, self.probability)
