"""Adjust p-values for the number of comparisons in their family."""

import numpy as np
import scipy
from numpy.typing import ArrayLike


def holm(p: ArrayLike) -> np.ndarray:
    """Adjust the p-values (..., m) of families of m by Holm's step-down method.

    All adjusted values below a level: the chance of one wrong rejection or more in a family is at
    most that level, however its members depend on each other. A NaN (a comparison that was planned
    and could not be tested) counts as a member with p = 1, so that a hole never makes another
    verdict easier; it stays NaN.
    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    values, filled = _filled(p)
    members = filled.shape[-1]
    order = np.argsort(filled, axis=-1, kind="stable")
    steps = np.take_along_axis(filled, order, axis=-1) * np.arange(members, 0, -1)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=-1), axis=-1)
    return np.where(np.isnan(values), np.nan, np.minimum(adjusted, 1.0))


def benjamini_hochberg(p: ArrayLike) -> np.ndarray:
    """Adjust the p-values (..., m) of families of m to bound the false discovery rate.

    For exploration only: of the members below a level, that share is expected to be wrong (where
    they are independent or positively dependent). NaN as in `holm`.
    Source: Benjamini & Hochberg, Journal of the Royal Statistical Society B 57 (1995).
    """
    values, filled = _filled(p)
    if not filled.size:  # scipy knows no empty family
        return filled
    return np.where(np.isnan(values), np.nan, scipy.stats.false_discovery_control(filled, axis=-1))


def _filled(p: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the values, and the same with 1 for NaN."""
    values = np.asarray(p, dtype=np.float64)
    return values, np.where(np.isnan(values), 1.0, values)
