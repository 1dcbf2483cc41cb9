"""Bayesian signed-rank test: how probable it is that one method is better on another such task.

It takes settings as a sample of tasks, and needs baycomp (the extra `bayes`).
"""

import importlib.util
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 10_000
"""Draws from the posterior: a probability of one half is off by half a point."""


@dataclass(frozen=True)
class Posterior:
    """Probabilities that sum to 1."""

    better: float
    equivalent: float
    """The difference lies within ± margin."""
    worse: float


def available() -> bool:
    """Return whether baycomp is installed."""
    return importlib.util.find_spec("baycomp") is not None


def signed_rank_posterior(differences: ArrayLike, margin: float, seed: int = 0) -> Posterior:
    """Return how probable better, equivalent and worse are, of differences (T,), one a setting.

    Positive differences are in favour of the method. margin > 0: half the width of the region of
    practical equivalence. NaN (a setting without a difference) is left out. A prior observation of
    weight ½ lies at 0. Order has no influence; the same seed gives the same result.
    Source: Benavoli et al., "Time for a Change", JMLR 18 (2017), section 4.2.

    Raises
    ------
    ValueError
        No difference is left, or the margin is not positive.
    ModuleNotFoundError
        baycomp is not installed; see `available`.
    """
    values = np.asarray(differences, dtype=np.float64)
    values = np.sort(values[np.isfinite(values)])
    if values.ndim != 1 or not len(values):
        raise ValueError("a posterior needs the difference of one setting or more")
    if not margin > 0:
        raise ValueError(f"margin = {margin} is not positive")
    return _posterior(tuple(values), float(margin), seed)


@lru_cache(maxsize=4096)
def _posterior(values: tuple[float, ...], margin: float, seed: int) -> Posterior:
    from baycomp import SignedRankTest

    differences = np.array(values)
    # Left is where the first argument is higher: the method's gain stands against 0.
    weights = SignedRankTest.sample(
        np.zeros_like(differences), differences, margin, nsamples=DRAWS, random_state=seed
    )
    worse, equivalent, better = np.bincount(weights.argmax(axis=1), minlength=3) / DRAWS
    return Posterior(float(better), float(equivalent), float(worse))
