from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from reldrop_bench.evaluations.calibration import (
    Calibration,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    rms_calibration_error,
)


@pytest.fixture
def predicted() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.dirichlet(np.full(4, 0.4), 730), rng.integers(4, size=730)


def two_classes(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and targets of given confidence (> .5) and correctness."""
    return np.stack([confidence, 1 - confidence], 1), np.where(correct, 0, 1)


def test_ece_by_hand():
    probabilities, targets = two_classes(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 0, 1, 1]))
    # One bin of confidence .9 and accuracy .5, one of confidence .6 and accuracy 1.
    assert expected_calibration_error(probabilities, targets) == pytest.approx(
        0.5 * 0.4 + 0.5 * 0.4
    )


def test_ece_is_that_of_torchmetrics(predicted):
    from torchmetrics.functional import classification  # takes seconds to import

    probabilities, targets = predicted
    expected = classification.multiclass_calibration_error(
        torch.tensor(probabilities), torch.tensor(targets), num_classes=4, n_bins=15, norm="l1"
    )
    ours = expected_calibration_error(probabilities, targets)
    assert ours == pytest.approx(float(expected), abs=1e-6)


def test_ece_counts_full_confidence_in_the_last_bin():
    probabilities, targets = two_classes(np.array([1.0, 0.99]), np.array([0, 1]))
    assert expected_calibration_error(probabilities, targets) == pytest.approx(abs(0.5 - 0.995))


def test_nll_is_sklearns_log_loss(predicted):
    probabilities, targets = predicted
    expected = log_loss(targets, probabilities, labels=range(4))
    assert negative_log_likelihood(probabilities, targets) == pytest.approx(expected)


def test_nll_stays_finite_for_an_impossible_target():
    probabilities, targets = two_classes(np.array([1.0]), np.array([False]))
    assert 700 < negative_log_likelihood(probabilities, targets) < 710


def test_brier_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    by_hand = ((0.3**2 + 0.2**2 + 0.1**2) + 2.0) / 2
    assert brier_score(probabilities, np.array([0, 1])) == pytest.approx(by_hand)


def test_brier_is_the_mean_squared_distance_to_one_hot(predicted):
    probabilities, targets = predicted
    expected = ((probabilities - np.eye(4)[targets]) ** 2).sum(1).mean()
    assert brier_score(probabilities, targets) == pytest.approx(expected)


def test_rms_error_counts_the_last_most_confident_bin():
    # 250 items: 100 of confidence .6 and accuracy .6, and 150 of confidence .9 that are all wrong.
    confidence = np.repeat([0.9, 0.6], [150, 100])
    correct = np.repeat([False, True, False], [150, 60, 40])
    probabilities, targets = two_classes(confidence, correct)
    assert rms_calibration_error(probabilities, targets) == pytest.approx(np.sqrt(0.6 * 0.9**2))


def test_rms_error_by_a_plain_loop(predicted):
    probabilities, targets = predicted
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == targets
    order = np.argsort(confidence)
    edges = [0, 100, 200, 300, 400, 500, 600, 730]
    total = 0.0
    for low, high in itertools.pairwise(edges):
        part = order[low:high]
        total += len(part) / 730 * (correct[part].mean() - confidence[part].mean()) ** 2
    assert rms_calibration_error(probabilities, targets) == pytest.approx(np.sqrt(total))


def test_rms_error_of_fewer_items_than_a_bin_is_one_bin():
    probabilities, targets = two_classes(np.array([0.6, 0.8, 1.0]), np.array([1, 1, 0]))
    assert rms_calibration_error(probabilities, targets) == pytest.approx(abs(2 / 3 - 0.8))


def test_a_sure_and_right_model_is_perfectly_calibrated(context_of, cue_reader, measure):
    model = cue_reader((0, 1, 2, 3))
    model.linear.weight.data *= 1000
    values = measure(Calibration(), context_of(model)).set_index("metric")["value"]
    assert list(values.index) == ["ece", "rms_calibration_error", "brier", "nll"]
    np.testing.assert_allclose(values, 0, atol=1e-12)
