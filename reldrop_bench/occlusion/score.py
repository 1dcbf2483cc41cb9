"""Score: where an input is hidden."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.occlusion.fill import draw_partners
from reldrop_bench.occlusion.shape import descending_order
from reldrop_bench.regularizer import Step

ScoreName = Literal["relevance", "gradient", "random", "other-sample", "inverted"]
"""See `score_maps`."""

Reading = Literal["ranks", "values"]
"""What a shape reads of a score: block, patch and ball only which elements are the highest;
pixel and points, by their threshold, the values themselves."""


def uses_relevance(score: ScoreName, reading: Reading) -> bool:
    """Whether maps of this score ask for `step.relevance`."""
    return score in {"relevance", "other-sample", "inverted"} or (
        score == "random" and reading == "values"
    )


def score_maps(
    score: ScoreName, reading: Reading, batch: Batch, rows: Tensor, step: Step
) -> Tensor:
    """Return score maps (b, H, W) or (b, N) of the samples `rows` (b,); no other is explained.

    relevance
        That of the sample's own label.
    gradient
        The absolute input gradient, summed over channels.
    random
        The control: the same shape and fill without guidance. Where values are read it is the
        sample's own relevance shuffled over its positions: how much is hidden follows from the
        map's histogram, which the shuffle keeps, so that the realised area is matched; it costs an
        explanation as well. Where only ranks are read it is uniform noise, which matches a ball,
        and the areas of rectangles before they overlap and are clipped: uniform centres lie nearer
        to the border and farther apart than relevant ones. Compare the realised occlusion.
    other-sample
        The relevance of another sample of the batch, drawn at random; in a batch of one as random.
        The realised area is matched for every shape; what differs is guidance by this very sample.
    inverted
        The least relevant come first. Where only ranks are read it is the negated relevance; where
        values are read the same values in reversed order, so that as much is hidden.
    """
    if score == "other-sample" and len(batch) == 1:
        score = "random"
    if score == "random" and reading == "ranks":
        shape = (len(rows), *batch.inputs.shape[2:])
        return torch.rand(shape, generator=step.generator).to(batch.inputs.device)
    if score == "other-sample":
        rows = draw_partners(rows, len(batch), step.generator)
    inputs, labels = batch.inputs[rows], batch.labels[rows]
    if score == "gradient":
        return step.gradient(inputs, labels)
    relevance = step.relevance(inputs, labels)
    if score == "random":
        return _shuffled(relevance, step.generator)
    if score == "inverted":
        return -relevance if reading == "ranks" else _reversed(relevance, step.generator)
    return relevance


def _shuffled(maps: Tensor, generator: torch.Generator) -> Tensor:
    flat = maps.flatten(1)
    order = torch.rand(flat.shape, generator=generator).to(flat.device).argsort(1)
    return flat.gather(1, order).view_as(maps)


def _reversed(maps: Tensor, generator: torch.Generator) -> Tensor:
    flat = maps.flatten(1)
    order = descending_order(flat, generator)
    return flat.scatter(1, order, flat.sort(1).values).view_as(maps)
