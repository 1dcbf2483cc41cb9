"""Sign-flip permutation test: what the differences say without assuming that they are normal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from reldrop_bench.statistics.overall import complete_pairs

EXACT_PAIRS = 16
"""Up to so many pairs all 2^pairs signs are tried, beyond that a random sample of them."""
_BLOCK = 2**21
"""Numbers that are held at once."""


@dataclass(frozen=True)
class SignFlip:
    """Result of a sign-flip test; p is NaN without a complete pair or if no pair differs."""

    p: float
    """Two-sided, not adjusted."""
    smallest_p: float
    """The least p that these pairs could give: at or above the level, nothing is significant."""
    exact: bool
    """All signs were tried, not a random sample."""


def sign_flip(groups: Sequence[ArrayLike], resamples: int = 20_000, seed: int = 0) -> SignFlip:
    """Test "the method and the baseline are exchangeable" on an array (n_t,) of pairs a setting.

    If they are, every difference could as well have had the other sign. The statistic is the size
    of the mean over settings of their means; the settings that count are those of
    `overall_difference`. NaN stands for an incomplete pair. Independent of any order and of which
    of the two is subtracted. resamples: random signs, where there are too many pairs for all.
    Source: Fisher, The Design of Experiments (1935), section 21; Phipson & Smyth, Statistical
    Applications in Genetics and Molecular Biology 9 (2010) for the sampled p.
    """
    kept, _ = complete_pairs(groups)
    if not kept:
        return SignFlip(np.nan, 1.0, True)
    parts = np.concatenate([values / (len(kept) * len(values)) for values in kept])
    exact = len(parts) <= EXACT_PAIRS
    smallest = 2.0 ** (1 - np.count_nonzero(parts)) if parts.any() else 1.0
    if not exact:
        smallest = max(smallest, 1 / (resamples + 1))
    p = float(sign_flip_p(parts, resamples, seed)) if parts.any() else np.nan
    return SignFlip(p, float(smallest), exact)


def sign_flip_p(parts: ArrayLike, resamples: int = 20_000, seed: int = 0) -> np.ndarray:
    """Return the two-sided p (...) of the sums of parts (..., m) under random signs.

    parts: what each pair adds to the statistic. p is the share of signs whose sum is as far from 0
    as the one found; a sampled p counts the signs found as one more, so it is never 0.
    """
    parts = np.asarray(parts, dtype=np.float64)
    size = np.sort(np.abs(parts), axis=-1)  # the signs' distribution depends on nothing else
    # Sums that are equal but for rounding count as equal.
    least = np.abs(parts.sum(axis=-1)) - 1e-10 * size.sum(axis=-1)
    pairs = parts.shape[-1]
    signs = _signs(pairs, resamples, seed)
    block = max(1, _BLOCK // max(least.size, pairs))
    reached = np.zeros(least.shape, dtype=np.int64)
    for start in range(0, len(signs), block):
        sums = size @ signs[start : start + block].T.astype(np.float64)
        reached += (np.abs(sums) >= least[..., None]).sum(axis=-1)
    if pairs <= EXACT_PAIRS:
        return reached / len(signs)
    return (reached + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _signs(pairs: int, resamples: int, seed: int) -> np.ndarray:
    """Return signs (r, pairs), -1 or 1: all there are, up to a common sign, or a random sample."""
    if pairs <= EXACT_PAIRS:
        heads = (np.arange(2 ** (pairs - 1))[:, None] >> np.arange(pairs)) & 1
    else:
        shape = (resamples, pairs)
        heads = np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8)
    return (1 - 2 * heads).astype(np.int8)
