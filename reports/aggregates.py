"""Aggregates of all runs: interquartile mean, optimality gap, profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results, Table
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.judgement import Paired, paired
from reldrop_bench.reporting.outcomes import outcomes
from reldrop_bench.reporting.scopes import Scope, left_out, scopes
from reldrop_bench.statistics import aggregates as of
from reldrop_bench.statistics.bootstrap import Interval, bootstrap_interval
from reldrop_bench.statistics.coverage import Aggregate, Shape, bootstrap_coverage

if TYPE_CHECKING:
    from reldrop_bench.reporting.style import Style

Runs = list[np.ndarray]
THRESHOLDS = 101
SHAPES: tuple[Shape, ...] = ("normal", "skewed")
AGGREGATES: tuple[Aggregate, ...] = ("mean", "interquartile mean", "probability of improvement")


class AggregateScores(ReportSection):
    """Runs of all tasks in one number each, with bootstrap intervals and what those really cover."""

    name = "aggregate-scores"
    title = "Aggregate scores"
    order = 730

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        lined_up = [paired(results, outcome) for outcome in outcomes(results)]
        lined_up = [item for item in lined_up if item.outcome.saturates]
        shared = [(item, scope) for item in lined_up for scope in scopes(results, item)]
        wanted = [(item, scope) for item, scope in shared if _complete(item, scope)]
        if not wanted:
            return [
                Prose("No label has an accuracy on all tasks that labels share: nothing to pool.")
            ]
        rows = [row for item, scope in wanted for row in _rows(results, item, scope)]
        blocks: list[Block] = [
            Prose(
                "All runs of a group of tasks in one number. The interquartile mean is the mean of "
                "the middle half of all runs: less moved by outliers than the mean, and by single "
                "tasks than the median. The optimality gap is how far runs stay below an accuracy "
                "of 1. The probability of improvement is that of a run of the label to be above a "
                "run of the baseline on the same task, whatever the size of the difference; runs "
                "are not paired by seed here, so it sees less than the verdict. Tasks weigh by "
                "their accuracies, which differ in difficulty: read these beside the table by task. "
                "Definitions: Agarwal et al., arXiv 2108.13264."
            ),
            *left_out(results, [scope for _, scope in wanted]),
            *_missing(shared),
            _table(results, rows),
            _coverage(wanted),
        ]
        first = wanted[0][0].outcome.key
        profiled = [(item, scope) for item, scope in wanted if item.outcome.key == first]
        blocks.append(_profiles(style, profiled))
        return blocks


def _complete(item: Paired, scope: Scope) -> tuple[str, ...]:
    """Return the labels with a run in every setting of the scope; the others have no aggregate."""
    return tuple(
        label
        for label in scope.labels
        if all(len(runs) for runs in item.runs(label, scope.settings))
    )


def _rows(results: Results, item: Paired, scope: Scope) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    whole = _complete(item, scope)
    for label in scope.labels:
        planned = item.count(label, scope.settings)
        runs = item.runs(label, scope.settings)
        row: dict[str, object] = {
            "outcome": item.outcome.key,
            "short": item.outcome.short,
            "tasks": scope.name,
            "label": label,
            "runs": sum(map(len, runs)),
            "planned": planned,
        }
        if label in whole:
            for name, statistic in STATISTICS.items():
                row |= _named(name, float(statistic(runs)), bootstrap_interval(runs, statistic))
            if label != results.baseline and results.baseline in whole:
                base = item.runs(results.baseline, scope.settings)
                value = float(of.probability_of_improvement(runs, base))
                row |= _named(IMPROVEMENT, value, of.improvement_interval(runs, base))
        rows.append(row)
    return rows


STATISTICS: dict[str, Callable[[Runs], np.ndarray]] = {
    "interquartile mean": of.interquartile_mean,
    "mean": of.mean,
    "optimality gap": of.optimality_gap,
}
IMPROVEMENT = "probability of improvement"


def _named(name: str, value: float, interval: Interval) -> dict[str, object]:
    return {name: value, f"{name} low": interval.low, f"{name} high": interval.high}


def _table(results: Results, rows: Sequence[dict[str, object]]) -> Table:
    data = pd.DataFrame(rows)
    columns: dict[str, list[str]] = {
        "outcome": [str(text) for text in data["short"]],
        "tasks": [str(text) for text in data["tasks"]],
        "label": [str(text) for text in data["label"]],
        "runs": [
            f"{n}/{planned}" for n, planned in zip(data["runs"], data["planned"], strict=True)
        ],
    }
    for name in (*STATISTICS, IMPROVEMENT):
        if name in data:
            parts = (data[name], data[f"{name} low"], data[f"{name} high"])
            columns[name] = [_text(*numbers) for numbers in zip(*parts, strict=True)]
    if IMPROVEMENT in columns:
        columns[IMPROVEMENT] = [
            "baseline" if label == results.baseline else text
            for label, text in zip(data["label"], columns[IMPROVEMENT], strict=True)
        ]
    caption = (
        "Aggregates over all runs of a group of tasks, with stratified bootstrap intervals (nominally "
        "95 %, tasks kept apart; see the next table for what they cover). A dash: the label lacks "
        "every run of a task."
    )
    frame = pd.DataFrame(columns)
    return Table("aggregates", caption, frame, data=data.drop(columns="short"))


def _text(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f} [{low:.3f}, {high:.3f}]".replace("-", "−")


def _missing(wanted: Sequence[tuple[Paired, Scope]]) -> list[Prose]:
    lacking = [
        f"{item.outcome.short}, {scope.name}: {', '.join(missing)}"
        for item, scope in wanted
        if (missing := [label for label in scope.labels if label not in _complete(item, scope)])
    ]
    if not lacking:
        return []
    text = (
        "Without an aggregate, because every run of a task failed or is missing (an aggregate over "
        f"the other tasks would be of other tasks): {'; '.join(lacking)}."
    )
    return [Prose(text, "warning")]


def _coverage(wanted: Sequence[tuple[Paired, Scope]]) -> Table:
    """Say by simulation what the intervals cover with as many runs and tasks as there are."""
    first = wanted[0][0].outcome.key
    shapes = sorted(
        {
            (
                min(len(run) for label in whole for run in item.runs(label, scope.settings)),
                len(scope.settings),
            )
            for item, scope in wanted
            if item.outcome.key == first and (whole := _complete(item, scope))
        }
    )
    rows = [
        {"runs a task": n, "tasks": tasks, "interval": aggregate}
        | {
            f"covers, {shape} scores": bootstrap_coverage(n, tasks, aggregate, shape=shape)
            for shape in SHAPES
        }
        for n, tasks in shapes
        for aggregate in AGGREGATES
    ]
    caption = (
        "What these nominal 95 % intervals cover with as many runs and tasks as the leading outcome "
        "has, by simulation (400 benchmarks, "
        "standard error about one point): less than 0.95 means that they are too narrow."
    )
    formats = {f"covers, {shape} scores": "{:.3f}" for shape in SHAPES}
    return Table("aggregates-coverage", caption, pd.DataFrame(rows), formats, folded=True)


def _profiles(style: Style, wanted: Sequence[tuple[Paired, Scope]]) -> Figure:
    figure, axes = style.grid(
        1, len(wanted), (max(3.4, 6.4 / len(wanted)), 2.8), (0.3, 0.7), sharey=True
    )
    shown: list[str] = []
    for axis, (item, scope) in zip(axes[0], wanted, strict=True):
        whole = _complete(item, scope)
        runs = {label: item.runs(label, scope.settings) for label in whole}
        everything = np.concatenate([run for own in runs.values() for run in own])
        thresholds = np.linspace(everything.min(), everything.max(), THRESHOLDS)
        for label, own in runs.items():
            look = style.series(label) | {"linestyle": style.line(label)}
            profile = of.performance_profile(own, thresholds)
            axis.step(thresholds, profile, **look, where="post", linewidth=1.4)
        shown += [label for label in whole if label not in shown]
        axis.set_title(f"{item.outcome.short}: {style.text(scope.name)}")
        axis.set_xlabel("threshold")
        axis.set_ylim(-0.02, 1.02)
    axes[0][0].set_ylabel("share of runs above")
    style.legend(figure, shown, lines=True)
    return Figure(
        "performance-profile",
        "Performance profile: the share of runs above a threshold, averaged over tasks. A curve that "
        "lies above another everywhere is better throughout; curves that cross are better at "
        "different levels. No band is drawn: with few runs it would hide the curves (intervals are "
        "in the table).",
        "Share of runs above a threshold by label, a panel a group of tasks.",
        figure,
    )
