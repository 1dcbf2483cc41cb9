"""Which of several redundant cues does a model use? A causal and an attributive answer."""

from collections.abc import Mapping

import torch
from torch import Tensor

from reldrop_bench import Context, Count, Evaluation, Metric, Record
from reldrop_bench.kinds.workload import Workload

from ._measures.cues import (
    causal_shares,
    effective_cues,
    mass_by_part,
    rank_agreement,
    shapley_values,
    share_agreement,
)
from ._measures.predictions import correct, label_probability
from ._measures.samples import varies

_COST, _REMOVAL = "1 explanation", "2^K predictions"
_BOTH = f"{_COST}, {_REMOVAL}"
_LEAST = 1e-6
"""What all cues together must add to accuracy or probability: below it is rounding."""
Answers = Mapping[str, tuple[Tensor, Tensor]]
"""By test set, logits (n, K) and classes (n,) of the items that are predicted."""
_EQUAL_SHARES = "all cues have equal shares, in relevance or in effect"
_CAUSAL = "cue_*_shapley, causal_effective_cues, *_agreement"


class CueUse(Evaluation):
    """Accuracy with every subset of cues removed, relevance by cue, and whether the two agree.

    The first is causal: shifted test sets called "removed-…" (the split has that name), and the
    clean one as "removed-none". "cue_{k}_shapley" is what cue k adds to the accuracy, on average
    over the orders in which cues may come; "causal_effective_cues" = exp(entropy) of these values'
    positive part. Redundant cues share what they add, so a model that needs any one of K cues has K.

    The second is where the positive relevance of the true label lies on the clean test split:
    "effective_cues" = exp(entropy) of a sample's mass over its cues, "cue_{k}_mass" the share of cue
    k among all cues, "roi_mass" the share of all cues among everything; each is a mean over samples.
    Samples without positive relevance in any cue have no such shares: they are left out of the first
    two and counted in "without_cue_mass"; "samples" says how many were explained.

    "cue_agreement" and "cue_rank_agreement" compare the two: shares of the mass against shares of
    the Shapley values, of the model as a whole. For single samples, the Shapley values are those of
    the softmax probability of the true class: "sample_cue_agreement" and
    "sample_cue_rank_agreement" are the means, and the example rows "cue_agreement" and
    "cue_rank_agreement" the single values.
    """

    name = "cues"
    metrics = {
        "accuracy": Metric("higher", "accuracy with these cues removed"),
        "effective_cues": Metric("higher", "exp(entropy) of the mass over cues, 1 to K", _COST),
        "roi_mass": Metric("higher", "share of the positive relevance on any cue", _COST),
        "cue_*_mass": Metric("neither", "share of one cue among all cues", _COST),
        "without_cue_mass": Metric("neither", "samples without relevance on any cue", _COST),
        "samples": Metric("neither", "explained samples", "nothing"),
        "cue_*_shapley": Metric("neither", "what one cue adds to the accuracy", _REMOVAL),
        "causal_effective_cues": Metric(
            "higher", "exp(entropy) of what the cues add to the accuracy, 1 to K", _REMOVAL
        ),
        "cue_agreement": Metric(
            "higher", "overlap of the cues' shares in relevance and in effect, 0 to 1", _BOTH
        ),
        "cue_rank_agreement": Metric(
            "higher", "Spearman correlation of the cues' shares, -1 to 1", _BOTH
        ),
        "sample_cue_agreement": Metric(
            "higher", "the same overlap within a sample, mean over samples", _BOTH
        ),
        "sample_cue_rank_agreement": Metric(
            "higher", "the same correlation within a sample, mean over samples", _BOTH
        ),
    }
    requires = {"cues"}

    presets = {
        "fast": {"max_samples": 64, "max_tested": 100},
        "full": {"max_samples": 1024},
    }

    max_samples: Count = 256
    """Test items that are explained."""
    max_tested: Count | None = None
    """Test items that are predicted with cues removed, those that are explained at least; None: all."""

    @property
    def tested(self) -> int | None:
        """How many items are predicted with cues removed; None: all."""
        return None if self.max_tested is None else max(self.max_tested, self.max_samples)

    def passes(self, workload: Workload) -> float:
        explained = workload.sample(self.max_samples) * workload.explanation
        sets = 2**workload.facts.cues - 1
        return explained + sets * workload.sample(self.tested)

    def evaluate(self, context: Context, record: Record) -> None:
        answers = self._answers(context)
        for name, (logits, targets) in answers.items():
            split = "removed-none" if name == "test" else name
            record.metric(split, "accuracy", correct(logits, targets).mean().item())
        items, mass, varied = self._mass(context)
        # A constant map weighs cues by their area: it says nothing of them.
        names = "effective_cues, roi_mass, cue_*_mass"
        record.note_left_out("test", names, int(varied.sum()), len(varied), "a constant map")
        mass = torch.where(varied[:, None], mass, 0.0)
        cues = mass[:, 1:]
        seen, any_mass = cues.sum(1) > 0, mass.sum(1) > 0
        record.metric("test", "samples", len(items))
        record.metric("test", "without_cue_mass", len(items) - int(seen.sum()))
        if any_mass.any():
            roi = cues[any_mass].sum(1) / mass[any_mass].sum(1)
            record.metric("test", "roi_mass", roi.mean().item())
        shares = cues[seen] / cues[seen].sum(1, keepdim=True)
        if seen.any():
            effective = effective_cues(cues[seen])
            record.metric("test", "effective_cues", effective.mean().item())
            record.examples("test", "effective_cues", effective, items[seen])
            for cue, share in enumerate(shares.mean(0).tolist()):
                record.metric("test", f"cue_{cue}_mass", share)
        self._causal(context, record, answers, items[seen], shares)

    def _answers(self, context: Context) -> Answers:
        names = [name for name in context.shifts if name.startswith("removed-")]
        return {name: context.sampled(name, self.tested) for name in ["test", *names]}

    def _mass(self, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Return the explained items (n,), their mass by part (n, 1 + K), whose map varies (n,)."""
        items: list[Tensor] = []
        parts: list[Tensor] = []
        varied: list[Tensor] = []
        for shown, batch, relevance in context.explained(self.max_samples, "cues"):
            assert batch.masks is not None, "a task with cues has masks"
            items.append(shown)
            varied.append(varies(relevance).cpu())
            parts.append(mass_by_part(relevance.cpu(), batch.masks.cpu(), context.facts.cues))
        return torch.cat(items), torch.cat(parts), torch.cat(varied)

    def _causal(
        self, context: Context, record: Record, answers: Answers, items: Tensor, shares: Tensor
    ) -> None:
        """Write what removal says, and how the relevance of `items` (n,), shares (n, K), fits."""
        names = removals(context.facts.cues)
        missing = [name for name in names if name not in answers]
        if missing:
            reason = f"they need every subset of cues removed; there is no {', '.join(missing[:5])}"
            record.note("test", _CAUSAL, reason)
            return
        hits = [correct(*answers[name]) for name in names]
        values = shapley_values(torch.stack([hit.mean() for hit in hits]))
        for cue, value in enumerate(values.tolist()):
            record.metric("test", f"cue_{cue}_shapley", value)
        causal, defined = causal_shares(values[None], _LEAST)
        gain = hits[-1] - hits[0]  # all cues there, and none of them
        chance = 2 * gain.std() / max(len(gain), 1) ** 0.5
        defined &= bool(gain.mean() > chance) and len(gain) > 1
        if not defined.all():
            reason = "all cues together add no more to the accuracy than two standard errors"
            record.note("test", "causal_effective_cues, cue_agreement, cue_rank_agreement", reason)
        else:
            record.metric("test", "causal_effective_cues", effective_cues(causal).item())
        if len(items) == 0:
            record.note("test", "*_agreement", "no sample has positive relevance on any cue")
            return
        if defined.all():
            by_relevance = shares.mean(0, keepdim=True)
            agreement = share_agreement(by_relevance, causal).item()
            record.metric("test", "cue_agreement", agreement)
            ranks = rank_agreement(by_relevance, causal)
            record.metric("test", "cue_rank_agreement", ranks.mean, _EQUAL_SHARES)
        self._by_sample(context, record, answers, items, shares)

    def _by_sample(
        self, context: Context, record: Record, answers: Answers, items: Tensor, shares: Tensor
    ) -> None:
        name = "sample_cue_agreement, sample_cue_rank_agreement"
        found = [answers[shift] for shift in removals(context.facts.cues)]
        _, targets = answers["test"]
        if any(not torch.equal(classes, targets) for _, classes in found):
            record.note("test", name, "the test sets without cues do not hold the same items")
            return
        tested = context.subset(self.tested or len(context.order))
        rows = torch.searchsorted(tested, items)
        worth = torch.stack([label_probability(logits, targets)[rows] for logits, _ in found])
        causal, defined = causal_shares(shapley_values(worth).T, _LEAST)
        reason = "no cue adds to their class's probability"
        record.note_left_out("test", name, int(defined.sum()), len(defined), reason)
        if not defined.any():
            return
        items, shares, causal = items[defined], shares[defined], causal[defined]
        agreement = share_agreement(shares, causal)
        record.metric("test", "sample_cue_agreement", agreement.mean().item())
        record.examples("test", "cue_agreement", agreement, items)
        ranks = rank_agreement(shares, causal)
        name, count = "sample_cue_rank_agreement", int(ranks.defined.sum())
        record.note_left_out("test", name, count, len(ranks.defined), _EQUAL_SHARES)
        if ranks.mean is not None:
            record.metric("test", "sample_cue_rank_agreement", ranks.mean)
            record.examples("test", "cue_rank_agreement", ranks.kept, items[ranks.defined])


def removals(cues: int) -> list[str]:
    """Return the test set for each set of cues that are there, as `shapley_values` orders them."""
    names = []
    for present in range(1 << cues):
        removed = "".join(str(cue) for cue in range(cues) if not present >> cue & 1)
        names.append(f"removed-{removed}" if removed else "test")
    return names
