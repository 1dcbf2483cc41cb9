"""Random point dropout, as PointNet++ is trained with."""

import torch
from torch import Tensor

from reldrop_bench import Batch, OccludingRegularizer, Probability, Step


class RandomPointDropout(OccludingRegularizer):
    """A random share of a cloud's points becomes its first point (PointNet++, arXiv 1706.02413)."""

    name = "random-point-dropout"
    modalities = {"cloud"}
    off = {"max_ratio": 0.0}
    fill = "first"

    max_ratio: Probability = 0.875
    """The share is drawn from U(0, max_ratio) for each cloud."""

    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        ratio = self.max_ratio * torch.rand((len(rows), 1), generator=step.generator)
        points = (len(rows), batch.inputs.shape[2])
        hidden = torch.rand(points, generator=step.generator) < ratio
        hidden[:, 0] = False  # it is what the others become, so it stays itself
        return hidden
