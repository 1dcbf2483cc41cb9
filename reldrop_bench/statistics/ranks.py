"""Ranks of labels over tasks: Friedman's test, critical difference.

A task counts as one observation, so this asks "would it hold on other tasks like these?", and needs
many of them; seeds only make a task's score steadier.
Source: Demšar, Statistical comparisons of classifiers over multiple data sets, Journal of Machine
Learning Research 7 (2006).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.verdicts import LEVEL


@dataclass(frozen=True)
class Friedman:
    """Friedman's test of "all labels are alike"; NaN stands for "cannot be computed"."""

    chi_square: float = np.nan
    p: float = np.nan
    """Of chi_square, k - 1 degrees of freedom; too large where tasks are few."""
    f: float = np.nan
    """Iman and Davenport's statistic; infinite where all tasks rank the labels alike."""
    f_p: float = np.nan
    """Of f, with k - 1 and (k - 1)(T - 1) degrees of freedom: the one to go by."""


def complete(
    scores: ArrayLike, missing: Literal["intersection", "worst"] = "intersection"
) -> tuple[np.ndarray, np.ndarray]:
    """Make scores (T, k) complete by a named policy; return them with the numbers of the rows kept.

    missing: "intersection" leaves out every task that lacks a label's score; "worst" puts -inf for
    it, which ranks last, and leaves out only tasks without any.
    """
    values = np.array(scores, dtype=np.float64)
    holes = np.isnan(values)
    if missing == "intersection":
        kept = np.flatnonzero(~holes.any(axis=1))
    else:
        kept = np.flatnonzero(~holes.all(axis=1))
        values[holes] = -np.inf
    return values[kept], kept


def without_rounding(values: np.ndarray) -> np.ndarray:
    """Round values to 10 digits of the largest: means and differences that are equal on paper tie."""
    finite = np.abs(values[np.isfinite(values)])
    scale = float(finite.max()) if finite.size else 0.0
    if scale == 0:
        return values
    return np.round(values, 9 - math.floor(math.log10(scale)))


def average_ranks(scores: ArrayLike) -> np.ndarray:
    """Rank k labels within each task of scores (T, k), 1 is best; return their means (k,) over tasks.

    The larger score is better; ties share the mean of their ranks.

    Raises
    ------
    ValueError
        A score is missing: `complete` first, by a policy that the reader is told.
    """
    return _ranks(scores).mean(axis=0)


def friedman(scores: ArrayLike) -> Friedman:
    """Test whether the labels' ranks on scores (T, k) differ by more than chance.

    Corrected for ties, as by Friedman (1940); Demšar's formula, which is not, finds less where there
    are any. f and f_p are by Iman & Davenport, Communications in
    Statistics A 9 (1980). Where every task ranks the labels alike, f_p is the chance of that,
    (k!)^(1 - T). Fewer than two tasks or labels, or ties alone: NaN.

    Raises
    ------
    ValueError
        A score is missing: see `complete`.
    """
    ranks = _ranks(scores)
    tasks, labels = ranks.shape
    middle = (labels + 1) / 2
    # The variance of a task's ranks is (k² - 1) / 12 without ties, and smaller with them.
    variance = float(((ranks - middle) ** 2).sum())
    if tasks < 2 or labels < 2 or variance == 0:
        return Friedman()
    between = float(((ranks.mean(axis=0) - middle) ** 2).sum())
    chi_square = tasks**2 * (labels - 1) * between / variance
    p = float(scipy.special.chdtrc(labels - 1, chi_square))
    rest = tasks * (labels - 1) - chi_square
    if rest <= 1e-9 * tasks * labels:
        alike = math.exp((1 - tasks) * math.lgamma(labels + 1))
        return Friedman(chi_square, p, np.inf, alike)
    f = (tasks - 1) * chi_square / rest
    f_p = float(scipy.special.fdtrc(labels - 1, (labels - 1) * (tasks - 1), f))
    return Friedman(chi_square, p, f, f_p)


@cache
def critical_difference(labels: int, tasks: int, level: float = LEVEL) -> float:
    """Return how far two of k average ranks must lie apart to differ by Nemenyi's test.

    All pairs of k labels are one family. Infinite without a task, NaN for fewer than two labels.
    """
    if labels < 2:
        return float("nan")
    if tasks < 1:
        return float("inf")
    quantile = float(scipy.stats.studentized_range.ppf(1 - level, labels, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(labels * (labels + 1) / (6 * tasks))


def _ranks(scores: ArrayLike) -> np.ndarray:
    """Return the ranks (T, k) within rows of scores (T, k), 1 is best."""
    values = np.asarray(scores, dtype=np.float64)
    if np.isnan(values).any():
        row, column = np.argwhere(np.isnan(values))[0]
        raise ValueError(
            f"no score of label {column} in task {row}: ranks need complete() scores, made so by a "
            "policy that the reader is told"
        )
    if not values.size:
        return values
    values = np.stack([without_rounding(row) for row in values])
    return scipy.stats.rankdata(-values, axis=1)
