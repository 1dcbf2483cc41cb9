"""Seed-paired differences to a baseline: interval, effect size, test and what it could ever detect.

Cells of equal (task, model, seed) have the same data, order and first weights, so their difference
is what the method does. Everything here is about seeds ("does the method train better models?"),
never about test items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

from reldrop_bench.statistics.overall import ROUNDING
from reldrop_bench.statistics.verdicts import TAIL

_NUMBERS = ["mean", "low", "high", "d_z", "p"]


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs say; NaN stands for "cannot be computed", `note` says why."""

    n: int
    """Complete pairs, the ones that everything else is computed from."""
    n_expected: int
    """Pairs that the matrix holds."""
    mean: float
    low: float
    high: float
    """The t interval of the mean, not adjusted for multiple comparisons."""
    d_z: float
    """Mean over standard deviation of the differences (Cohen's d for pairs)."""
    p: float
    """Two-sided paired t test, not adjusted."""
    note: str = ""


def paired_difference(differences: Sequence[float] | np.ndarray) -> PairedDifference:
    """Summarise differences (m,), one for each pair that should exist; NaN: an incomplete pair.

    Equal differences (variance 0 up to
    rounding) leave t and d_z undefined: the interval collapses to the mean and p is NaN, however
    large the difference is.
    """
    planned = np.asarray(differences, dtype=np.float64)
    values = np.sort(planned[np.isfinite(planned)])  # sorted: the sum must not depend on row order
    columns, (note,) = _summaries(values[None, :])
    mean, low, high, d_z, p = (float(column[0]) for column in columns)
    return PairedDifference(len(values), len(planned), mean, low, high, d_z, p, note)


def _summaries(values: np.ndarray) -> tuple[tuple[np.ndarray, ...], Sequence[str]]:
    """Return mean, low, high, d_z and p, each (g,), and the notes of groups (g, n)."""
    groups, n = values.shape
    unknown = np.full(groups, np.nan)
    if n == 0:
        return (unknown,) * 5, ["no complete pair"] * groups
    mean = values.mean(axis=1)
    if n == 1:
        return (mean, *(unknown,) * 4), ["one pair: no interval"] * groups
    deviation = values.std(axis=1, ddof=1)
    equal = deviation <= ROUNDING * np.maximum(1.0, np.abs(values).max(axis=1))
    deviation = np.where(equal, np.nan, deviation)
    error = deviation / math.sqrt(n)
    half = np.where(equal, 0.0, scipy.special.stdtrit(n - 1, 1 - TAIL) * error)
    p = np.minimum(2 * scipy.special.stdtr(n - 1, -np.abs(mean) / error), 1.0)
    notes = np.where(np.abs(mean) <= ROUNDING, "no pair differs", "all differences are equal")
    return (mean, mean - half, mean + half, mean / deviation, p), [
        f"{note}: no t test" if same else "" for note, same in zip(notes, equal, strict=True)
    ]


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


def against_baseline(
    values: pd.DataFrame, baseline: str, within: Sequence[str] = ("task", "model")
) -> pd.DataFrame:
    """Compare every label with the baseline within each task and model (or whatever `within` says).

    values: as for `pair`. Returns a row a (`within`, label), in order of appearance, with the
    fields of `PairedDifference`. A row depends on its own pairs alone.
    """
    paired = pair(values, baseline, within)
    names = [*within, "label"]
    rows = values.loc[values["label"] != baseline, names].drop_duplicates(ignore_index=True)
    first = ~paired.duplicated(names).to_numpy()  # rows of a group are neighbours
    group = np.cumsum(first) - 1
    difference = paired["difference"].to_numpy(np.float64)
    complete = np.isfinite(difference)
    n_expected = np.bincount(group, minlength=len(rows))
    n = np.bincount(group[complete], minlength=len(rows))
    # Sorted within each group: the sums must not depend on row order.
    ordered = difference[complete][np.lexsort((difference[complete], group[complete]))]
    starts = np.cumsum(n) - n
    numbers = np.full((len(rows), len(_NUMBERS)), np.nan)
    notes = np.full(len(rows), "", dtype=object)
    for size in np.unique(n):
        same = np.flatnonzero(n == size)
        columns, found = _summaries(ordered[starts[same][:, None] + np.arange(size)])
        numbers[same] = np.stack(columns, axis=1)
        notes[same] = found
    summary = paired.loc[first, names].reset_index(drop=True)
    summary["n"], summary["n_expected"] = n, n_expected
    summary[_NUMBERS] = numbers
    summary["note"] = notes
    return rows.merge(summary, on=names, how="left")
