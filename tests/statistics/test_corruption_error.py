"""Corruption errors against hand-computed values and those that were published for ImageNet-C."""

from __future__ import annotations

import numpy as np
import pytest

from reldrop_bench.statistics.corruption_error import (
    mean_corruption_error,
    relative_mean_corruption_error,
)

# (corruptions, severities)
ACCURACY = np.array([[0.8, 0.6], [0.5, 0.1]])
BASELINE = np.array([[0.7, 0.5], [0.8, 0.6]])

# Hendrycks & Dietterich 2019: AlexNet's mean error under each corruption, and what ResNet-50's is in
# percent of it (table 1, rounded there).
ALEXNET = [
    *(0.886428, 0.894468, 0.922640),
    *(0.819880, 0.826268, 0.785948, 0.798360),
    *(0.866816, 0.826572, 0.819324, 0.564592),
    *(0.853204, 0.646056, 0.717840, 0.606500),
]
RESNET_50 = [80, 82, 83, 75, 89, 78, 80, 78, 75, 66, 57, 71, 85, 77, 77]


def test_the_mean_corruption_error_of_a_hand_example() -> None:
    # (.2 + .4) / (.3 + .5) = .75 and (.5 + .9) / (.2 + .4) = 7 / 3.
    error = mean_corruption_error(ACCURACY.mean(1), BASELINE.mean(1))
    assert error == pytest.approx((0.75 + 7 / 3) / 2)
    assert mean_corruption_error(BASELINE.mean(1), BASELINE.mean(1)) == pytest.approx(1)


def test_the_relative_mean_corruption_error_of_a_hand_example() -> None:
    # (.1 + .3) / (.2 + .4) = 2 / 3 and (.4 + .8) / (.1 + .3) = 3.
    error = relative_mean_corruption_error(ACCURACY.mean(1), BASELINE.mean(1), 0.9, 0.9)
    assert error == pytest.approx((2 / 3 + 3) / 2)


def test_the_published_errors_of_resnet_50() -> None:
    alexnet = 1 - np.array(ALEXNET)
    resnet = 1 - np.array(ALEXNET) * RESNET_50 / 100
    assert mean_corruption_error(resnet, alexnet) == pytest.approx(0.767, abs=0.005)
    relative = relative_mean_corruption_error(resnet, alexnet, 1 - 0.239, 1 - 0.435)
    assert relative == pytest.approx(1.050, abs=0.005)


def test_runs_are_computed_side_by_side() -> None:
    runs = np.stack([ACCURACY.mean(1), BASELINE.mean(1)])
    errors = mean_corruption_error(runs, BASELINE.mean(1))
    assert errors.tolist() == [mean_corruption_error(run, BASELINE.mean(1)) for run in runs]
    relative = relative_mean_corruption_error(runs, BASELINE.mean(1), [0.9, 0.95], 0.9)
    alone = [
        relative_mean_corruption_error(run, BASELINE.mean(1), clean, 0.9)
        for run, clean in zip(runs, [0.9, 0.95], strict=True)
    ]
    assert relative.tolist() == alone


def test_without_an_error_of_the_baseline_or_a_value_there_is_no_mean() -> None:
    assert np.isnan(mean_corruption_error([0.5, 0.5], [0.5, 1]))
    assert np.isnan(mean_corruption_error([0.5, np.nan], [0.5, 0.5]))
    assert np.isnan(relative_mean_corruption_error([0.5, 0.5], [0.5, 0.6], 0.6, 0.6))
    # A corruption that does the baseline good has no ratio that could be read.
    assert np.isnan(relative_mean_corruption_error([0.5, 0.5], [0.5, 0.7], 0.6, 0.6))
