"""The flow that all occluding regularizers share: draw who, find where, fill."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.step import Step
from reldrop_bench.occlusion.fill import keep_one, occlude

Per = Literal["sample", "batch"]
"""What a probability is drawn for: each sample, or the batch as a whole (all samples or none)."""


def hide(
    batch: Batch,
    step: Step,
    region: Callable[[Tensor], Tensor],
    fill: str,
    probability: float = 1.0,
    per: Per = "sample",
) -> Batch:
    """Return a batch in which a region of some samples is hidden, and `occluded` says which.

    Parameters
    ----------
    region
        From the selected rows (b,) int64, b >= 1, to the mask (b, H, W) or (b, N) of what to hide;
        it is called once and only if somebody was selected, so that no other sample is explained.
        Who is hidden in, and the fill, are drawn from streams of their own: methods that differ in
        the region alone hide something of the same samples at the same step.
    fill
        See `occlude`.
    probability, per
        A sample's chance to be selected, and whether all samples share one draw.
    """
    inputs = batch.inputs
    draws = torch.rand(len(batch) if per == "sample" else 1, generator=step.stream("who"))
    rows = (draws < probability).expand(len(batch)).nonzero().squeeze(1).to(inputs.device)
    mask = torch.zeros((len(batch), *inputs.shape[2:]), dtype=torch.bool, device=inputs.device)
    if len(rows):
        hidden = region(rows).to(inputs.device)
        mask[rows] = keep_one(hidden) if step.facts.modality == "cloud" else hidden
        inputs = occlude(inputs, mask, fill, step.facts, step.stream("fill"))
    return batch.replace(
        inputs=inputs, occluded=mask if batch.occluded is None else batch.occluded | mask
    )
