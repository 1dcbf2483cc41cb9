"""How alike is a model to the baseline of its seed, and to itself from another seed?"""

from collections.abc import Mapping

import torch

from reldrop_bench import Context, Count, Evaluation, Metric, Record
from reldrop_bench.kinds.workload import Workload

from ._measures.features import linear_cka
from ._measures.penultimate import FeaturesError
from ._measures.predictions import disagreement, error_kappa
from .diversity import features_in_order

SPLITS: Mapping[str, str] = {"baseline": "to-baseline", "first-seed": "between-seeds"}
"""The split that each companion is compared under."""


class Agreement(Evaluation):
    """Whether two models have like features and make the same errors, on the clean test items.

    Split "to-baseline": against the baseline of the same seed, which shares weights and data order
    at the start, so what differs is the regularizer. Split "between-seeds": against the same
    regularizer's first seed. To be read together: a regularizer changes what is learned only if a
    model is less like its baseline than the baseline is like itself from another seed. No direction
    is better: different errors are good for an ensemble, and say of one model only that it found
    something else.

    Example rows: "prediction_disagreement" and "error_disagreement", 0 or 1 for each test item.
    """

    name = "agreement"
    uses_relevance = False
    companions = frozenset(SPLITS)
    metrics = {
        "linear_cka": Metric(
            "neither",
            "likeness of the penultimate features up to rotation and scale, 0 to 1; chance is above 0",
            "2 predictions",
        ),
        "prediction_disagreement": Metric(
            "neither", "share of the items whose predicted classes differ, 0 to 1", "2 predictions"
        ),
        "error_disagreement": Metric(
            "neither",
            "share of the items that just one of the two has right, 0 to 1",
            "2 predictions",
        ),
        "error_kappa": Metric(
            "neither",
            "Cohen's kappa of being right (error consistency): 1 same errors, 0 chance, -1 opposite",
            "2 predictions",
        ),
    }

    presets = {"fast": {"max_samples": 250}, "full": {"max_samples": 4000}}

    max_samples: Count = 1000
    """Test items whose features are compared; predictions are compared on all."""

    def passes(self, workload: Workload) -> float:
        others = len(workload.companions & SPLITS.keys())
        return others * (workload.items + 2 * workload.sample(self.max_samples))

    def evaluate(self, context: Context, record: Record) -> None:
        for role, split in SPLITS.items():
            other = context.companion(role)
            if other is not None:
                context.progress(f"{self.name} {split}")
                self._predictions(context, other, record, split)
                self._features(context, other, record, split)
            elif role in context.lacking:
                reason = (
                    f"the {role} model is not there: its cell failed or its weights were not kept"
                )
                record.note(split, "*", reason)

    def _predictions(self, context: Context, other: Context, record: Record, split: str) -> None:
        targets = context.targets()
        first, second = context.logits().argmax(1), other.logits().argmax(1)
        right, other_right = first == targets, second == targets
        record.metric(split, "prediction_disagreement", disagreement(first, second))
        record.examples(split, "prediction_disagreement", first != second)
        record.metric(split, "error_disagreement", disagreement(right, other_right))
        record.examples(split, "error_disagreement", right != other_right)
        both = "right" if right.all() else "wrong"
        reason = f"both models are {both} about every item, so that agreement is no surprise"
        record.metric(split, "error_kappa", error_kappa(right, other_right), reason)

    def _features(self, context: Context, other: Context, record: Record, split: str) -> None:
        try:
            first, second = (
                torch.cat(list(features_in_order(model, self.max_samples)))
                for model in (context, other)
            )
        except FeaturesError as error:
            record.note(split, "linear_cka", str(error))
            return
        reason = "the features of one of the models are the same for all samples"
        record.metric(split, "linear_cka", linear_cka(first, second), reason)
