"""Bases of regularizers that hide a part of the input: a subclass says which part, and no more."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.occlusion.hide import Per, hide
from reldrop_bench.occlusion.score import Reading, ScoreName, score_maps, uses_relevance
from reldrop_bench.plugins.base import Probability

USUAL_FILLS: Mapping[str, str] = {"image": "mean", "cloud": "duplicate"}


class OccludingRegularizer(Regularizer, ABC):
    """A region of some samples is hidden.

    Without annotations `probability`, `per` and `fill` are no parameters: a subclass turns into one,
    or sets to another value, what it wants to.
    """

    trains_with = frozenset({"occlusion", "dropped"})
    probability = 1.0
    """The chance of a sample to be hidden in."""
    per = cast(Per, "sample")
    """What the chance is drawn for: each sample, or all of a batch at once."""
    fill = ""
    """What takes the place of the region; "" is mean for images and duplicate for clouds."""

    @abstractmethod
    def region(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        """Return what to hide of the samples `rows` (b,) int64, b >= 1: (b, H, W) or (b, N) bool.

        Nobody else's region is asked for, so that no other sample is explained.
        """

    def transform(self, batch: Batch, step: Step) -> Batch:
        def region(rows: Tensor) -> Tensor:
            return self.region(batch, rows, step)

        fill = self.fill or USUAL_FILLS[step.facts.modality]
        return hide(batch, step, region, fill, self.probability, self.per)


class GuidedOcclusion(OccludingRegularizer, ABC):
    """A region of some samples is hidden where a score is high: relevance, or a control for it."""

    off = {"probability": 0.0}
    reading: ClassVar[Reading]
    """What the region reads of the scores."""

    probability: Probability = 0.5
    score: ScoreName = "relevance"
    """What guides; all but relevance and gradient are controls that hide as much elsewhere."""

    @property
    def uses_relevance(self) -> bool:
        return self.probability > 0 and uses_relevance(self.score, self.reading)

    @property
    def guided(self) -> bool:
        return self.probability > 0 and self.score in ("relevance", "gradient")

    @property
    def controls(self) -> Mapping[str, Mapping[str, Any]]:
        """Of what relevance guides: a random place, and the relevance of another sample."""
        rungs = ["random", "other-sample"] if self.score == "relevance" else []
        if self.score == "gradient" and self.reading == "ranks":
            rungs = ["random"]  # what the others hide goes by the relevance
        return {rung: {"score": rung} for rung in rungs}

    def scores(self, batch: Batch, rows: Tensor, step: Step) -> Tensor:
        """Return the scores of the samples `rows` (b,): (b, H, W) or (b, N), see `score_maps`."""
        return score_maps(self.score, self.reading, batch, rows, step)
