"""Calibration: do the probabilities that a model gives match how often it is right?"""

import numpy as np

from reldrop_bench import Context, Count, Evaluation, Metric, Record
from reldrop_bench.kinds.workload import Workload


def _confidence(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest probability (N,) and whether its class is the right one (N,) float."""
    return probabilities.max(1), (probabilities.argmax(1) == targets).astype(float)


def _bin_gaps(
    bins: np.ndarray, confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each bin its share of the items and its mean of correct - confidence."""
    count = np.bincount(bins)
    gap = np.bincount(bins, weights=correct - confidence) / np.maximum(count, 1)
    return count / len(bins), gap


def expected_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, bins: int = 15
) -> float:
    """Return the mean of |accuracy - confidence| over bins of equal width, weighted by items.

    probabilities (N, K), targets (N,); a bin is (low, high]. Guo et al. 2017, arXiv 1706.04599.
    """
    confidence, correct = _confidence(probabilities, targets)
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    share, gap = _bin_gaps(np.digitize(confidence, edges, right=True), confidence, correct)
    return float(share @ np.abs(gap))


def rms_calibration_error(
    probabilities: np.ndarray, targets: np.ndarray, bin_size: int = 100
) -> float:
    """Return the root of the mean of (accuracy - confidence)² over bins of equal count.

    probabilities (N, K), targets (N,). The items are sorted by confidence and cut into bins of
    `bin_size`; the last bin takes the rest, and with fewer items than `bin_size` there is one bin.

    The script of Hendrycks et al. 2019 (arXiv 1812.04606), which many have copied, loops over
    ``range(len(bins) - 1)`` and so drops the last bin, the most confident
    items. Here every bin counts.
    """
    confidence, correct = _confidence(probabilities, targets)
    order = np.argsort(confidence, kind="stable")
    count = max(len(order) // bin_size, 1)
    bins = np.minimum(np.arange(len(order)) // bin_size, count - 1)
    share, gap = _bin_gaps(bins, confidence[order], correct[order])
    return float(np.sqrt(share @ gap**2))


def brier_score(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean squared distance to the one-hot targets, summed over classes: in [0, 2].

    probabilities (N, K), targets (N,). Brier 1950.
    """
    right = np.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
    return float(np.mean((probabilities**2).sum(1) - 2 * right + 1))


def negative_log_likelihood(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean of -log p(target) in nats; p = 0 counts as the least positive float (708).

    probabilities (N, K), targets (N,).
    """
    right = np.take_along_axis(probabilities, targets[:, None], 1)[:, 0]
    return float(-np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())


class Calibration(Evaluation):
    """Expected and RMS calibration error, Brier score and NLL on the test split."""

    name = "calibration"
    uses_relevance = False
    metrics = {
        "ece": Metric("lower", "expected calibration error, 0 to 1"),
        "rms_calibration_error": Metric("lower", "root mean square calibration error, 0 to 1"),
        "brier": Metric("lower", "squared distance of the probabilities to the target, 0 to 2"),
        "nll": Metric("lower", "negative log-likelihood in nats"),
    }

    bins: Count = 15
    """Equal-width bins of the expected calibration error."""
    bin_size: Count = 100
    """Items in a bin of the RMS calibration error."""

    def passes(self, workload: Workload) -> float:
        return 0.0

    def evaluate(self, context: Context, record: Record) -> None:
        probabilities = context.logits().double().softmax(1).numpy()
        targets = context.targets().numpy()
        ece = expected_calibration_error(probabilities, targets, self.bins)
        record.metric("test", "ece", ece)
        rms = rms_calibration_error(probabilities, targets, self.bin_size)
        record.metric("test", "rms_calibration_error", rms)
        record.metric("test", "brier", brier_score(probabilities, targets))
        record.metric("test", "nll", negative_log_likelihood(probabilities, targets))
