"""Which labels of a table's column have the best mean, or are not told apart from the one that has."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from reldrop_bench.results import Results
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.overall import overall_difference
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.verdicts import LEVEL

BOLD = (
    "Bold: the best mean of a column and what a seed-paired t test does not tell apart from it (Holm’s "
    "adjustment over the column’s labels); what lacks seeds is never the best, and what could not be "
    "tested is not bold."
)
THE_BEST = "\0best"
"""Stands for the best label of each column: no name of a spec holds such a character."""
Column = tuple[str, ...]


def best_labels(
    values: pd.DataFrame, summary: pd.DataFrame, better: Mapping[str, str] | str
) -> dict[Column, set[str]]:
    """Return by task, model (, column) the labels that are best there or not told apart from it.

    values: a row a cell: task, model (, column), label, seed, value; NaN where it has none. summary:
    the means of these, from `rows.summary`. better: "higher", "lower" or "neither", of all columns
    or by column. A column where neither is better, or where no label has all its seeds, has no best.
    """
    within = [name for name in ("task", "model", "column") if name in values]
    champions: dict[Column, str] = {}
    whole = summary[(summary["n"] == summary["n_expected"]) & (summary["n"] > 0)]
    for place, part in whole.groupby(within, sort=False):
        key = tuple(map(str, place))
        direction = better if isinstance(better, str) else better.get(key[-1], "neither")
        if direction in ("higher", "lower"):
            means = part["mean"].to_numpy(np.float64)
            row = int(np.argmax(means) if direction == "higher" else np.argmin(means))
            champions[key] = str(part["label"].iloc[row])
    if not champions:
        return {}
    places = [tuple(map(str, row)) for row in values[within].itertuples(index=False, name=None)]
    champion = pd.Series([champions.get(place) for place in places], values.index)
    chosen = values[champion.notna()]
    named = chosen["label"].where(chosen["label"] != champion[chosen.index], THE_BEST)
    compared = against_baseline(chosen.assign(label=named), THE_BEST, within)
    best = {key: {label} for key, label in champions.items()}
    for place, part in compared.groupby(within, sort=False):
        best[tuple(map(str, place))] |= _not_told_apart(part)
    return best


def _not_told_apart(compared: pd.DataFrame) -> set[str]:
    """Return the labels whose test against the best does not reject, or that equal it in every pair."""
    adjusted = holm(compared["p"].to_numpy(np.float64))
    equal = (compared["n"] > 0) & (compared["mean"] == 0)
    return set(compared.loc[(adjusted >= LEVEL) | equal.to_numpy(), "label"].astype(str))


def best_overall(
    results: Results, values: pd.DataFrame, means: pd.Series, direction: str
) -> set[str]:
    """Return the labels that are best on average over all tasks, or not told apart from the best.

    means: by label, of those with every seed of every task. The test is the verdict's: the mean over
    tasks of seed-paired differences.
    """
    if direction not in ("higher", "lower") or means.empty:
        return set()
    champion = str(means.idxmax() if direction == "higher" else means.idxmin())
    wide = values.pivot(index=["task", "model", "seed"], columns="label", values="value")
    others = [label for label in means.index if label != champion]
    rows = []
    for label in others:
        difference = (wide[label] - wide[champion]).groupby(level=["task", "model"], sort=False)
        overall = overall_difference([part.to_numpy() for _, part in difference])
        rows.append({"label": label, "p": overall.p, "mean": overall.mean, "n": overall.n})
    frame = pd.DataFrame(rows, columns=["label", "p", "mean", "n"])
    return {champion} | _not_told_apart(frame)
