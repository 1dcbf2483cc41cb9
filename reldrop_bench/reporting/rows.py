"""Results as the report reads them: a row a cell of the matrix, so that a hole stays visible."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.kinds.section import Prose
from reldrop_bench.results import CELL, Results, Setting
from reldrop_bench.statistics.spread import over_seeds
from reldrop_bench.statistics.wording import by_number, counted

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


def undone(results: Results) -> list[Setting]:
    """Return the settings of which no cell is done."""
    done = results.cells[results.cells["status"] == "done"]
    there = set(zip(done["task"], done["model"], strict=True))
    return [setting for setting in settings(results) if setting not in there]


def nothing_done(results: Results) -> list[str]:
    """Name the settings of which no cell is done, in a sentence; none where there are no such settings."""
    named = settings(results)
    names = [named[setting] for setting in undone(results)]
    return [f"No cell of {', '.join(names)} is done: nothing is said of it."] if names else []


def settings_in(results: Results, frame: pd.DataFrame) -> list[Setting]:
    """Return the settings that have a row in a frame, in the order of the spec."""
    there = set(zip(frame["task"], frame["model"], strict=True))
    return [setting for setting in settings(results) if setting in there]


def labels(results: Results, among: Container[str] | None = None) -> list[str]:
    """Return labels in the order of the spec, those that only the cells know too; all, or `among` some."""
    every = dict.fromkeys([*results.labels, *results.cells["label"]])
    return [label for label in every if among is None or label in among]


def usual_first(usual: Sequence[str]) -> Callable[[str], tuple[int, str]]:
    """Return a sort key: the `usual` names in their order, then all others by name."""
    return lambda name: (usual.index(name) if name in usual else len(usual), name)


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


def fewer_seeds(results: Results, values: pd.DataFrame, setting: Setting) -> str:
    """Name the labels that have values of fewer seeds of a setting than planned; "" for none."""
    planned, there = (
        within(frame, setting).drop_duplicates(["label", "seed"]).groupby("label").size()
        for frame in (results.cells, values)
    )
    short = [
        f"“{label}” n={there.get(label, 0)}/{planned[label]}"
        for label in labels(results, planned.index)
        if there.get(label, 0) < planned[label]
    ]
    return f" Fewer seeds than planned: {', '.join(short)}." if short else ""


def metric_paths(results: Results) -> dict[str, tuple[str, str, str]]:
    """Return evaluation, split and metric of all metrics by "EVALUATION/SPLIT/METRIC"."""
    triples = results.metrics[["evaluation", "split", "metric"]].drop_duplicates()
    return {"/".join(map(str, row)): row for row in triples.itertuples(index=False, name=None)}


def metric_rows(results: Results, evaluation: str, split: str | None = None) -> pd.DataFrame:
    """Return the metrics of an evaluation (on one split), as `Results.metrics` holds them."""
    chosen = results.metrics["evaluation"] == evaluation
    if split is not None:
        chosen &= results.metrics["split"] == split
    return results.metrics[chosen]


def metric_values(results: Results, evaluation: str, split: str, metric: str) -> pd.DataFrame:
    """Return one metric with a row a cell: task, model, label, seed, value; see `with_holes`."""
    rows = metric_rows(results, evaluation, split)
    return with_holes(results, rows[rows["metric"] == metric])


def entry_name(entry: Any) -> str:
    """Return the name of a spec's entry: NAME, {NAME: parameters} or {name: NAME, …}; "" for none."""
    if isinstance(entry, Mapping):
        return str(entry.get("name", next(iter(entry), "")))
    return str(entry or "")


def explainer(results: Results) -> str:
    """Return the name of the benchmark's own attribution method; "" where it is not stated."""
    return entry_name(results.spec.get("relevance"))


def with_holes(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Line up values with the matrix, so that a cell without one has NaN.

    rows: task, model, label, seed, value and, where a cell has several values, a `column` that
    tells them apart. Settings (and their columns) where no cell has a value are left out: the
    measurement does not apply there, or all cells failed, which the report shows elsewhere.
    """
    extra = ["column"] if "column" in rows else []
    rows = rows.dropna(subset="value")
    measured = rows[["task", "model", *extra]].drop_duplicates()
    frame = results.cells[CELL].merge(measured, on=["task", "model"])
    frame = frame.merge(rows[[*CELL, *extra, "value"]], on=[*CELL, *extra], how="left")
    return frame.astype({"value": np.float64})


def complete_means(rows: pd.DataFrame, by: Sequence[str], part: str) -> pd.DataFrame:
    """Average `value` over the parts of each cell, NaN where it lacks one that its setting has.

    by: what is averaged within, of which label and seed do not decide which parts there are.
    """
    fixed = [name for name in by if name not in ("label", "seed")]
    expected = rows.groupby(fixed)[part].nunique().rename("expected")
    means = rows.groupby(list(by))["value"].agg(["mean", "count"]).join(expected)
    whole = means["count"] == means["expected"]
    return means["mean"].where(whole).rename("value").reset_index()


def summary(results: Results, values: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds, labels in order.

    Returns setting, task, model, label (, column), n, n_expected, mean, sd.
    """
    names = settings(results)
    extra = ["column"] if "column" in values else []
    frame = over_seeds(values, ["task", "model", "label", *extra])
    pairs = zip(frame["task"], frame["model"], strict=True)
    frame.insert(0, "setting", [names[pair] for pair in pairs])
    return in_order(results, frame, "setting", "label")


def in_order(results: Results, frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Sort rows by `label`, or by `setting` or `task` that hold names of settings, as the spec has them."""
    places = {name: place for place, name in enumerate(settings(results).values())}
    ranks = {"label": {label: rank for rank, label in enumerate(labels(results))}}
    return frame.sort_values(
        list(columns),
        key=lambda column: column.map(ranks.get(str(column.name), places)),
        kind="stable",
        ignore_index=True,
    )


def holes(values: pd.DataFrame) -> list[Prose]:
    """Say how many cells of a measurement have no value; nothing where all have."""
    missing = int(values["value"].isna().sum())
    if not missing:
        return []
    have = by_number(missing, "has", "have")
    text = (
        f"{counted(missing, 'cell', total=len(values))} {have} no value here (failed, missing or not measured). "
        "Means are over the seeds that are there; (n=2/3) marks them."
    )
    return [Prose(text, "warning")]
