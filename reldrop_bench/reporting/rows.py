"""Results as the report reads them: a row a cell of the matrix, so that a hole stays visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reldrop_bench.kinds.section import Prose
from reldrop_bench.results import Results
from reldrop_bench.statistics.spread import over_seeds

CELL = ["task", "model", "label", "seed"]

Setting = tuple[str, str]
"""A task and a model: what labels are compared within."""

MANY, DETAILED = 6, 2
"""Where a section has more settings than `MANY`, the first `DETAILED` get figures of their own."""
PANELS = 12
"""Settings that share a figure at most."""
POINTS = 2000
"""Points of single seeds that a figure shows at most; beyond that it shows what they span."""


def settings(results: Results) -> dict[Setting, str]:
    """Return every (task, model) in the order of the spec with its name: the task if that will do."""
    pairs = list(dict.fromkeys(zip(results.cells["task"], results.cells["model"], strict=True)))
    tasks = [task for task, _ in pairs]
    return {
        (task, model): task if tasks.count(task) == 1 else f"{task} · {model}"
        for task, model in pairs
    }


def labels(results: Results) -> list[str]:
    """Return all labels in the order of the spec, also those that only the cells know."""
    return list(dict.fromkeys([*results.labels, *results.cells["label"]]))


def within(values: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return the rows of a task and model."""
    return values[(values["task"] == setting[0]) & (values["model"] == setting[1])]


def detailed(present: Sequence[Setting]) -> list[Setting]:
    """Return the settings that get figures of their own: all of them while they are few."""
    return list(present if len(present) <= MANY else present[:DETAILED])


def without_figures(results: Results, present: Sequence[Setting]) -> list[Prose]:
    """Say which settings have no figures of their own; nothing where all have."""
    left = len(present) - len(detailed(present))
    if not left:
        return []
    names = settings(results)
    drawn = ", ".join(names[setting] for setting in detailed(present))
    text = (
        f"Figures of single tasks are drawn for the first {DETAILED} of {len(present)}: {drawn}. "
        f"The other {left} have their tables, here and as CSV."
    )
    return [Prose(text, "note")]


def written(results: Results, evaluation: str, split: str | None = None) -> pd.DataFrame:
    """Return the metrics that an evaluation wrote (for one split)."""
    chosen = results.metrics["evaluation"] == evaluation
    if split is not None:
        chosen &= results.metrics["split"] == split
    return results.metrics[chosen]


def explainer(results: Results) -> str:
    """Return the name of the benchmark's own attribution method; "" where it is not stated."""
    entry = results.spec.get("relevance") or ""
    return str(entry.get("name", next(iter(entry)))) if isinstance(entry, Mapping) else str(entry)


def measure(results: Results, evaluation: str, split: str, metric: str) -> pd.DataFrame:
    """Return one metric with a row a cell: task, model, label, seed, value; see `with_holes`."""
    rows = written(results, evaluation, split)
    return with_holes(results, rows[rows["metric"] == metric])


def with_holes(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Line up values with the matrix, so that a cell without one has NaN.

    rows: task, model, label, seed, value and, where a cell has several values, a `column` that
    tells them apart. Settings (and their columns) where no cell has a value are left out: the
    measurement does not apply there, or all cells failed, which the report shows elsewhere.
    """
    extra = ["column"] if "column" in rows else []
    rows = rows.dropna(subset="value")
    known = rows[["task", "model", *extra]].drop_duplicates()
    frame = results.cells[CELL].merge(known, on=["task", "model"])
    frame = frame.merge(rows[[*CELL, *extra, "value"]], on=[*CELL, *extra], how="left")
    return frame.astype({"value": np.float64})


def summary(results: Results, values: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds, labels in order.

    Returns setting, task, model, label (, column), n, n_expected, mean, sd.
    """
    names, order = settings(results), labels(results)
    extra = ["column"] if "column" in values else []
    frame = over_seeds(values, ["task", "model", "label", *extra])
    pairs = list(zip(frame["task"], frame["model"], strict=True))
    frame.insert(0, "setting", [names[pair] for pair in pairs])
    rank = {label: place for place, label in enumerate(order)}
    place = {pair: number for number, pair in enumerate(names)}
    frame["_setting"] = [place[pair] for pair in pairs]
    frame["_label"] = [rank[label] for label in frame["label"]]
    frame = frame.sort_values(["_setting", "_label"], kind="stable", ignore_index=True)
    return frame.drop(columns=["_setting", "_label"])


def holes(values: pd.DataFrame) -> list[Prose]:
    """Say how many cells of a measurement have no value; nothing where all have."""
    missing = int(values["value"].isna().sum())
    if not missing:
        return []
    text = (
        f"{missing} of {len(values)} cells have no value here (failed, missing or not measured). "
        "Means are over the seeds that are there; (n=2/3) marks them."
    )
    return [Prose(text, "warning")]
