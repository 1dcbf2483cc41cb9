"""Results as the report reads them: a row a cell of the matrix, so that a hole stays visible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.results import Results
from reldrop_bench.section import Prose, Table
from reldrop_bench.statistics.paired import compare
from reldrop_bench.statistics.spread import over_seeds, shown

CELL = ["task", "model", "label", "seed"]

Setting = tuple[str, str]
"""A task and a model: what labels are compared within."""


def settings(results: Results) -> dict[Setting, str]:
    """Return every (task, model) in the order of the spec with its name: the task, if that is enough."""
    pairs = list(
        dict.fromkeys(zip(results.cells["task"], results.cells["model"], strict=True))
    )
    tasks = [task for task, _ in pairs]
    return {
        (task, model): task if tasks.count(task) == 1 else f"{task} · {model}"
        for task, model in pairs
    }


def labels(results: Results) -> list[str]:
    """Return all labels in the order of the spec, also those that only the cells know."""
    return list(dict.fromkeys([*results.labels, *results.cells["label"]]))


def measure(results: Results, evaluation: str, split: str, metric: str) -> pd.DataFrame:
    """Return one metric with a row a cell: task, model, label, seed, value (NaN: the cell has none).

    Settings where no cell has a value are left out: the measurement does not apply there, or all
    cells failed, which the section on completeness shows.
    """
    rows = results.metrics
    rows = rows[
        (rows["evaluation"] == evaluation) & (rows["split"] == split) & (rows["metric"] == metric)
    ]
    return with_holes(results, rows)


def with_holes(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Line up values (task, model, label, seed, value) with the matrix; see `measure`."""
    frame = results.cells[CELL].merge(rows[[*CELL, "value"]], on=CELL, how="left")
    frame["value"] = frame["value"].astype(np.float64)
    present = frame.groupby(["task", "model"])["value"].transform("count")
    return frame[present > 0].reset_index(drop=True)


def metric_names(results: Results, evaluation: str, split: str | None = None) -> list[str]:
    """Return the metrics that an evaluation wrote for a split, in order of appearance."""
    rows = results.metrics
    rows = rows[rows["evaluation"] == evaluation]
    if split is not None:
        rows = rows[rows["split"] == split]
    return list(dict.fromkeys(rows["metric"]))


def splits(results: Results, evaluation: str) -> list[str]:
    """Return the splits that an evaluation wrote, sorted by name."""
    rows = results.metrics
    return sorted(set(rows.loc[rows["evaluation"] == evaluation, "split"]))


def summary(results: Results, values: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds: setting, task, model, label, n, n_expected, mean, sd; labels in order."""
    names, order = settings(results), labels(results)
    frame = over_seeds(values, ["task", "model", "label"])
    pairs = list(zip(frame["task"], frame["model"], strict=True))
    frame.insert(0, "setting", [names[pair] for pair in pairs])
    rank = {label: place for place, label in enumerate(order)}
    place = {pair: number for number, pair in enumerate(names)}
    frame = frame.assign(
        _setting=[place[pair] for pair in pairs], _label=[rank[label] for label in frame["label"]]
    )
    frame = frame.sort_values(["_setting", "_label"], kind="stable", ignore_index=True)
    return frame.drop(columns=["_setting", "_label"])


def texts(frame: pd.DataFrame, digits: int = 3) -> list[str]:
    """Write each row of `summary` as "mean ± sd", with n where a seed is missing."""
    columns = (frame["mean"], frame["sd"], frame["n"], frame["n_expected"])
    return [shown(*row, digits=digits) for row in zip(*columns, strict=True)]


def label_by_setting(
    results: Results, name: str, caption: str, values: pd.DataFrame, digits: int = 3
) -> Table:
    """Return a table with a row a label and a column a setting, "mean ± sd" in each cell."""
    frame = summary(results, values)
    wide: dict[str, list[str]] = {"label": labels(results)}
    for setting in dict.fromkeys(frame["setting"]):
        part = frame[frame["setting"] == setting]
        cells = dict(zip(part["label"], texts(part, digits), strict=True))
        wide[setting] = [cells.get(label, "left out") for label in wide["label"]]
    return Table(name, caption, pd.DataFrame(wide), data=frame, tones={"left out": "muted"})


def differences(results: Results, values: pd.DataFrame, name: str, caption: str) -> Table | None:
    """Return a table of mean seed-paired differences to the baseline with 95 % t intervals.

    values: task, model, label, seed, value, and a `column` that each value belongs in. A row a
    setting and label. Exploratory: no test, no verdict. None where nothing can be compared.
    """
    names, order = settings(results), labels(results)
    parts = [
        compare(group, results.baseline).assign(column=column)
        for column, group in values.groupby("column", sort=False)
    ]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["n"])
    if not frame["n"].sum():
        return None
    cells = {
        (row["task"], row["model"], row["label"], row["column"]): interval_text(row)
        for row in frame.to_dict("records")
    }
    known = {key[:3] for key in cells}
    columns = list(dict.fromkeys(frame["column"]))
    wide = [
        {"task": names[setting], "label": label}
        | {column: cells.get((*setting, label, column), "") for column in columns}
        for setting in names
        for label in order
        if (*setting, label) in known
    ]
    return Table(name, caption, pd.DataFrame(wide), data=frame)


def interval_text(row: Mapping[Any, Any]) -> str:
    """Write a row of `compare` as "+0.031 [−0.010, +0.072]"; say what is missing."""
    count = "" if row["n"] == row["n_expected"] else f" (n={row['n']}/{row['n_expected']})"
    if not row["n"]:
        return f"–{count}"
    if np.isnan(row["low"]):
        return f"{signed(row['mean'])} [no interval]{count}"
    return f"{signed(row['mean'])} [{signed(row['low'])}, {signed(row['high'])}]{count}"


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign, "+0.031" or "−0.010"; zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


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
