"""Accuracy on the task's shifted test sets."""

from reldrop_bench import Context, Evaluation, Metric, Record

from ._measures.predictions import correct


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
            right = correct(context.logits(name), context.targets(name))
            record.metric(name, "accuracy", right.mean().item())
