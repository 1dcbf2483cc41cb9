"""RelDrop on single elements: what its versions for pixels and for points share."""

from torch import Tensor

from reldrop_bench import Batch, GuidedOcclusion, Probability, Step, shape


class ThresholdOcclusion(GuidedOcclusion):
    """Hide the elements where alpha * u + (1 - alpha) * relevance >= 1 - beta."""

    reading = "values"

    alpha: Probability = 0.5
    """The balance: 1 is random alone, 0 relevance alone."""
    beta: Probability = 0.5
    """Lowers the threshold; not a drop rate. At alpha = beta = 0.5, P(drop) is the relevance."""
    positive: bool = True
    """Whether negative relevance counts as none, instead of shifting the zero of the others."""

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        scores = shape.normalise(self.scores(batch, rows, step), self.positive)
        return shape.threshold_mask(scores, self.alpha, self.beta, step.stream("shape"))
