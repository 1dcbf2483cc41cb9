"""Accuracy on the task's shifted test sets."""

from reldrop_bench import Context, Count, Evaluation, Metric, Record
from reldrop_bench.kinds.workload import Workload

from ._measures.predictions import correct


class ShiftAccuracy(Evaluation):
    """Accuracy on every shifted test set of the task; the split carries the shift's name.

    No row is written where the task has none, and none for single items: benchmarks of corruptions
    hold dozens of copies of the test set.
    """

    name = "shifts"
    uses_relevance = False
    metrics = {"accuracy": Metric("higher", "share of right predictions on a shifted test set")}

    presets = {"fast": {"max_samples": 400}}

    max_samples: Count | None = None
    """Items of each shifted test set, the same in all; None: all."""

    def passes(self, workload: Workload) -> float:
        return workload.shifts * workload.sample(self.max_samples)

    def evaluate(self, context: Context, record: Record) -> None:
        for name in context.shifts:
            context.progress(f"shift {name}")
            right = correct(*context.sampled(name, self.max_samples))
            record.metric(name, "accuracy", right.mean().item())
