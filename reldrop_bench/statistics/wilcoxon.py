"""Wilcoxon's signed-rank test over tasks, exact also with ties and zeros.

One difference a task, whatever its scale: the test asks whether a method is better on more tasks,
and by more, than chance would have it, on tasks like these.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.ranks import without_rounding
from reldrop_bench.statistics.wording import by_number, counted

EXACT = 100
"""Up to so many differences the distribution of the rank sum is counted out."""


@dataclass(frozen=True)
class Wilcoxon:
    """Result of a signed-rank test; NaN stands for "cannot be computed", `note` says why."""

    n: int
    """Differences, those of 0 included."""
    statistic: float
    """The smaller of the rank sums of both signs; the ranks of zeros are split between them."""
    p: float
    """Two-sided, not adjusted."""
    smallest_p: float
    """The least p that so many differences other than 0 can give."""
    note: str = ""


def wilcoxon(differences: ArrayLike) -> Wilcoxon:
    """Test whether differences (T,) are symmetric about 0; NaN stands for a missing one.

    Zeros take part in the ranking and say nothing about the sign (Pratt, Journal of the American
    Statistical Association 54, 1959; Demšar's way of splitting their ranks gives the same p). Up to
    100 differences p is exact for the ranks and ties found; beyond that it is from the normal
    approximation with their variance. Differences that are equal but for rounding tie. An infinite
    one (a missing score counted as the worst) ranks last.
    """
    values = np.asarray(differences, dtype=np.float64)
    missing = int(np.isnan(values).sum())
    values = without_rounding(values[~np.isnan(values)])
    notes = [f"{missing} of {missing + len(values)} left out: no score"] if missing else []
    if len(values) == 0:
        return Wilcoxon(0, np.nan, np.nan, 1.0, "; ".join([*notes, "no difference to test"]))
    ranks = scipy.stats.rankdata(np.abs(values))
    zeros = int((values == 0).sum())
    if zeros == len(values):
        return Wilcoxon(
            len(values), np.nan, np.nan, 1.0, "; ".join([*notes, "every difference is 0"])
        )
    if zeros:
        are = by_number(zeros, "is", "are")
        notes.append(f"{counted(zeros, 'difference', total=len(values))} {are} 0")
    above, below = (float(ranks[side].sum()) for side in (values > 0, values < 0))
    statistic = min(above, below) + float(ranks[values == 0].sum()) / 2
    signed = np.sort(ranks[values != 0])
    if len(values) <= EXACT:
        # Ranks are whole or half numbers.
        doubled = tuple(np.rint(2 * signed).astype(int).tolist())
        p = 2 * float(_cumulative(doubled)[round(2 * min(above, below))])
    else:
        notes.append("p by the normal approximation")
        p = 2 * float(scipy.special.ndtr(-abs(above - below) / np.sqrt((signed**2).sum())))
    smallest = 2.0 ** (1 - len(signed))
    return Wilcoxon(len(values), statistic, min(p, 1.0), smallest, "; ".join(notes))


def many_to_one(scores: ArrayLike, baseline: int) -> list[Wilcoxon]:
    """Test every label of scores (T, k) against column `baseline`.

    Returns k - 1 results, of the other columns in their order, each of "column - baseline" on the
    tasks that have both scores; it depends on these two columns alone. p is not adjusted (`holm`).
    """
    values = np.asarray(scores, dtype=np.float64)
    others = [column for column in range(values.shape[1]) if column != baseline]
    return [wilcoxon(_difference(values, column, baseline)) for column in others]


def all_pairs(scores: ArrayLike) -> dict[tuple[int, int], Wilcoxon]:
    """Test every two labels i < j of scores (T, k); the results are of "column i - column j"."""
    values = np.asarray(scores, dtype=np.float64)
    pairs = combinations(range(values.shape[1]), 2)
    return {(i, j): wilcoxon(_difference(values, i, j)) for i, j in pairs}


def _difference(values: np.ndarray, first: int, second: int) -> np.ndarray:
    """Return the difference (T,) of two columns; two infinite scores (both the worst) differ by 0."""
    one, other = values[:, first], values[:, second]
    with np.errstate(invalid="ignore"):
        return np.where(one == other, 0.0, one - other)


@lru_cache(maxsize=4096)
def _cumulative(ranks: tuple[int, ...]) -> np.ndarray:
    """Return P(sum ≤ s), s = 0, 1, …, of the sum of the ranks whose fair coin shows heads."""
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    return np.cumsum(chances)
