"""What intervals called 95 % really cover, by simulation: the report prints it where it is less.

Differences (or scores) are simulated with a known truth; a coverage is the share of simulated
benchmarks whose interval holds it.
"""

from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from reldrop_bench.statistics import aggregates
from reldrop_bench.statistics.bootstrap import Method, bounds
from reldrop_bench.statistics.overall import stratified_t
from reldrop_bench.statistics.verdicts import TAIL

Shape = Literal["normal", "skewed", "heavy-tailed", "unequal"]
Aggregate = Literal["mean", "interquartile mean", "probability of improvement"]

_CHUNK = 1_000_000
"""Numbers that are held at once."""
_APART = 10.0
"""How far the settings of simulated scores lie apart, in standard deviations over seeds."""
_TRUTH_DRAWS = 200_000


def draw(shape: Shape, size: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """Draw noise of mean 0, size (repetitions, settings, n).

    normal: standard normal. skewed: lognormal with σ = 1. heavy-tailed: Student's t with 3 degrees of
    freedom. unequal: normal, with deviations from 0.1 to 10 over the settings.
    """
    if shape == "skewed":
        return random.lognormal(size=size) - np.exp(0.5)
    if shape == "heavy-tailed":
        return random.standard_t(3, size=size)
    noise = random.standard_normal(size)
    if shape == "unequal" and size[1] > 1:
        noise *= np.logspace(-1, 1, size[1])[:, None]
    return noise


def _check(n: int, settings: int, shape: str, fewest: int) -> None:
    if shape not in get_args(Shape):
        raise ValueError(f"shape = {shape!r} is none of {', '.join(get_args(Shape))}")
    if n < fewest or settings < 1:
        raise ValueError(f"n = {n} (≥ {fewest}) in {settings} settings (≥ 1) cannot be simulated")


@lru_cache(maxsize=1024)
def interval_coverage(
    n: int, settings: int = 1, shape: Shape = "normal", repetitions: int = 20_000, seed: int = 0
) -> float:
    """Return what the t interval of `overall.overall_difference` covers, n pairs a setting.

    The differences themselves have this shape (see `draw`); those of two methods that are in truth
    the same would be symmetric. Standard error at the default: 0.15 points.

    Raises
    ------
    ValueError
        An unknown shape, n < 2 or settings < 1.
    """
    _check(n, settings, shape, 2)
    random = np.random.default_rng(seed)
    rows = max(1, _CHUNK // (n * settings))
    covered = 0
    for start in range(0, repetitions, rows):
        count = min(rows, repetitions - start)
        differences = draw(shape, (count, settings, n), random)
        means, variances = differences.mean(axis=-1), differences.var(axis=-1, ddof=1)
        *_, p = stratified_t(means, variances, np.full(settings, n))
        covered += int((p >= 2 * TAIL).sum())
    return covered / repetitions


@lru_cache(maxsize=1024)
def bootstrap_coverage(
    n: int,
    settings: int = 1,
    aggregate: Aggregate = "mean",
    shape: Shape = "normal",
    repetitions: int = 400,
    resamples: int = 400,
    seed: int = 0,
) -> float:
    """Return what the bootstrap interval of an aggregate covers, n runs a setting.

    Scores scatter over seeds in this shape (see `draw`) around settings that lie further apart than
    their seeds. The truth is the aggregate of very many runs; two methods are in truth the same where
    the aggregate compares two. Intervals are those of `bootstrap_interval`, or of
    `aggregates.improvement_interval`. Standard error at the default: 1.1 points.

    Raises
    ------
    ValueError
        An unknown shape or aggregate, n < 1 or settings < 1.
    """
    _check(n, settings, shape, 1)
    if aggregate not in get_args(Aggregate):
        raise ValueError(f"aggregate = {aggregate!r} is none of {', '.join(get_args(Aggregate))}")
    two = aggregate == "probability of improvement"
    random = np.random.default_rng(seed)
    place = _APART * np.arange(settings, dtype=np.float64)[:, None]

    def statistic(runs: list[np.ndarray]) -> np.ndarray:
        if two:
            return aggregates.probability_of_improvement(runs[:settings], runs[settings:])
        return aggregates.mean(runs) if aggregate == "mean" else aggregates.interquartile_mean(runs)

    def scores(count: int, runs: int) -> list[np.ndarray]:
        """Return an array (count, runs) a setting, those of both methods one after the other."""
        drawn = [draw(shape, (count, settings, runs), random) + place for _ in range(1 + two)]
        return [part[:, number] for part in drawn for number in range(settings)]

    truth = {"mean": float(place.mean()), "probability of improvement": 0.5}.get(aggregate)
    if truth is None:
        truth = float(statistic(scores(1, _TRUTH_DRAWS))[0])
    method: Method = "expanded" if two else "automatic"
    held = n * settings * resamples * (2 if two else n)
    rows = max(1, _CHUNK // held)
    covered = 0
    for start in range(0, repetitions, rows):
        runs = scores(min(rows, repetitions - start), n)
        low, high = bounds(runs, statistic, method, resamples, random)
        covered += int(((low <= truth) & (truth <= high)).sum())
    return covered / repetitions
