"""The interval that a verdict rests on: it says what the verdict says, and never something else.

Holm's method compares each p with a level of its own. The interval at that level leaves out 0 exactly
where the difference was called one (Serlin, Journal of Experimental Education 61, 1993; Ludbrook,
Clinical and Experimental Pharmacology and Physiology 27, 2000). It holds the unadjusted interval.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.student import student_quantile
from reldrop_bench.statistics.verdicts import LEVEL


def holm_divisors(p: ArrayLike, level: float = LEVEL) -> np.ndarray:
    """Return for each p (m,) of a family by what the level was divided where Holm decided on it.

    The k-th smallest of the rejected is compared with level / (m - k + 1); all that are not share the
    level of the step at which the method stopped. Equal p share theirs. A NaN counts as in
    `adjustment.holm`: a member that is not rejected. p < level / divisor is the same as: the
    adjusted p is below the level.
    """
    values = np.asarray(p, dtype=np.float64)
    filled = np.where(np.isnan(values), 1.0, values)
    ordered = np.sort(filled)
    # Of equal ones, the first decides: those after it are compared with less.
    steps = len(filled) - np.searchsorted(ordered, filled, side="left")
    kept = steps[filled * steps >= level]
    return np.maximum(steps, kept.max()) if len(kept) else steps


def decision_interval(
    mean: float,
    error: float,
    df: float,
    word: str,
    divisor: float,
    equivalence_divisor: float | None = None,
    level: float = LEVEL,
    least: float | None = None,
) -> tuple[float, float, float]:
    """Return low and high of the interval that a verdict rests on, and its nominal confidence.

    mean, error, df, least: of the t test, as `overall_difference` gives them (the least degrees of freedom
    are by default df). word: the verdict. divisor,
    equivalence_divisor: from `holm_divisors` of the tests for a difference and for equivalence; None
    where equivalence is not tested. NaN where nothing was tested (one pair, or equal differences).

    - a difference (better, worse, higher, lower): the two-sided interval at the level of the
      decision; it leaves out 0;
    - equivalent: that of the two one-sided tests at theirs (90 % where nothing is adjusted), extended to
      0; it lies within the margin (Hsu et al., Biometrika 81, 1994);
    - unclear: the wider of the two; it holds 0 and reaches the margin.
    """
    if not error > 0 or np.isnan(mean):
        return (np.nan,) * 3
    two_sided = level / divisor / 2
    one_sided = np.inf if equivalence_divisor is None else level / equivalence_divisor
    tail = {"equivalent": one_sided, "unclear": min(two_sided, one_sided)}.get(word, two_sided)
    half = float(student_quantile(tail, df, df if least is None else least)) * error
    low, high = mean - half, mean + half
    if word == "equivalent":
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high, 1 - 2 * tail


def standard_error(low: ArrayLike, high: ArrayLike, n: ArrayLike, tail: float) -> np.ndarray:
    """Return the standard errors behind t intervals of n pairs that leave out `tail` on either side.

    NaN where there is no interval, 0 where it is a point.
    """
    width = np.asarray(high, dtype=np.float64) - np.asarray(low, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return width / 2 / scipy.special.stdtrit(np.asarray(n, dtype=np.float64) - 1, 1 - tail)
