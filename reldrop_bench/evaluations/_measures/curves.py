"""Numbers from curves: areas, the symmetric relevance gain and mean corruption errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def area(values: ArrayLike, x: ArrayLike) -> np.ndarray:
    """Return the mean height of curves by trapezoids, their area over the width of x.

    values (..., P) at the growing places x (P,), P >= 2. Returns (...) float64, in the unit of the
    values: a curve that is constantly c has the area c.

    Raises
    ------
    ValueError
        x does not grow, or has less than two places.
    """
    height, place = np.asarray(values, dtype=np.float64), np.asarray(x, dtype=np.float64)
    step = np.diff(place)
    if len(place) < 2 or not (step > 0).all():
        raise ValueError(f"x = {place.tolist()}: give two or more places that grow")
    middle = (height[..., 1:] + height[..., :-1]) / 2
    return middle @ step / (place[-1] - place[0])


def normalised_area(values: ArrayLike, x: ArrayLike, clean: float) -> np.ndarray:
    """Return `area` over the clean value, 1 where a curve never falls below it.

    Raises
    ------
    ValueError
        The clean value is 0: nothing can fall from there.
    """
    if clean <= 0:
        raise ValueError(f"clean = {clean}: an area is normalised by a positive value")
    return area(values, x) / clean


def symmetric_relevance_gain(
    least_first: ArrayLike, most_first: ArrayLike, x: ArrayLike
) -> np.ndarray:
    """Return SRG, the mean over the hidden fraction of the curve LRF - MRF (by trapezoids).

    least_first, most_first (..., P): what remains of accuracy or of the target's probability while
    the least or the most relevant elements are hidden first; x (P,) fractions. Returns (...), from
    -1 to 1: 0 for an explanation at random, negative for one that is upside down. What a fill does
    to a model by itself cancels out. Blücher et al. 2024, arXiv 2401.06654.
    """
    difference = np.asarray(least_first, dtype=np.float64) - np.asarray(most_first, np.float64)
    return area(difference, x)


def mean_corruption_error(accuracy: ArrayLike, reference: ArrayLike) -> float:
    """Return mCE, the mean over corruptions of the error relative to a reference model's.

    accuracy, reference (corruptions, severities) in [0, 1]. 1 is as good as the reference, lower is
    better: mean_c of sum_s (1 - OA) / sum_s (1 - OA_reference). Hendrycks & Dietterich 2019, arXiv
    1903.12261; for clouds Ren et al. 2022, arXiv 2202.03377.

    Raises
    ------
    ValueError
        The shapes differ, or the reference has no error under some corruption.
    """
    own, other = _pair(accuracy, reference)
    return _mean_ratio(1 - own, 1 - other, "makes no error")


def relative_mean_corruption_error(
    accuracy: ArrayLike, reference: ArrayLike, clean: float, reference_clean: float
) -> float:
    """Return relative mCE: as `mean_corruption_error`, of the loss of accuracy instead of the error.

    accuracy, reference (corruptions, severities), clean and reference_clean the accuracies without
    corruption: mean_c of sum_s (OA_clean - OA) / sum_s (OA_reference_clean - OA_reference).
    Sources as there.

    Raises
    ------
    ValueError
        The shapes differ, or the reference loses nothing under some corruption.
    """
    own, other = _pair(accuracy, reference)
    return _mean_ratio(clean - own, reference_clean - other, "loses nothing")


def _pair(accuracy: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    own, other = (np.asarray(each, dtype=np.float64) for each in (accuracy, reference))
    if own.shape != other.shape or own.ndim != 2 or not own.size:
        raise ValueError(
            f"accuracies of shapes {own.shape} and {other.shape}: "
            "give (corruptions, severities) twice"
        )
    return own, other


def _mean_ratio(own: np.ndarray, other: np.ndarray, nothing: str) -> float:
    own, other = own.sum(1), other.sum(1)
    if (other <= 0).any():
        first = int(np.flatnonzero(other <= 0)[0])
        raise ValueError(f"the reference {nothing} under corruption {first}")
    return float((own / other).mean())
