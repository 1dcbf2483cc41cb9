"""Which of several redundant cues does a model use? A causal and an attributive answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from reldrop_bench.evaluation.accuracy import accuracy
from reldrop_bench.evaluation.contract import Context, Evaluation, Metric, Record
from reldrop_bench.plugin import Count

_COST = "1 explanation"


def mass_by_part(relevance: Tensor, masks: Tensor, parts: int) -> Tensor:
    """Return how much positive relevance lies in each part: (B, 1 + parts) float64.

    relevance (B, H, W) or (B, N), signed; masks alike, part index, 0 = background. Indices above
    `parts` count as background.
    """
    positive = relevance.double().clamp(min=0).flatten(1)
    index = masks.long().flatten(1)
    index = torch.where(index <= parts, index, 0)
    return positive.new_zeros(len(positive), 1 + parts).scatter_add_(1, index, positive)


def effective_cues(mass: Tensor) -> Tensor:
    """Return exp(entropy) of the mass over cues, from 1 (one cue) to K (all alike).

    mass (B, K), non-negative with a positive sum. Returns (B,).
    """
    share = mass / mass.sum(1, keepdim=True)
    return torch.special.entr(share).sum(1).exp()


@dataclass(frozen=True)
class CueUse(Evaluation):
    """Accuracy with every subset of cues removed, and the effective number of cues by relevance.

    The first is causal: shifted test sets called "removed-…" (the split has that name), and the
    clean one as "removed-none". The second is where the positive relevance of the true label lies
    on the clean test split: "effective_cues" = exp(entropy) of a sample's mass over its cues,
    "cue_{k}_mass" the share of cue k among all cues, "roi_mass" the share of all cues among
    everything; each is a mean over samples. Samples without positive relevance in any cue have no
    such shares: they are left out of the first two and counted in "without_cue_mass"; "samples"
    says how many were explained.
    """

    name: ClassVar[str] = "cues"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Metric("higher", "accuracy with these cues removed"),
        "effective_cues": Metric("higher", "exp(entropy) of the mass over cues, 1 to K", _COST),
        "roi_mass": Metric("higher", "share of the positive relevance on any cue", _COST),
        "cue_*_mass": Metric("neither", "share of one cue among all cues", _COST),
        "without_cue_mass": Metric("neither", "samples without relevance on any cue", _COST),
        "samples": Metric("neither", "explained samples", "nothing"),
    }
    requires: ClassVar[frozenset[str]] = frozenset({"cues"})

    max_samples: Count = 256
    """Test items that are explained."""

    def evaluate(self, context: Context, record: Record) -> None:
        self._accuracy(context, record)
        items, mass = self._mass(context)
        cues = mass[:, 1:]
        seen, any_mass = cues.sum(1) > 0, mass.sum(1) > 0
        record.metric("test", "samples", len(items))
        record.metric("test", "without_cue_mass", len(items) - int(seen.sum()))
        if any_mass.any():
            roi = cues[any_mass].sum(1) / mass[any_mass].sum(1)
            record.metric("test", "roi_mass", roi.mean().item())
        if not seen.any():
            return
        effective = effective_cues(cues[seen])
        record.metric("test", "effective_cues", effective.mean().item())
        record.examples("test", "effective_cues", effective, items[seen])
        shares = (cues[seen] / cues[seen].sum(1, keepdim=True)).mean(0)
        for cue, share in enumerate(shares.tolist()):
            record.metric("test", f"cue_{cue}_mass", share)

    def _accuracy(self, context: Context, record: Record) -> None:
        names = [name for name in context.shifts if name.startswith("removed-")]
        for name in ["test", *names]:
            predictions = context.logits(name).argmax(1).numpy()
            split = "removed-none" if name == "test" else name
            record.metric(split, "accuracy", accuracy(predictions, context.targets(name).numpy()))

    def _mass(self, context: Context) -> tuple[Tensor, Tensor]:
        """Return the explained items (n,) and their mass by part (n, 1 + K)."""
        items: list[Tensor] = []
        parts: list[Tensor] = []
        for shown, batch, relevance in context.explained(self.max_samples, "cues"):
            assert batch.masks is not None, "a task with cues has masks"
            items.append(shown)
            parts.append(mass_by_part(relevance.cpu(), batch.masks.cpu(), context.facts.cues))
        return torch.cat(items), torch.cat(parts)
