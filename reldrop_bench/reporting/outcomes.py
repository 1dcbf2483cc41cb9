"""What methods are judged by in a report: the outcomes that were declared, and their values."""

import re
from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.kinds.outcome import BY_KEY, OUTCOMES, USUAL_MARGIN, Outcome, by_default
from reldrop_bench.reporting.rows import CELL, metric_paths, with_holes
from reldrop_bench.results import Results
from reldrop_bench.statistics.wording import counted

SATURATED = 0.995
"""Methods whose cells all reach this accuracy cannot be told apart."""
JUDGED = tuple(outcome.pattern for outcome in OUTCOMES)
"""The metrics that named outcomes are made of, as `ReportSection.shows` names them."""
JUDGED_ACCURACIES = tuple(outcome.pattern for outcome in OUTCOMES if outcome.bounded)
ACCURACIES = ("accuracy", "class_mean_accuracy", "auc")
"""Metrics in 0..1, which can saturate."""


def outcomes(results: Results) -> list[Outcome]:
    """Return what these results are judged by, as far as they hold it, the primary outcomes first.

    That is their `metric`, else what was declared, else what would be by default.
    """
    paths = metric_paths(results)
    if results.metric:
        evaluation, _, metric = paths.get(results.metric, ("", "", results.metric))
        direction = results.direction(evaluation, metric)
        name = metric.replace("_", " ")
        found = [replace(_of_metric(results.metric, direction, None, True), short=name)]
    elif results.declarations:
        found = [_declared(each) for each in results.declarations[-1]["outcomes"]]
    else:
        primary, secondary = default_outcomes(results)
        found = [replace(BY_KEY[key], primary=key in primary) for key in [*primary, *secondary]]
    return [outcome for outcome in found if any(re.fullmatch(outcome.pattern, n) for n in paths)]


def unmeasured(results: Results) -> list[str]:
    """Return the primary outcomes that were declared and have no value."""
    if results.metric or not results.declarations:
        return []
    there = {outcome.text for outcome in outcomes(results)}
    declared = map(_declared, results.declarations[-1]["outcomes"])
    return [each.text for each in declared if each.primary and each.text not in there]


def default_outcomes(results: Results) -> tuple[list[str], list[str]]:
    """Return the keys of primary and secondary outcomes that results are judged by if none were declared."""
    offers = [
        {
            name
            for name in ("masks", "cues")
            if facts.get(name) and not (name == "masks" and facts.get("shortcut"))
        }
        for facts in results.tasks.values()
    ]
    return by_default(set(results.metrics["evaluation"]), offers)


def declared_when(results: Results) -> tuple[bool, str]:
    """Return whether the outcomes were declared before any cell was done, and a clause that says so."""
    if results.metric:
        return False, f"{results.metric} was chosen when the report was made"
    if results.margin is not None:
        return False, f"the margin of ±{results.margin:g} was chosen when the report was made"
    if not results.declarations:
        return False, "none was declared, these are the usual ones"
    done, cells = (int(results.declarations[-1][key]) for key in ("done", "cells"))
    earlier = {seed for each in results.declarations[:-1] for seed in each.get("seeds", ())}
    if done and earlier and set(results.declarations[-1]["seeds"]) - earlier:
        return False, (
            f"seeds were added after {done} of {counted(cells, 'cell')} were done: looking more than once makes "
            "false verdicts likelier than the level says"
        )
    if done:
        return False, f"they were declared after {done} of {counted(cells, 'cell')}"
    return True, "they were declared before the first cell was done"


def _declared(entry: Mapping[str, Any]) -> Outcome:
    """Return a declared outcome: one of `OUTCOMES`, or a metric."""
    name, primary, margin = (entry[key] for key in ("name", "primary", "margin"))
    if name in BY_KEY:
        return replace(BY_KEY[name], primary=primary, margin=margin)
    return _of_metric(name, entry["direction"], margin, primary)


