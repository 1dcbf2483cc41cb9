"""Former regularizer: say in one line what the method is, and where it was published."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.occlusion.hide import hide
from reldrop_bench.occlusion.shape import rank_mask
from reldrop_bench.plugin import Probability
from reldrop_bench.regularization import Regularizer, Step


@dataclass(frozen=True)
class FormerRegularizer(Regularizer):
    """Hide the most relevant pixels or points of some samples."""

    name: ClassVar[str] = "former-regularizer"
    # What it works on: "image" inputs are (B, C, H, W), "cloud" inputs (B, C, N).
    modalities: ClassVar[Set[str]] = frozenset({"image", "cloud"})
    # The parameter values at which it does nothing; the contract checks that this is so.
    off: ClassVar[Mapping[str, Any] | None] = {"probability": 0.0}

    # Fields are hyper-parameters. They are validated against their annotation (Probability is a
    # float from 0 to 1) and hashed into the cell's key; a list in a spec expands to one entry each.
    probability: Probability = 0.5
    fraction: Probability = 0.2

    @property
    def uses_relevance(self) -> bool:
        # Say so when `step.relevance` is asked: results then belong to one attribution method.
        # Delete this property in a method that is not guided.
        return self.probability > 0

    def transform(self, batch: Batch, step: Step) -> Batch:
        # Called at each training step. Rules: return a new batch and change nothing in place; draw
        # random numbers from step.generator only; keep shape and dtype; soft targets are
        # (B, classes), rows that sum to one.
        def region(rows: Tensor) -> Tensor:
            # Only the samples that were drawn are explained: that is what costs time.
            relevance = step.relevance(batch.inputs[rows], batch.labels[rows])
            return rank_mask(relevance, self.fraction, step.generator)

        # `hide` draws who is hidden, fills the region, and reports it in batch.occluded. A method
        # of another kind returns batch.replace(inputs=…, targets=…) instead.
        fill = "mean" if step.facts.modality == "image" else "duplicate"
        return hide(batch, step, region, fill, self.probability)

    # Two more hooks, both optional:
    #
    # def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
    #     """Return a scalar to add to the loss."""
    #
    # def wrap(self, model: nn.Module) -> nn.Module:
    #     """Build something into the model before training; it acts only `if self.training`."""
