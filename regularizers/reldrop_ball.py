"""RelDrop's block for clouds: one ball of points around a relevant one."""

import torch
from torch import Tensor

from reldrop_bench import Batch, Count, Probability, Regularizer, Step
from reldrop_bench.occlusion.fill import CloudFill
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.score import ScoreName, score_maps, uses_relevance
from reldrop_bench.occlusion.shape import ball_mask, draw_centres


class RelDropBall(Regularizer):
    """The points nearest to one of the k most relevant points are hidden.

    The analogue for clouds of RelDrop's block (arXiv 2505.21595), in place of single points, which
    their neighbours stand in for. It is new here, so there is no preset of the paper's.
    """

    name = "reldrop-ball"
    modalities = {"cloud"}
    off = {"probability": 0.0}

    probability: Probability = 0.5
    k: Count = 1
    """The centre is drawn from that many of the most relevant points."""
    fraction_min: Probability = 0.02
    fraction_max: Probability = 0.4
    """The share of the points that is hidden is uniform between the two; at least one point."""
    fill: CloudFill = "duplicate"
    score: ScoreName = "relevance"

    @property
    def uses_relevance(self) -> bool:
        return self.probability > 0 and uses_relevance(self.score, "ranks")

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            scores = score_maps(self.score, "ranks", batch, rows, step)
            centres = draw_centres(scores, self.k, step.generator)
            u = torch.rand(len(rows), generator=step.generator)
            fraction = self.fraction_min + (self.fraction_max - self.fraction_min) * u
            counts = (fraction * batch.inputs.shape[2]).round().clamp(min=1)
            # Back in the cloud's own units, so that a ball is round.
            std = batch.inputs.new_tensor(step.facts.std[:3]).view(1, 3, 1)
            places = batch.inputs[rows, :3] * std
            return ball_mask(places, centres, counts.to(places.device))

        return hide(batch, step, region, self.fill, self.probability)
