"""Mixed-effects model of seed-paired differences: seeds within settings, settings as a sample.

y = effect + setting + seed: the effect is what a further setting like these could expect, so that its
interval holds the differences between settings, which `overall.overall_difference` leaves out.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from reldrop_bench.statistics.verdicts import TAIL
from reldrop_bench.statistics.wording import counted

FEWEST_SETTINGS = 3
"""With less, how much settings differ cannot be estimated."""


@dataclass(frozen=True)
class MixedDifference:
    """The fixed effect with its interval, and how much settings and seeds scatter.

    NaN stands for "cannot be computed"; `note` says why, or what to be careful about.
    """

    mean: float = np.nan
    low: float = np.nan
    high: float = np.nan
    between: float = np.nan
    """Standard deviation of the true difference between settings."""
    within: float = np.nan
    """Standard deviation of the differences between seeds of a setting."""
    note: str = ""


def mixed_difference(groups: Sequence[ArrayLike]) -> MixedDifference:
    """Fit a random intercept a setting by REML; groups: seed-paired differences, (n_t,) a setting.

    Settings with equal numbers of pairs have a closed form, which is then taken. NaN stands for an
    incomplete pair, and settings without any are left out. The interval is t with (settings - 1)
    degrees of freedom, which is exact for balanced data with a positive variance between settings,
    where the effect is the mean of all.
    """
    values = [np.asarray(group, dtype=np.float64) for group in groups]
    # Sorted: neither the order of seeds nor that of settings has a meaning.
    values = [np.sort(group[np.isfinite(group)]) for group in values]
    values = sorted((group for group in values if len(group)), key=lambda group: group.tolist())
    settings = len(values)
    if settings < FEWEST_SETTINGS:
        return MixedDifference(
            note=f"{counted(settings, 'setting')} with pairs: a mixed model needs {FEWEST_SETTINGS}"
        )
    if max(map(len, values)) < 2:
        return MixedDifference(note="one pair a setting: seeds and settings cannot be told apart")
    pooled = np.concatenate(values)
    spread = float(pooled.std())
    if spread <= 1e-12 * max(1.0, float(np.abs(pooled).max())):
        return MixedDifference(note="all differences are equal")
    if all(np.ptp(group) <= 1e-12 * spread for group in values):
        return MixedDifference(
            note="the pairs of each setting are equal: nothing varies over seeds"
        )
    if _at_the_border(values, pooled):
        note = (
            "the variance between settings is estimated as 0: with few settings it may well be "
            "larger, and the interval is then too narrow"
        )
        within = float(pooled.std(ddof=1))
        error = within / math.sqrt(len(pooled))
        return _found(float(pooled.mean()), error, 0.0, within, settings, note)
    if len({len(group) for group in values}) == 1:
        return _balanced(np.stack(values))
    return _fit(values, pooled, spread)


def _at_the_border(values: Sequence[np.ndarray], pooled: np.ndarray) -> bool:
    """Return whether the restricted likelihood falls from a variance between settings of 0.

    Its derivative there has the sign of Σ (n_t r̄_t)² - s² (N - Σ n_t² / N), with r̄ the mean
    residual of a setting and s² the variance of all. No optimiser converges well at a border.
    """
    counts = np.array([len(group) for group in values])
    sums = np.array([(group - pooled.mean()).sum() for group in values])
    total = len(pooled)
    return bool((sums**2).sum() <= pooled.var(ddof=1) * (total - (counts**2).sum() / total))


def _balanced(values: np.ndarray) -> MixedDifference:
    """Return what REML finds of (settings, pairs) inside the border: the analysis of variance."""
    settings, pairs = values.shape
    means = values.mean(axis=1)
    within, mean_square = float(values.var(axis=1, ddof=1).mean()), pairs * float(means.var(ddof=1))
    between = math.sqrt(max(mean_square - within, 0.0) / pairs)
    error = math.sqrt(mean_square / (pairs * settings))
    return _found(float(means.mean()), error, between, math.sqrt(within), settings)


def _found(
    mean: float, error: float, between: float, within: float, settings: int, note: str = ""
) -> MixedDifference:
    half = float(scipy.special.stdtrit(settings - 1, 1 - TAIL)) * error
    return MixedDifference(mean, mean - half, mean + half, between, within, note)


def _fit(values: Sequence[np.ndarray], pooled: np.ndarray, spread: float) -> MixedDifference:
    from statsmodels.regression.mixed_linear_model import MixedLM

    labels = np.repeat(np.arange(len(values)), [len(group) for group in values])
    # The optimiser's tolerances are made for values around 1.
    model = MixedLM(pooled / spread, np.ones((len(pooled), 1)), labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they would say is in the note
        try:
            fitted = model.fit(reml=True, method=["bfgs", "lbfgs", "cg", "powell", "nm"])
        except (np.linalg.LinAlgError, ValueError) as problem:
            return MixedDifference(note=f"the fit failed: {problem}")
        between, within = float(fitted.cov_re[0, 0]), float(fitted.scale)
        error = float(fitted.bse_fe[0])
        effect = float(fitted.fe_params[0])
    if not (fitted.converged and math.isfinite(error)):
        return MixedDifference(note="the fit did not converge")
    return _found(
        effect * spread,
        error * spread,
        math.sqrt(max(between, 0.0)) * spread,
        math.sqrt(within) * spread,
        len(values),
    )
