"""Score: where an input is hidden."""

from typing import Literal

import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.step import Step
from reldrop_bench.occlusion.fill import draw_partners
from reldrop_bench.occlusion.shape import descending_order

ScoreName = Literal["relevance", "gradient", "random", "other-sample", "inverted"]
"""See `score_maps`."""

Reading = Literal["ranks", "values", "places"]
"""What a shape reads of a score. ranks: which elements are the highest (ball). values: the values
themselves, by a threshold (pixel, points). places: the highest elements, whose places decide how much
is hidden: how much of a rectangle is inside, and how far several overlap (patch)."""


def uses_relevance(score: ScoreName, reading: Reading) -> bool:
    """Whether maps of this score ask for `step.relevance`."""
    return score in {"relevance", "other-sample", "inverted"} or (
        score == "random" and reading != "ranks"
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
        The control: the same shape, fill and realised area without guidance. Where ranks are read
        it is uniform noise. Where values are read it is the sample's own relevance shuffled over
        its positions: how much is hidden follows from the map's histogram, which the shuffle keeps.
        Where places are read it is the sample's own relevance too, and `as_much_elsewhere` takes
        the region elsewhere. So the last two cost an explanation as well.
    other-sample
        The relevance of another sample of the batch, drawn at random; in a batch of one as random.
        The realised area is matched for every shape; what differs is guidance by this very sample.
    inverted
        The least relevant come first: the negated relevance; where values are read the same values
        in reversed order, so that as much is hidden.
    """
    if score == "other-sample" and len(batch) == 1:
        score = "random"
    if score == "random" and reading == "ranks":
        shape = (len(rows), *batch.inputs.shape[2:])
        return torch.rand(shape, generator=step.stream("place")).to(batch.inputs.device)
    if score == "other-sample":
        rows = draw_partners(rows, len(batch), step.stream("place"))
    if score == "gradient":
        return step.gradient(batch.inputs[rows], batch.labels[rows])
    relevance = step.relevance_of(batch, rows)
    if score == "random" and reading == "values":
        return _shuffled(relevance, step.stream("place"))
    if score == "inverted":
        return _reversed(relevance, step.stream("place")) if reading == "values" else -relevance
    return relevance


def _shuffled(maps: Tensor, generator: torch.Generator) -> Tensor:
    flat = maps.flatten(1)
    order = torch.rand(flat.shape, generator=generator).to(flat.device).argsort(1)
    return flat.gather(1, order).view_as(maps)


def _reversed(maps: Tensor, generator: torch.Generator) -> Tensor:
    flat = maps.flatten(1)
    order = descending_order(flat, generator)
    return flat.scatter(1, order, flat.sort(1).values).view_as(maps)
