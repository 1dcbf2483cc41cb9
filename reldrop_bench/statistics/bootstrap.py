"""Bootstrap intervals, stratified by setting: the runs of a setting are drawn anew among themselves.

The settings themselves are kept: an interval says how sure an aggregate is for these tasks, not for
others. `coverage.bootstrap_coverage` measures what the intervals cover.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.verdicts import TAIL

Method = Literal["automatic", "expanded"]
MOST_STUDENTISED = 40
"""Runs of all settings together up to which the studentised bootstrap is the automatic choice."""

Statistic = Callable[[list[np.ndarray]], np.ndarray]
"""From a list with an array (..., n_t) a setting to (...)."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


def studentised_pays(counts: Sequence[int]) -> bool:
    """Return whether `method="automatic"` tries the studentised bootstrap, given runs a setting.

    It covers best for the mean and the interquartile mean of few runs (measured by
    `coverage.bootstrap_coverage`). It is tried up to `MOST_STUDENTISED` runs, as it costs a
    jackknife a resample, and only where resamples without any spread are rare: they are what makes
    it wide or unbounded.
    """
    sizes = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    without_spread = np.exp(((1 - sizes) * np.log(sizes)).sum())
    return bool(without_spread <= TAIL / 10 and sizes.sum() <= MOST_STUDENTISED)


def bootstrap_interval(
    runs: Sequence[ArrayLike],
    statistic: Statistic,
    method: Method = "automatic",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a statistic of runs, an array (n_t,) a setting.

    statistic: takes a list of arrays (..., n_t), returns (...); those of `aggregates` do. A setting
    of one run adds no spread. The order of the runs has no influence; that of the settings decides
    which random numbers they get.

    method:
      expanded: quantiles of the resampled statistic, more extreme ones than 2.5 % and 97.5 %, which
        would be too narrow: a resample of n scatters by √((n - 1) / n) less than a new experiment,
        and the variance is unknown (Hesterberg, The American Statistician 69 (2015), section 4.1).
      automatic: quantiles of (resampled - observed) / its own jackknife error ("studentised"), where
        `studentised_pays` and they are bounded, else expanded. A resample without any spread counts
        as infinitely far.

    Raises
    ------
    ValueError
        No setting, a setting without a run, a value that is not finite: decide before what is to
        become of a missing run.
    """
    strata = checked(runs)
    batch, random = [run[None] for run in strata], np.random.default_rng(seed)
    low, high = bounds(batch, statistic, method, resamples, random)
    return Interval(float(low[0]), float(high[0]))


def checked(runs: Sequence[ArrayLike]) -> list[np.ndarray]:
    """Return the runs (n_t,) of each setting in rising order; see `bootstrap_interval`."""
    strata = [np.sort(np.asarray(run, dtype=np.float64)) for run in runs]
    if not strata:
        raise ValueError("no setting: there is nothing to resample")
    for number, run in enumerate(strata):
        if run.ndim != 1 or not len(run) or not np.isfinite(run).all():
            raise ValueError(f"setting {number} needs one or more finite runs, it has {run}")
    return strata


def resample(
    runs: Sequence[np.ndarray], resamples: int, random: np.random.Generator
) -> list[np.ndarray]:
    """Draw runs (B, n_t) with replacement within each setting; returns arrays (B, resamples, n_t)."""
    drawn = []
    for run in runs:
        batch, n = run.shape
        picked = random.integers(n, size=(batch, resamples, n))
        drawn.append(np.take_along_axis(run[:, None, :], picked, axis=-1))
    return drawn


def bounds(
    runs: Sequence[np.ndarray],
    statistic: Statistic,
    method: Method,
    resamples: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high (B,) of B independent data sets at once, runs (B, n_t) a setting."""
    drawn = resample(runs, resamples, random)
    values = statistic(drawn)
    counts = [run.shape[-1] for run in runs]
    ordered = np.sort(values, axis=-1)
    low, high = (_quantile(ordered, level) for level in _expanded(counts))
    if method == "expanded" or not studentised_pays(counts):
        return low, high
    studentised = _studentised(runs, statistic, drawn, values)
    bounded = np.isfinite(studentised).all(axis=0)
    return np.where(bounded, studentised[0], low), np.where(bounded, studentised[1], high)


def _quantile(ordered: np.ndarray, level: float) -> np.ndarray:
    """Return the quantile (B,) of each row of `ordered` (B, R), interpolated."""
    place = level * (ordered.shape[-1] - 1)
    below = int(place)
    low, high = ordered[:, below], ordered[:, min(below + 1, ordered.shape[-1] - 1)]
    return low + (place - below) * (high - low)


def _expanded(counts: Sequence[int]) -> tuple[float, float]:
    """Return the two levels at which the quantiles of few runs are as wide as a t interval."""
    sizes = np.array([n for n in counts if n > 1], dtype=np.float64)
    if not len(sizes):
        return TAIL, 1 - TAIL
    wider = np.sqrt((1 / (sizes - 1)).sum() / (1 / sizes).sum())
    critical = scipy.special.stdtrit((sizes - 1).sum(), 1 - TAIL)
    return float(scipy.special.ndtr(-wider * critical)), float(scipy.special.ndtr(wider * critical))


def leave_one_out(runs: Sequence[np.ndarray], statistic: Statistic) -> list[np.ndarray]:
    """Return by setting the statistic without each of its runs in turn, (..., n_t).

    runs: (..., n_t). A setting of one run gives the statistic itself.
    """
    found = []
    for place, run in enumerate(runs):
        n = run.shape[-1]
        if n == 1:
            found.append(statistic(list(runs))[..., None])
            continue
        kept = np.array([[other for other in range(n) if other != left] for left in range(n)])
        changed = [
            run[..., kept]
            if other == place
            else np.broadcast_to(whole[..., None, :], (*whole.shape[:-1], n, whole.shape[-1]))
            for other, whole in enumerate(runs)
        ]
        found.append(statistic(changed))
    return found


def jackknife_error(runs: Sequence[np.ndarray], statistic: Statistic) -> np.ndarray:
    """Return the stratified jackknife's standard error of a statistic, (...), of runs (..., n_t)."""
    variance = [(left.shape[-1] - 1) * left.var(axis=-1) for left in leave_one_out(runs, statistic)]
    return np.sqrt(np.sum(variance, axis=0))


def _studentised(
    runs: Sequence[np.ndarray], statistic: Statistic, drawn: list[np.ndarray], values: np.ndarray
) -> np.ndarray:
    """Return low and high (2, B) from what was drawn and its statistic (B, R); infinite: unbounded."""
    observed = statistic(list(runs))
    error = jackknife_error(runs, statistic)
    distance = values - observed[:, None]
    spread = jackknife_error(drawn, statistic)
    # Equal runs give errors and distances of 0 only up to rounding.
    tiny = 1e-9 * np.maximum(error, 1e-300)[:, None]
    distance[np.abs(distance) <= tiny] = 0.0
    far = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
    pivot = np.where(spread > tiny, distance / np.where(spread > tiny, spread, 1.0), far)
    # No interpolation: it has no meaning between a finite and an infinite value.
    ends = np.quantile(pivot, [1 - TAIL, TAIL], axis=-1, method="inverted_cdf")
    varies = error > 1e-12 * np.maximum(1.0, np.abs(observed))
    with np.errstate(invalid="ignore"):
        return np.where(varies, observed - ends * error, observed)
