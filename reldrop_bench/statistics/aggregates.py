"""Many runs in one number: aggregates over settings and seeds that are fair to few runs.

Everywhere, `runs` is a list with an array (..., n_t) a setting: n_t runs (seeds) each, the same
leading shape in all (resamples, for example), over which everything is vectorised. Scores are such
that higher is better. Source: Agarwal et al., "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", NeurIPS 2021, arXiv 2108.13264.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from reldrop_bench.statistics.bootstrap import Interval, bootstrap_interval

Runs = Sequence[np.ndarray]


def mean(runs: Runs) -> np.ndarray:
    """Return the mean over settings of the mean over runs, (...): settings weigh equally."""
    return _over_settings([np.mean(run, axis=-1) for run in runs])


def interquartile_mean(runs: Runs) -> np.ndarray:
    """Return the mean of the middle half of all runs of all settings together, (...).

    Of N runs the ⌊N/4⌋ lowest and highest are left out.
    """
    pooled = np.sort(np.concatenate(list(runs), axis=-1), axis=-1)
    cut = pooled.shape[-1] // 4
    return pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)


def optimality_gap(runs: Runs, target: float = 1.0) -> np.ndarray:
    """Return how far the runs stay below a target on average, (...); more than it counts as it."""
    return target - mean([np.minimum(run, target) for run in runs])


def performance_profile(runs: Runs, thresholds: ArrayLike) -> np.ndarray:
    """Return the share of runs above each threshold (K,), averaged over settings, (..., K)."""
    limits = np.asarray(thresholds, dtype=np.float64)
    shares = [(np.asarray(run)[..., None] > limits).mean(axis=-2) for run in runs]
    return _over_settings(shares)


def probability_of_improvement(first: Runs, second: Runs) -> np.ndarray:
    """Return how likely a run of the first is above one of the second in the same setting, (...).

    Mean over settings of P(X > Y) + ½ P(X = Y) over all pairs of runs; X is from `first` (..., n_t),
    Y from `second` (..., m_t). Runs are not paired by seed. It says how often, not how much.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} settings of the first, {len(second)} of the second")
    shares = []
    for ours, other in zip(first, second, strict=True):
        x, y = np.asarray(ours)[..., :, None], np.asarray(other)[..., None, :]
        shares.append(((x > y).mean(axis=(-2, -1)) + (x >= y).mean(axis=(-2, -1))) / 2)
    return _over_settings(shares)


def improvement_interval(
    first: Runs, second: Runs, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Return the bootstrap interval of `probability_of_improvement`, runs (n_t,) and (m_t,).

    The runs of both are resampled independently, as they are compared. The method is "expanded":
    the jackknife of the studentised one is 0 in many resamples. Where every run of one is above
    every run of the other, all resamples agree and the interval collapses to 0 or 1, which says
    little where runs are few: see `coverage.bootstrap_coverage`.
    """
    count = len(first)
    if count != len(second):
        raise ValueError(f"{count} settings of the first, {len(second)} of the second")

    def statistic(both: list[np.ndarray]) -> np.ndarray:
        return probability_of_improvement(both[:count], both[count:])

    found = bootstrap_interval([*first, *second], statistic, "expanded", resamples, seed)
    return Interval(max(found.low, 0.0), min(found.high, 1.0))


def _over_settings(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(np.stack(values), axis=0)
