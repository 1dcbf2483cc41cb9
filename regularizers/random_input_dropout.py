"""Input dropout: single pixels or points hidden at random."""

import torch
from torch import Tensor

from reldrop_bench import Batch, CloudFill, ImageFill, Probability, Regularizer, Step, hide


class RandomInputDropout(Regularizer):
    """Hide each pixel or point with the same probability (input dropout, JMLR 15:1929, 2014).

    Whole pixels and points, not single channels, and no rescaling of the rest.
    """

    name = "random-input-dropout"
    off = {"probability": 0.0}
    trains_with = {"occlusion", "dropped"}

    probability: Probability = 0.2
    """The chance of an element; no sample is left out."""
    image_fill: ImageFill = "mean"
    """What takes the place of hidden pixels."""
    cloud_fill: CloudFill = "duplicate"
    """What takes the place of hidden points."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            shape = (len(rows), *batch.inputs.shape[2:])
            return torch.rand(shape, generator=step.generator) < self.probability

        fill = self.image_fill if step.facts.modality == "image" else self.cloud_fill
        return hide(batch, step, region, fill)
