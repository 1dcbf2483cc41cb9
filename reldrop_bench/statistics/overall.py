"""One difference over several settings: equal weights, each setting with a variance of its own.

A setting is a (task, model). The question is about seeds: "does the method train better models in
these settings?", not "would it on other tasks?" (that is what `ranks` and `wilcoxon` ask).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from reldrop_bench.statistics.student import student_cdf, student_quantile
from reldrop_bench.statistics.wording import counted

ROUNDING = 1e-12
"""A standard deviation below this share of the values (of 1, if they are smaller) is rounding."""


@dataclass(frozen=True)
class OverallDifference:
    """What all settings say together; NaN stands for "cannot be computed", `note` says why."""

    settings: int
    """Settings that everything else is computed from."""
    settings_expected: int
    n: int
    """Complete pairs in those settings."""
    n_expected: int
    """Pairs that the matrix holds, in all settings."""
    mean: float = np.nan
    """Mean over the settings of their mean differences."""
    low: float = np.nan
    high: float = np.nan
    """The t interval of the mean, not adjusted for multiple comparisons."""
    error: float = np.nan
    """Standard error of the mean."""
    df: float = np.nan
    """Satterthwaite's degrees of freedom."""
    df_least: float = np.nan
    """The least there can be; t is read with some between the two, see `student`."""
    p: float = np.nan
    """Two-sided t test of "the mean is 0", not adjusted."""
    note: str = ""


def overall_difference(groups: Sequence[ArrayLike], confidence: float = 0.95) -> OverallDifference:
    """Summarise differences, an array (n_t,) a setting; NaN stands for an incomplete pair.

    A setting with fewer than two complete pairs has no variance and is left out, which the note
    says; if that leaves none, the mean is over the settings with one pair, without an interval.
    With one setting this is the paired t test. It depends on these differences alone, not on their
    order, the settings' order or other methods. Differences that are equal within every setting
    (variance 0 up to rounding) leave the test undefined, as in `paired_difference`.
    """
    kept, n_expected = complete_pairs(groups)
    n = sum(map(len, kept))
    expected = (len(groups), n, n_expected)
    if not kept:
        return OverallDifference(0, *expected, note="no complete pair")
    notes = []
    if len(kept) < len(groups):
        left_out = len(groups) - len(kept)
        fewest = "fewer than two complete pairs" if len(kept[0]) > 1 else "no complete pair"
        notes.append(f"{counted(left_out, 'setting', total=len(groups))} left out: {fewest}")
    means = np.array([values.mean() for values in kept])
    if len(kept[0]) == 1:
        mean = float(np.sort(means).mean())
        where = "one pair" if len(kept) == 1 else "one pair a setting"
        note = "; ".join([*notes, f"{where}: no interval"])
        return OverallDifference(len(kept), *expected, mean, note=note)
    variances = np.array([_variance(values) for values in kept])
    counts = np.array([len(values) for values in kept])
    mean, error, df, least, p = (float(part) for part in stratified_t(means, variances, counts))
    if error == 0:
        what = "no pair differs" if abs(mean) <= ROUNDING else "all differences are equal"
        note = "; ".join([*notes, f"{what}: no t test"])
        return OverallDifference(len(kept), *expected, mean, mean, mean, 0.0, note=note)
    half = float(student_quantile(0.5 - confidence / 2, df, least)) * error
    return OverallDifference(
        len(kept), *expected, mean, mean - half, mean + half, error, df, least, p, "; ".join(notes)
    )


def stratified_t(
    means: ArrayLike, variances: ArrayLike, counts: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, standard error, both `degrees_of_freedom` and two-sided p of the mean over settings.

    means, variances: (..., T) of the differences within each of T settings (variances with ddof 1);
    counts: (T,) or (..., T) pairs, two or more each. The results have shape (...). The settings
    weigh the same and no variance is pooled: the error is sqrt(Σ s²/n) / T. Where every variance is
    0, degrees of freedom and p are NaN.
    """
    means = np.asarray(means, dtype=np.float64)
    shares = np.asarray(variances, dtype=np.float64) / np.asarray(counts, dtype=np.float64)
    # Sorted: a sum must not depend on the settings' order.
    mean = np.sort(means, axis=-1).mean(axis=-1)
    error = np.sqrt(np.sort(shares, axis=-1).sum(axis=-1)) / means.shape[-1]
    df, least = degrees_of_freedom(shares, counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.minimum(2 * student_cdf(-np.abs(mean) / error, df, least), 1.0)
    return mean, error, df, least, p


def degrees_of_freedom(shares: ArrayLike, counts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return two degrees of freedom, each (...), of a sum of variance estimates s²/n, `shares` (..., T).

    With w a setting's share of the sum and ν = n - 1: Satterthwaite's 1 / Σ (w² / ν) (Biometrics
    Bulletin 2, 1946), and the least there can be, 1 / Σ (w / ν). `student` reads t between the two;
    one setting has n - 1 of both. Where every variance is 0, they are NaN.
    """
    shares = np.asarray(shares, dtype=np.float64)
    free = np.asarray(counts, dtype=np.float64) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = shares / np.sort(shares, axis=-1).sum(axis=-1, keepdims=True)
        return (
            1 / np.sort(weights**2 / free, axis=-1).sum(axis=-1),
            1 / np.sort(weights / free, axis=-1).sum(axis=-1),
        )


def complete_pairs(groups: Sequence[ArrayLike]) -> tuple[list[np.ndarray], int]:
    """Return the settings' complete pairs that count, sorted, and the pairs that should exist.

    groups: an array (n_t,) a setting, NaN for an incomplete pair. Settings with two complete pairs
    or more count; if there is none, those with one do. The result does not depend on any order.
    """
    values = [np.asarray(group, dtype=np.float64).ravel() for group in groups]
    finite = [np.sort(group[np.isfinite(group)]) for group in values]
    least = 2 if any(len(group) > 1 for group in finite) else 1
    return [group for group in finite if len(group) >= least], sum(map(len, values))


def _variance(values: np.ndarray) -> float:
    """Return the variance (ddof 1) of (n,), 0 where it is no more than rounding."""
    deviation = float(values.std(ddof=1))
    noise = ROUNDING * max(1.0, float(np.abs(values).max()))
    return 0.0 if deviation <= noise else deviation**2
