"""The error under corruption relative to a baseline's, over corruptions in one number.

Accuracies are in [0, 1], averaged over the severities of each corruption: the published formulas
divide sums over severities, which gives the same. For clouds see Ren et al. 2022, arXiv 2202.03377.
"""

import numpy as np
from numpy.typing import ArrayLike


def mean_corruption_error(accuracy: ArrayLike, baseline: ArrayLike) -> np.ndarray:
    """Return mCE, the mean over corruptions of the error divided by the baseline's, (...).

    accuracy, baseline (..., corruptions). 1 is as good as the baseline, lower is better. NaN where
    the baseline makes no error under some corruption, or an accuracy is missing (NaN). Hendrycks &
    Dietterich 2019, arXiv 1903.12261.
    """
    return _mean_ratio(1 - np.asarray(accuracy), 1 - np.asarray(baseline))


def relative_mean_corruption_error(
    accuracy: ArrayLike, baseline: ArrayLike, clean: ArrayLike, baseline_clean: ArrayLike
) -> np.ndarray:
    """Return relative mCE, as `mean_corruption_error` of the accuracy that corruption costs, (...).

    accuracy, baseline (..., corruptions); clean, baseline_clean (...), without corruption. NaN also
    where a corruption costs the baseline nothing.
    """
    lost = np.asarray(clean)[..., None] - np.asarray(accuracy)
    return _mean_ratio(lost, np.asarray(baseline_clean)[..., None] - np.asarray(baseline))


def _mean_ratio(own: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    divisor = np.where(baseline > 0, baseline, np.nan)
    return (own / divisor).mean(axis=-1)
