"""Equivalence: a test that lets "no difference that matters" be claimed, not only not be denied."""

import numpy as np
import scipy
from numpy.typing import ArrayLike


def equivalence_p(
    mean: ArrayLike, error: ArrayLike, df: ArrayLike, margin: ArrayLike
) -> float | np.ndarray:
    """Return the p of two one-sided t tests (TOST): small says |difference| < margin.

    mean, error, df: difference, its standard error and degrees of freedom, any shapes that
    broadcast, as `overall_difference` gives them; the result is a float where all are scalars.
    NaN or an error of 0 (nothing to test with): NaN. Below 0.05 is the same as: the 90 %
    interval lies within ±margin.
    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).

    Raises
    ------
    ValueError
        The margin is not positive.
    """
    width = np.asarray(margin, dtype=np.float64)
    if not (width > 0).all():
        raise ValueError(f"an equivalence margin is positive, not {margin!r}")
    middle, spread, freedom = (np.asarray(part, dtype=np.float64) for part in (mean, error, df))
    with np.errstate(divide="ignore", invalid="ignore"):
        # The nearer of the two bounds gives the larger p.
        p = scipy.special.stdtr(freedom, (np.abs(middle) - width) / spread)
        p = np.where(spread > 0, p, np.nan)
    return float(p) if p.ndim == 0 else p