def _of_metric(path: str, direction: str, margin: float | None, primary: bool) -> Outcome:
    bounded = path.rpartition("/")[2] in ACCURACIES
    name = path.replace("/test/", " ", 1).replace("_", " ")
    usual = USUAL_MARGIN if bounded else None
    return Outcome(
        path,
        path,
        name,
        re.escape(path),
        direction=direction,
        bounded=bounded,
        margin=usual if margin is None else margin,
        primary=primary,
    )


def ranked(results: Results) -> list[Outcome]:
    """Return the outcomes of which one direction is better: the others are compared, not ranked."""
    return [outcome for outcome in outcomes(results) if outcome.direction != "neither"]


def margin_of(results: Results, outcome: Outcome) -> float | None:
    """Return the margin of equivalence: what was asked for, else the outcome's own; None: none is known."""
    return outcome.margin if results.margin is None else results.margin


def kinds_of(results: Results, outcome: Outcome) -> frozenset[str]:
    """Return the kinds that an outcome is the mean of; none where it is no mean over kinds."""
    if not outcome.by_kind:
        return frozenset()
    matches = (re.fullmatch(outcome.pattern, name) for name in metric_paths(results))
    return frozenset(match["kind"] for match in matches if match)


def values(results: Results, outcome: Outcome, without: Set[str] = frozenset()) -> pd.DataFrame:
    """Return task, model, label, seed, value: a row a cell where the outcome applies, NaN for a hole.

    without: kinds that are left out of the mean.
    """
    chosen = [
        row
        for name, row in metric_paths(results).items()
        if (match := re.fullmatch(outcome.pattern, name))
        and not (without and match["kind"] in without)
    ]
    wanted = pd.DataFrame(chosen, columns=["evaluation", "split", "metric"])
    rows = results.metrics.merge(wanted, on=["evaluation", "split", "metric"])
    if len(chosen) == 1:
        return with_holes(results, rows)
    rows = rows.assign(column=rows["split"].astype(str) + "/" + rows["metric"].astype(str))
    rows = _like_the_baseline(results, rows)
    frame = with_holes(results, rows).sort_values(
        [*CELL, "column"], kind="stable", ignore_index=True
    )
    weights = _weights(outcome, chosen, frame)
    # Summed segment by segment: a grouped mean of pandas differs in its last bits with the groups
    # around it. A hole makes the whole sum one.
    starts = np.flatnonzero(~frame.duplicated(CELL))
    if not len(starts):
        return frame[[*CELL, "value"]]
    sums = np.add.reduceat(frame["value"].to_numpy(np.float64) * weights, starts)
    means = frame.loc[starts, CELL].assign(value=sums / np.add.reduceat(weights, starts))
    lined_up = results.cells[CELL].merge(means, on=CELL)
    return lined_up.astype({"value": np.float64})


def _like_the_baseline(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Keep what the baseline was measured by in each setting; all of it where it has nothing.

    What another label was measured by beside that must not make a hole in a pair that lacks it.
    """
    keys = ["task", "model", "column"]
    measured = rows.loc[rows["label"] == results.baseline, keys].drop_duplicates()
    there = pd.MultiIndex.from_frame(measured[keys[:2]])
    alone = ~pd.MultiIndex.from_frame(rows[keys[:2]]).isin(there)
    return rows[
        alone | pd.MultiIndex.from_frame(rows[keys]).isin(pd.MultiIndex.from_frame(measured))
    ]


def _weights(
    outcome: Outcome, chosen: list[tuple[str, str, str]], frame: pd.DataFrame
) -> np.ndarray:
    """Return the weight (row,) of each value of a cell: that of its kind, shared by its columns."""
    if not outcome.by_kind:
        return np.ones(len(frame))
    kinds = {}
    for evaluation, split, metric in chosen:
        match = re.fullmatch(outcome.pattern, f"{evaluation}/{split}/{metric}")
        kinds[f"{split}/{metric}"] = match["kind"] if match else ""
    kind = frame["column"].map(kinds)
    return 1 / kind.groupby([frame[name] for name in CELL] + [kind]).transform("size").to_numpy()
