"""Equivalence: a test that lets "no difference that matters" be claimed, not only not be denied."""

import numpy as np
from numpy.typing import ArrayLike

from reldrop_bench.statistics.student import student_cdf


def equivalence_p(
    mean: ArrayLike,
    error: ArrayLike,
    df: ArrayLike,
    margin: ArrayLike,
    least: ArrayLike | None = None,
) -> float | np.ndarray:
    """Return the p of two one-sided t tests (TOST): small says |difference| < margin.

    mean, error, df, least: difference, its standard error and degrees of freedom (and the least there can
    be, by default the same), any shapes that broadcast, as `overall_difference` gives them; the result
    is a float where all are scalars.
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
        p = student_cdf(
            (np.abs(middle) - width) / spread, freedom, freedom if least is None else least
        )
        p = np.where(spread > 0, p, np.nan)
    return float(p) if p.ndim == 0 else p
