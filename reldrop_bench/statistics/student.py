"""Student's t over a standard error that is made of several variance estimates of few pairs each.

Welch and Satterthwaite's degrees of freedom take the estimates s²/n for the truth. Of few pairs each,
one setting that scatters more than the others looks like one of many just where its variance came out
too small, which is where a test rejects; the further out in the tail, the more so. The next term of
the exact series (Welch, Biometrika 34, 1947; Aspin, Biometrika 35, 1948) says how: it grows with z²/ν² and
vanishes where one setting has all the variance and where there are very many alike. So do the degrees of freedom
here. With `least` = ν = 1 / Σ (w / ν_t), w a setting's share of the variance, and h = Σ (w² / ν_t) ν between 0
(many alike) and 1 (one setting), Satterthwaite's are ν / h, and those at t are

    ν / (1 − (1 − h)^k),  k = 1 + max(0, z² − 1) / ν · ln(1 / h),  z² = ν ln(1 + t² / ν),

where z is t as a normal deviate (Wallace, Annals of Mathematical Statistics 30, 1959). They lie between ν, with
which the level is never exceeded for equal counts (Mickey & Brown, same Annals 37, 1966), and Satterthwaite's.
That the series goes on so is no theorem: docs/protocol.md has the levels, by simulation.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

_ROUNDS = 50
"""Of a search that takes about ten: a bound, so that it always ends."""
_CLOSE = 1e-12
"""Relative error of a tail that ends it."""


def degrees_of_freedom_at(t: ArrayLike, df: ArrayLike, least: ArrayLike) -> np.ndarray:
    """Return the degrees of freedom (...) that a statistic t is read with, from `least` to `df`.

    df, least: as `overall.degrees_of_freedom` gives them; equal ones are returned as they are.
    """
    t, df, least = (np.asarray(part, dtype=np.float64) for part in (t, df, least))
    h = np.minimum(least / df, 1.0)
    beyond = np.maximum(np.log1p(t**2 / least) - 1 / least, 0.0)
    return least / (1 - (1 - h) ** (1 - beyond * np.log(h)))


def student_cdf(t: ArrayLike, df: ArrayLike, least: ArrayLike) -> np.ndarray:
    """Return P(T <= t), any shapes that broadcast; it increases with t."""
    return scipy.special.stdtr(degrees_of_freedom_at(t, df, least), t)


def student_quantile(tail: ArrayLike, df: ArrayLike, least: ArrayLike) -> np.ndarray:
    """Return the t (...) that leaves out `tail` (below one half) on its side: the inverse of `student_cdf`."""
    tail, df, least = np.broadcast_arrays(*(np.asarray(part, float) for part in (tail, df, least)))
    # It lies between the two quantiles, where log p is almost a line in log t: regula falsi, with
    # Illinois's rule (an end that stays twice counts half), which no kink slows down.
    narrow, wide = (-scipy.special.stdtrit(part, tail) for part in (df, least))
    ends, before = [np.log(narrow), np.log(wide)], np.zeros(tail.shape)
    heights = [_log_excess(end, tail, df, least) for end in ends]
    for _ in range(_ROUNDS):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = heights[0] / (heights[0] - heights[1])
        middle = ends[0] + (ends[1] - ends[0]) * np.clip(np.nan_to_num(share), 0, 1)
        height = _log_excess(middle, tail, df, least)
        if not (np.abs(height) > _CLOSE).any():
            break
        side = np.sign(height)
        twice = np.where(side == before, 0.5, 1.0)
        above, before = height > 0, side
        heights = [
            np.where(above, height, heights[0] * twice),
            np.where(above, heights[1] * twice, height),
        ]
        ends = [np.where(above, middle, ends[0]), np.where(above, ends[1], middle)]
    return np.where(df <= least, wide, np.exp(middle))


def _log_excess(
    log_t: np.ndarray, tail: np.ndarray, df: np.ndarray, least: np.ndarray
) -> np.ndarray:
    return np.log(student_cdf(-np.exp(log_t), df, least)) - np.log(tail)
