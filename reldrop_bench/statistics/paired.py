"""Seed-paired differences to a baseline: interval, effect size, test and what it could ever detect.

Cells of equal (task, model, seed) have the same data, order and first weights, so their difference
is what the method does. Everything here is about seeds ("does the method train better models?"),
never about test items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import special


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs say; None stands for "cannot be computed", `note` says why."""

    n: int
    """Complete pairs, the ones that everything else is computed from."""
    n_expected: int
    """Pairs that the matrix holds."""
    mean: float | None
    low: float | None
    high: float | None
    """The t interval of the mean, not adjusted for multiple comparisons."""
    d_z: float | None
    """Mean over standard deviation of the differences (Cohen's d for pairs)."""
    p: float | None
    """Two-sided paired t test, not adjusted."""
    note: str = ""


def paired_difference(
    differences: Sequence[float] | np.ndarray,
    n_expected: int | None = None,
    confidence: float = 0.95,
) -> PairedDifference:
    """Summarise differences (m,), one a pair; NaN stands for an incomplete pair.

    n_expected: pairs that should exist, m unless given. Equal differences (variance 0 up to
    rounding) leave t and d_z undefined: the interval collapses to the mean and p is None, however
    large the difference is.
    """
    values = np.asarray(differences, dtype=np.float64)
    expected = len(values) if n_expected is None else n_expected
    values = np.sort(values[np.isfinite(values)])  # sorted: the sum must not depend on row order
    n = len(values)
    if n == 0:
        return PairedDifference(0, expected, None, None, None, None, None, "no complete pair")
    mean = float(values.mean())
    if n == 1:
        return PairedDifference(1, expected, mean, None, None, None, None, "one pair: no interval")
    deviation = float(values.std(ddof=1))
    if deviation <= 1e-12 * max(1.0, float(np.abs(values).max())):
        note = "no pair differs" if abs(mean) <= 1e-12 else "all differences are equal"
        return PairedDifference(n, expected, mean, mean, mean, None, None, f"{note}: no t test")
    error = deviation / math.sqrt(n)
    half = float(special.stdtrit(n - 1, 0.5 + confidence / 2)) * error
    p = 2 * float(special.stdtr(n - 1, -abs(mean) / error))
    return PairedDifference(
        n, expected, mean, mean - half, mean + half, mean / deviation, min(p, 1.0)
    )


def pair(
    values: pd.DataFrame, baseline: str, within: Sequence[str] = ("task", "model")
) -> pd.DataFrame:
    """Put the baseline's value beside every other label's.

    values: a row a cell of the matrix with columns `within`, label, seed, value (NaN where the cell
    has none). Returns `within`, label, seed, value, baseline_value, difference: a row for every
    seed that the label or the baseline has there, NaN where one of them is missing.

    Raises
    ------
    ValueError
        Two rows have the same `within`, label and seed: they cannot be paired.
    """
    keys = [*within, "seed"]
    rows = values[[*keys, "label", "value"]]
    double = rows.duplicated([*keys, "label"])
    if double.any():
        row = rows[double].iloc[0]
        where = ", ".join(f"{key} {row[key]!r}" for key in keys)
        raise ValueError(f"two values of {row['label']!r} for {where}: a pair needs one")
    others = rows[rows["label"] != baseline]
    reference = rows[rows["label"] == baseline].drop(columns="label")
    reference = reference.rename(columns={"value": "baseline_value"})
    # Every label meets every seed of the baseline, also those that it lacks itself.
    met = others[[*within, "label"]].drop_duplicates().merge(reference, on=list(within))
    paired = others.merge(met, on=[*keys, "label"], how="outer")
    paired["difference"] = paired["value"] - paired["baseline_value"]
    columns = [*within, "label", "seed", "value", "baseline_value", "difference"]
    return paired[columns].sort_values([*within, "label", "seed"], ignore_index=True)


