"""Bootstrap intervals, stratified by setting: the runs of a setting are drawn anew among themselves.

The settings themselves are kept: an interval says how sure an aggregate is for these tasks, not for
others. `coverage.bootstrap_coverage` measures what the intervals cover.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

Method = Literal["automatic", "percentile", "expanded", "bca", "studentised"]
MOST_STUDENTISED = 40
"""Runs of all settings together up to which the studentised bootstrap is the automatic choice."""

Statistic = Callable[[list[np.ndarray]], np.ndarray]
"""From a list with an array (..., n_t) a setting to (...)."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval and the method that was asked for; infinite where it is not bounded."""

    low: float
    high: float
    method: str


def studentised_pays(counts: Sequence[int], confidence: float = 0.95) -> bool:
    """Return whether `method="automatic"` tries the studentised bootstrap, given runs a setting.

    It covers best for the mean and the interquartile mean of few runs (measured by
    `coverage.bootstrap_coverage`; tests/statistics/test_coverage.py compares all methods). It is
    tried up to `MOST_STUDENTISED` runs, as it costs a jackknife a resample, and only where
    resamples without any spread are rare: they are what makes it wide or unbounded.
    """
    sizes = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    without_spread = np.exp(((1 - sizes) * np.log(sizes)).sum())
    return bool(without_spread <= (1 - confidence) / 20 and sizes.sum() <= MOST_STUDENTISED)


