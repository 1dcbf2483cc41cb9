"""What methods are judged by: one value a cell for test accuracy, shifts, occlusion and cues."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reldrop_bench.reporting.rows import CELL, metric_paths, with_holes
from reldrop_bench.results import Results

SATURATED = 0.995
"""Methods whose cells all reach this accuracy cannot be told apart."""


@dataclass(frozen=True)
class Outcome:
    """One number a cell, made of the metrics whose "EVALUATION/SPLIT/METRIC" fits a pattern.

    Where several fit, the value is their mean (with a group `kind` in the pattern, the mean over
    kinds of the mean within each), and a cell that lacks one of them has none.
    `direction`: "higher" or "lower" is better, or "neither". `bounded`: an accuracy (or an area of
    accuracies) in 0..1, which can saturate and to which the usual margin of equivalence applies.
    """

    key: str
    text: str
    short: str
    pattern: str
    definition: str = ""
    direction: str = "higher"
    bounded: bool = True

    @property
    def saturates(self) -> bool:
        return self.bounded and self.direction == "higher"


OUTCOMES: tuple[Outcome, ...] = (
    Outcome(
        "accuracy",
        "test accuracy",
        "accuracy",
        r"accuracy/test/accuracy",
        "on the clean test split",
    ),
    Outcome(
        "shifts",
        "accuracy under shift",
        "shifts",
        # Test sets without some cues are shifts as well: they have an outcome of their own.
        r"shifts/(?!removed-)(?P<kind>[^/]+)(/.+)?/accuracy",
        "mean over the kinds of shift of a task, each the mean of its severities",
    ),
    Outcome(
        "occlusion",
        "accuracy under occlusion",
        "occlusion",
        # A fill at the origin puts a fake point where no surface is: it is shown, and not judged by.
        r"occlusion/test/random[^/]*/(?!origin/)[^/]+/auc",
        "area under the occlusion curve, mean over all random orders and fills but the biased one",
    ),
    Outcome(
        "cues",
        "accuracy without the two easiest cues",
        "cues 0, 1 removed",
        r"cues/removed-01/accuracy",
        "on tasks with redundant cues, the two easiest ones taken out of the test items",
    ),
)
"""The claims that a regularizer makes, the leading one first."""
JUDGED = tuple(outcome.pattern for outcome in OUTCOMES)
"""The metrics that these are made of, as `ReportSection.shows` names them."""


def outcomes(results: Results) -> list[Outcome]:
    """Return what these results are judged by: those of `OUTCOMES` that they hold, or their `metric`."""
    paths, wanted = metric_paths(results), OUTCOMES
    if results.metric:
        evaluation, _, metric = paths.get(results.metric, ("", "", results.metric))
        wanted = (
            Outcome(
                re.sub(r"[^A-Za-z0-9]+", "-", results.metric),
                results.metric,
                metric.replace("_", " "),
                re.escape(results.metric),
                direction=results.direction(evaluation, metric),
                bounded=metric.rpartition("/")[2] in ("accuracy", "class_mean_accuracy", "auc"),
            ),
        )
    return [outcome for outcome in wanted if any(re.fullmatch(outcome.pattern, n) for n in paths)]


def ranked(results: Results) -> list[Outcome]:
    """Return the outcomes of which one direction is better: the others are compared, not ranked."""
    return [outcome for outcome in outcomes(results) if outcome.direction != "neither"]


def margin_of(results: Results, outcome: Outcome) -> float | None:
    """Return the margin of equivalence; None where only a margin for accuracies is known."""
    usual = Results.margin
    return results.margin if outcome.bounded or results.margin != usual else None


def values(results: Results, outcome: Outcome) -> pd.DataFrame:
    """Return task, model, label, seed, value: a row a cell where the outcome applies, NaN for a hole."""
    chosen = [
        row for name, row in metric_paths(results).items() if re.fullmatch(outcome.pattern, name)
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
    if "(?P<kind>" not in outcome.pattern:
        return np.ones(len(frame))
    kinds = {}
    for evaluation, split, metric in chosen:
        match = re.fullmatch(outcome.pattern, f"{evaluation}/{split}/{metric}")
        kinds[f"{split}/{metric}"] = match["kind"] if match else ""
    kind = frame["column"].map(kinds)
    return 1 / kind.groupby([frame[name] for name in CELL] + [kind]).transform("size").to_numpy()
