"""Random point dropout, as PointNet++ is trained with."""

import torch
from torch import Tensor

from reldrop_bench import Batch, Probability, Regularizer, Step
from reldrop_bench.occlusion.hide import hide


class RandomPointDropout(Regularizer):
    """A random share of a cloud's points becomes its first point (PointNet++, arXiv 1706.02413)."""

    name = "random-point-dropout"
    modalities = {"cloud"}
    off = {"max_ratio": 0.0}

    max_ratio: Probability = 0.875
    """The share is drawn from U(0, max_ratio) for each cloud."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            ratio = self.max_ratio * torch.rand((len(rows), 1), generator=step.generator)
            shape = (len(rows), *batch.inputs.shape[2:])
            hidden = torch.rand(shape, generator=step.generator) < ratio
            hidden[:, 0] = False  # it is what the others become, so it stays itself
            return hidden

        return hide(batch, step, region, "first")
