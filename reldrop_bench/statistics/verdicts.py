"""The one word that a comparison ends with."""

import math

LEVEL = 0.05
"""Of significance: what is called a difference, and what the other tests are read at."""
TAIL = (1 - 0.95) / 2
"""What an interval leaves out on either side: all of them are nominally 95 % ones."""


def verdict(
    mean: float,
    p: float,
    p_equivalence: float = math.nan,
    direction: str = "higher",
    level: float = LEVEL,
) -> str:
    """Return better, worse, equivalent, unclear or "no measure" for a difference to the baseline.

    mean: the difference; NaN: no measure. p: of the test for a difference, adjusted for
    what it is one of; NaN: no test. p_equivalence: of the equivalence test, likewise.
    direction: "higher" or "lower" is better, or "neither": then the words are higher and lower.

    Where both tests reject (a difference, and a smaller one than the margin), the word is better or
    worse: a difference that was found is not hidden behind the margin.
    """
    if math.isnan(mean):
        return "no measure"
    if p < level and mean != 0:  # a comparison with NaN is false: no test, no claim
        words = ("higher", "lower") if direction == "neither" else ("better", "worse")
        return words[bool(mean > 0) == (direction == "lower")]
    return "equivalent" if p_equivalence < level else "unclear"