def compare(
    values: pd.DataFrame,
    baseline: str,
    within: Sequence[str] = ("task", "model"),
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Compare every label with the baseline within each task and model (or whatever `within` says).

    values: as for `pair`. Returns a row a (`within`, label), in order of appearance, with the
    fields of `PairedDifference` (NaN for None). A row depends on its own pairs alone.
    """
    paired = pair(values, baseline, within)
    names = [*within, "label"]
    order = values.loc[values["label"] != baseline, names].drop_duplicates()
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in paired[[*names, "difference"]].itertuples(index=False, name=None):
        groups.setdefault(row[:-1], []).append(row[-1])
    rows = []
    for key in order.itertuples(index=False, name=None):
        summary = paired_difference(groups[key], confidence=confidence)
        rows.append(dict(zip(names, key, strict=True)) | asdict(summary))
    frame = pd.DataFrame(rows, columns=[*names, *PairedDifference.__dataclass_fields__])
    numbers = ["mean", "low", "high", "d_z", "p"]
    frame[numbers] = frame[numbers].astype(np.float64)
    return frame


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust the p-values (m,) of one family by Holm's step-down method.

    A NaN (a comparison that was planned and could not be tested) counts as a member with p = 1, so
    that a hole never makes another verdict easier; it stays NaN.
    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    values = np.asarray(p, dtype=np.float64)
    filled = np.where(np.isnan(values), 1.0, values)
    order = np.argsort(filled, kind="stable")
    steps = np.maximum.accumulate(filled[order] * np.arange(len(filled), 0, -1))
    adjusted = np.empty_like(filled)
    adjusted[order] = np.minimum(steps, 1.0)
    return np.where(np.isnan(values), np.nan, adjusted)


def verdict(mean: float, adjusted_p: float, direction: str = "higher", level: float = 0.05) -> str:
    """Return better, worse, unclear or "no measure" for a difference and its adjusted p-value.

    direction: "higher" or "lower" is better. NaN mean: no measure. NaN p: no test, so unclear.
    """
    if np.isnan(mean):
        return "no measure"
    if np.isnan(adjusted_p) or adjusted_p >= level or mean == 0:
        return "unclear"
    return "better" if (mean > 0) == (direction != "lower") else "worse"


@cache
def smallest_detectable_effect(n: int, power: float = 0.8, level: float = 0.05) -> float | None:
    """Return the smallest |d_z| that a two-sided paired t test on n pairs finds with this power.

    None for n < 2. From the noncentral t distribution; found by bisection.
    """
    if n < 2:
        return None
    critical = float(special.stdtrit(n - 1, 1 - level / 2))

    def reached(effect: float) -> float:
        shift = effect * math.sqrt(n)
        below = special.nctdtr(n - 1, shift, -critical)  # NaN where it is too small to compute
        return float(1 - special.nctdtr(n - 1, shift, critical) + np.nan_to_num(below))

    low, high = 0.0, 1.0
    while reached(high) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < power else (low, middle)
    return high


def smallest_wilcoxon_p(n: int) -> float:
    """Return the smallest two-sided p of an exact Wilcoxon signed-rank test on n untied pairs."""
    return min(1.0, 2.0 ** (1 - n)) if n > 0 else 1.0


def limits_of(n: int, comparisons: int = 1, level: float = 0.05) -> str:
    """Say in a few sentences what n pairs can show at best, in a family of `comparisons`."""
    effect = smallest_detectable_effect(n, level=level)
    if effect is None:
        return (
            f"Nothing can be significant with n={n}: an interval and a test need two pairs or more."
        )
    text = (
        f"With n={n} pairs a paired t test finds, with 80 % power, only effects of d_z ≥ "
        f"{effect:.2f} before any adjustment (a mean difference {effect:.2f} times its own "
        "standard deviation over seeds)"
    )
    if comparisons > 1:
        strict = smallest_detectable_effect(n, level=level / comparisons)
        text += f", and d_z ≥ {strict:.2f} as the first of {comparisons} Holm-adjusted comparisons"
    text += "."
    smallest = smallest_wilcoxon_p(n)
    if smallest >= level:
        text += (
            " A test that does not assume normal differences (Wilcoxon signed-rank) cannot be "
            f"significant with n={n}: its smallest two-sided p is {smallest:.3g}."
        )
    return text
