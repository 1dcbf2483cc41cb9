"""The one word that a comparison ends with."""

from __future__ import annotations

import numpy as np


def verdict(
    mean: float | None,
    p: float | None,
    p_equivalence: float | None = np.nan,
    direction: str = "higher",
    level: float = 0.05,
) -> str:
    """Return better, worse, equivalent, unclear or "no measure" for a difference to the baseline.

    mean: the difference; None or NaN: no measure. p: of the test for a difference, adjusted for
    what it is one of; None or NaN: no test. p_equivalence: of the equivalence test, likewise.
    direction: "higher" or "lower" is better.

    Where both tests reject (a difference, and a smaller one than the margin), the word is better or
    worse: a difference that was found is not hidden behind the margin.
    """
    mean, p, p_equivalence = (
        np.nan if value is None else float(value) for value in (mean, p, p_equivalence)
    )
    if np.isnan(mean):
        return "no measure"
    if p < level and mean != 0:  # a comparison with NaN is false: no test, no claim
        return "better" if (mean > 0) == (direction != "lower") else "worse"
    return "equivalent" if p_equivalence < level else "unclear"
