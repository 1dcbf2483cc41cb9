"""Former evaluation: say in one line what is measured, and where the measure was published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from reldrop_bench.evaluation.contract import Context, Evaluation, Metric, Record
from reldrop_bench.plugin import Count


@dataclass(frozen=True)
class FormerEvaluation(Evaluation):
    """How far the likeliest classes lead the field, and whether the true one is among them."""

    name: ClassVar[str] = "former-evaluation"
    # Every metric that is written, with the direction that is better ("higher", "lower" or
    # "neither") and what it says; names may be patterns ("*/auc").
    metrics: ClassVar[Mapping[str, Metric]] = {
        "top_accuracy": Metric("higher", "share of items whose class is among the likeliest"),
        "margin": Metric("neither", "logit of the likeliest class over that of the last one named"),
    }
    # Whether specs that name no evaluations include it.
    default: ClassVar[bool] = False

    # Fields are settings; a change measures again without training again.
    top: Count = 2

    def evaluate(self, context: Context, record: Record) -> None:
        # The model is trained and in evaluation mode. Predictions on a split are made once and
        # shared; context.explained(...) gives relevance maps, context.generator(...) random numbers
        # that are the same for every model and seed, context.shifts the shifted test sets. Say with
        # record.note(...) why a value is missing; never write NaN.
        logits, targets = context.logits(), context.targets()
        count = min(self.top, logits.shape[1])
        leading = logits.topk(count, dim=1)
        hits = (leading.indices == targets[:, None]).any(1)
        margin = leading.values[:, 0] - leading.values[:, -1]
        record.metric("test", "top_accuracy", hits.double().mean().item())
        # One number for each test item allows tests over items, besides those over seeds.
        record.examples("test", "margin", margin)