def bootstrap_interval(
    runs: Sequence[ArrayLike],
    statistic: Statistic,
    method: Method = "automatic",
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Return the bootstrap interval of a statistic of runs, an array (n_t,) a setting.

    statistic: takes a list of arrays (..., n_t), returns (...); those of `aggregates` do. A setting
    of one run adds no spread. The order of the runs has no influence; that of the settings decides
    which random numbers they get.

    method:
      percentile: quantiles of the resampled statistic. Too narrow for few runs: a resample scatters
        by √((n - 1) / n) less than a new experiment.
      expanded: the same at more extreme quantiles, which make up for that and for the unknown
        variance (Hesterberg, The American Statistician 69 (2015), section 4.1).
      bca: bias-corrected and accelerated (Efron, JASA 82 (1987)), acceleration by the stratified
        jackknife (Davison and Hinkley, Bootstrap Methods, 1997, section 5.3).
      studentised: quantiles of (resampled - observed) / its own jackknife error. A resample without
        any spread counts as infinitely far; the interval is unbounded where there are many such.
      automatic: studentised where `studentised_pays` and it is bounded, else expanded.

    Raises
    ------
    ValueError
        No setting, a setting without a run, a value that is not finite: decide before what is to
        become of a missing run.
    """
    strata = checked(runs)
    if method not in get_args(Method):
        raise ValueError(f"method = {method!r} is none of {', '.join(get_args(Method))}")
    batch, random = [run[None] for run in strata], np.random.default_rng(seed)
    low, high = bounds(batch, statistic, method, confidence, resamples, random)
    return Interval(float(low[0]), float(high[0]), method)


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
    confidence: float,
    resamples: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high (B,) of B independent data sets at once, runs (B, n_t) a setting."""
    tail = (1 - confidence) / 2
    drawn = resample(runs, resamples, random)
    values = statistic(drawn)
    observed = statistic(list(runs))
    counts = [run.shape[-1] for run in runs]
    studentised = None
    if method == "studentised" or (method == "automatic" and studentised_pays(counts, confidence)):
        studentised = _studentised(runs, statistic, drawn, values, observed, tail)
        if method == "studentised":
            return studentised
    batch = len(observed)
    levels = np.full((2, batch), [[tail], [1 - tail]])
    if method in ("automatic", "expanded"):
        levels = np.repeat(_expanded(tail, counts)[:, None], batch, axis=1)
    elif method == "bca":
        levels = _accelerated(runs, statistic, values, observed, tail)
    ordered = np.sort(values, axis=-1)
    low, high = _quantile(ordered, levels[0]), _quantile(ordered, levels[1])
    if studentised is None:
        return low, high
    bounded = np.isfinite(studentised).all(axis=0)
    return np.where(bounded, studentised[0], low), np.where(bounded, studentised[1], high)


def _quantile(ordered: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the quantile (B,) of each row of `ordered` (B, R) at its own level (B,), interpolated."""
    place = level * (ordered.shape[-1] - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, ordered.shape[-1] - 1)
    low, high = (np.take_along_axis(ordered, at[:, None], axis=-1)[:, 0] for at in (below, above))
    return low + (place - below) * (high - low)


def _expanded(tail: float, counts: Sequence[int]) -> np.ndarray:
    """Return the two levels at which the quantiles of few runs are as wide as a t interval."""
    sizes = np.array([n for n in counts if n > 1], dtype=np.float64)
    if not len(sizes):
        return np.array([tail, 1 - tail])
    wider = np.sqrt((1 / (sizes - 1)).sum() / (1 / sizes).sum())
    critical = special.stdtrit((sizes - 1).sum(), 1 - tail)
    return special.ndtr(np.array([-wider * critical, wider * critical]))


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
    runs: Sequence[np.ndarray],
    statistic: Statistic,
    drawn: list[np.ndarray],
    values: np.ndarray,
    observed: np.ndarray,
    tail: float,
) -> tuple[np.ndarray, np.ndarray]:
    error = jackknife_error(runs, statistic)
    distance = values - observed[:, None]
    spread = jackknife_error(drawn, statistic)
    # Equal runs give errors and distances of 0 only up to rounding.
    tiny = 1e-9 * np.maximum(error, 1e-300)[:, None]
    distance[np.abs(distance) <= tiny] = 0.0
    far = np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
    pivot = np.where(spread > tiny, distance / np.where(spread > tiny, spread, 1.0), far)
    # No interpolation: it has no meaning between a finite and an infinite value.
    low, high = np.quantile(pivot, [tail, 1 - tail], axis=-1, method="inverted_cdf")
    width = error > 1e-12 * np.maximum(1.0, np.abs(observed))
    with np.errstate(invalid="ignore"):
        return (
            np.where(width, observed - high * error, observed),
            np.where(width, observed - low * error, observed),
        )


def _accelerated(
    runs: Sequence[np.ndarray],
    statistic: Statistic,
    values: np.ndarray,
    observed: np.ndarray,
    tail: float,
) -> np.ndarray:
    """Return the levels (2, B) of BCa."""
    squares, cubes = np.zeros(len(observed)), np.zeros(len(observed))
    for left in leave_one_out(runs, statistic):
        n = left.shape[-1]
        influence = (n - 1) * (left.mean(axis=-1, keepdims=True) - left)
        squares += (influence**2).sum(axis=-1) / n**2
        cubes += (influence**3).sum(axis=-1) / n**3
    scale = np.where(squares > 0, squares, 1.0) ** 1.5
    acceleration = cubes / scale / 6
    tolerance = 1e-12 * np.maximum(1.0, np.abs(observed))[:, None]
    below = (values < observed[:, None] - tolerance).mean(axis=-1)
    equal = (np.abs(values - observed[:, None]) <= tolerance).mean(axis=-1)
    count = values.shape[-1]
    # Half a resample away from 0 and 1, where the correction would be infinite.
    share = np.clip(below + equal / 2, 0.5 / count, 1 - 0.5 / count)
    bias = special.ndtri(share)
    ends = bias + special.ndtri(np.array([[tail], [1 - tail]]))
    stretched = 1 - acceleration * ends
    moved = bias + ends / np.where(stretched > 0, stretched, np.nan)
    levels = special.ndtr(moved)
    # Beyond the pole of the correction nothing but the most extreme resample is left.
    return np.where(np.isnan(levels), np.array([[0.0], [1.0]]), levels)
