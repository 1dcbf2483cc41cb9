"""Accuracy on the test split."""

import numpy as np

from reldrop_bench import Context, Evaluation, Metric, Record
from reldrop_bench.kinds.workload import Workload

from ._measures.predictions import correct


def class_mean_accuracy(predictions: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean over classes of the accuracy within a class; both (N,).

    Classes without a single test item have no accuracy and are left out of the mean.
    """
    _, inverse, count = np.unique(targets, return_inverse=True, return_counts=True)
    right = np.bincount(inverse, weights=predictions == targets)
    return float(np.mean(right / count))


class Accuracy(Evaluation):
    """Overall and class-mean accuracy on the test split, with every single prediction.

    Example rows: "prediction" and "target" (class indices) and "confidence" (the largest softmax
    probability), for tests over items such as McNemar's.
    """

    name = "accuracy"
    uses_relevance = False
    metrics = {
        "accuracy": Metric("higher", "share of right predictions, 0 to 1"),
        "class_mean_accuracy": Metric("higher", "mean over classes of the accuracy within a class"),
        "prediction": Metric("neither", "predicted class of an item"),
        "target": Metric("neither", "right class of an item"),
        "confidence": Metric("neither", "largest softmax probability of an item"),
    }

    def passes(self, workload: Workload) -> float:
        return 0.0

    def evaluate(self, context: Context, record: Record) -> None:
        confidence, prediction = (
            tensor.numpy() for tensor in context.logits().double().softmax(1).max(1)
        )
        targets = context.targets().numpy()
        record.metric(
            "test", "accuracy", correct(context.logits(), context.targets()).mean().item()
        )
        record.metric("test", "class_mean_accuracy", class_mean_accuracy(prediction, targets))
        record.examples("test", "prediction", prediction)
        record.examples("test", "target", targets)
        record.examples("test", "confidence", confidence)
