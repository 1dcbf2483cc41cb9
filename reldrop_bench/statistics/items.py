"""Differences over test items: do *these* models differ? Never to be pooled with seeds.

A test on items knows one training of each model. It says that two given models differ on inputs like
these, not that a method trains better models: that is a question about seeds.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.bootstrap import Interval
from reldrop_bench.statistics.verdicts import TAIL

_CHUNK = 1_000_000
_FEW_VALUES = 100


@dataclass(frozen=True)
class McNemar:
    """Two models on the same items."""

    n: int
    only_first: int
    """Items that the first model alone has right."""
    only_second: int
    p: float
    """Exact: two-sided binomial test on the items where they differ. 1 where they never do."""


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Compare two models by what they have right: (N,) of booleans (or 0 and 1) each, same items.

    Source: McNemar, Psychometrika 12 (1947).

    Raises
    ------
    ValueError
        The two have different lengths, or values other than 0 and 1.
    """
    right = _binary(np.stack(_same_length(first, second), axis=1))
    only_first = int((right[:, 0] & ~right[:, 1]).sum())
    only_second = int((right[:, 1] & ~right[:, 0]).sum())
    count, fewer = only_first + only_second, min(only_first, only_second)
    p = min(1.0, 2 * float(scipy.special.bdtr(fewer, count, 0.5))) if count else 1.0
    return McNemar(len(right), only_first, only_second, p)


@dataclass(frozen=True)
class CochranQ:
    """k models on the same items: is any different from the others?"""

    n: int
    informative: int
    """Items that some models have right and others wrong; the others tell nothing."""
    models: int
    q: float
    df: int
    p: float
    """From the chi-square distribution with k - 1 degrees of freedom; 1 where no item tells."""


def cochran_q(right: ArrayLike) -> CochranQ:
    """Compare k models by what they have right, (N, k) of booleans (or 0 and 1).

    An approximation for many informative items (24 or more entries in informative rows is the usual
    advice). With two models it is McNemar's chi-square without continuity correction.
    Source: Cochran, Biometrika 37 (1950).

    Raises
    ------
    ValueError
        Fewer than two models, or values other than 0 and 1.
    """
    table = _binary(np.asarray(right)).astype(np.int64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"two or more models needed: (N, k), not {table.shape}")
    n, k = table.shape
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    spread = int((rows * (k - rows)).sum())
    informative = int(((rows > 0) & (rows < k)).sum())
    if spread == 0:
        return CochranQ(n, 0, k, 0.0, k - 1, 1.0)
    q = float((k - 1) * (k * (columns**2).sum() - columns.sum() ** 2) / spread)
    return CochranQ(n, informative, k, q, k - 1, float(scipy.special.chdtrc(k - 1, q)))


def item_bootstrap(differences: ArrayLike, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the 95 % percentile interval of the mean of paired differences (N,), one a test item.

    Items are drawn with replacement; with the thousands that a test split has, the percentile
    interval covers what it says. The order of the items has no influence.

    Raises
    ------
    ValueError
        No item, or a value that is not finite.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("an item bootstrap needs one or more finite differences (N,)")
    means = _resampled_means(values, resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [TAIL, 1 - TAIL])
    return Interval(float(low), float(high))


def _resampled_means(values: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Return the means (resamples,) of values (N,) drawn with replacement."""
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW_VALUES:
        # How often each is drawn is multinomial, and there are but three for right and wrong.
        return random.multinomial(n, counts / n, size=resamples) @ distinct / n
    values = np.sort(values)
    rows = max(1, _CHUNK // n)
    sizes = [min(rows, resamples - done) for done in range(0, resamples, rows)]
    drawn = [values[random.integers(n, size=(size, n))].mean(axis=1) for size in sizes]
    return np.concatenate(drawn)


def _same_length(first: ArrayLike, second: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"items of two models have to be the same: {one.shape} and {other.shape}")
    return one, other


def _binary(values: np.ndarray) -> np.ndarray:
    if not np.isin(values, (0, 1)).all():
        raise ValueError("right or wrong is 1 or 0; other values (NaN, too) have no meaning here")
    return values.astype(bool)
