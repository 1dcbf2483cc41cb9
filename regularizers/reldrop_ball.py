"""RelDrop's block for clouds: one ball of points around a relevant one."""

import torch
from torch import Tensor

from reldrop_bench import Batch, CloudFill, Count, GuidedOcclusion, Probability, Step, shape


class RelDropBall(GuidedOcclusion):
    """The points nearest to one of the k most relevant points are hidden.

    The analogue for clouds of RelDrop's block (arXiv 2505.21595), in place of single points, which
    their neighbours stand in for. It is new here, so there is no preset of the paper's.
    """

    name = "reldrop-ball"
    modalities = {"cloud"}
    reading = "ranks"

    k: Count = 1
    """The centre is drawn from that many of the most relevant points."""
    fraction_min: Probability = 0.02
    """The share of the points that is hidden is uniform, from this (and one point) …"""
    fraction_max: Probability = 0.4
    """… to this."""
    fill: CloudFill = "duplicate"

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        scores = self.scores(batch, rows, step)
        centres = shape.draw_centres(scores, self.k, step.stream("place"))
        u = torch.rand(len(rows), generator=step.stream("shape"))
        fraction = self.fraction_min + (self.fraction_max - self.fraction_min) * u
        counts = (fraction * batch.inputs.shape[2]).round().clamp(min=1)
        # Back in the cloud's own units, so that a ball is round.
        std = batch.inputs.new_tensor(step.facts.std[:3]).view(1, 3, 1)
        places = batch.inputs[rows, :3] * std
        return shape.ball_mask(places, centres, counts.to(places.device))
