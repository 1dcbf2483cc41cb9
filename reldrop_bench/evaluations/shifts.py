"""Accuracy on the task's shifted test sets."""

from __future__ import annotations

from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Metric, Record

from .accuracy import accuracy


class ShiftAccuracy(Evaluation):
    """Accuracy on every shifted test set of the task; the split carries the shift's name.

    No row is written where the task has none, and none for single items: benchmarks of corruptions
    hold dozens of copies of the test set.
    """

    name = "shifts"
    uses_relevance = False
    metrics = {"accuracy": Metric("higher", "share of right predictions on a shifted test set")}

    def evaluate(self, context: Context, record: Record) -> None:
        for name in context.shifts:
            context.progress(f"shift {name}")
            predictions = context.logits(name).argmax(1).numpy()
            targets = context.targets(name).numpy()
            record.metric(name, "accuracy", accuracy(predictions, targets))
