"""Aggregates of all runs: interquartile mean, optimality gap, profiles, probability of improvement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read
from reldrop_bench.reporting.outcomes import JUDGED_ACCURACIES
from reldrop_bench.reporting.pairs import Paired, paired_outcomes
from reldrop_bench.reporting.scopes import Scope, left_out, scopes
from reldrop_bench.reporting.tables import interval_text
from reldrop_bench.statistics import aggregates as of
from reldrop_bench.statistics.bootstrap import Interval, bootstrap_interval
from reldrop_bench.statistics.coverage import Aggregate, Shape, bootstrap_coverage

Runs = list[np.ndarray]
THRESHOLDS = 101
SHAPES: tuple[Shape, ...] = ("normal", "skewed")
AGGREGATES: tuple[Aggregate, ...] = ("mean", "interquartile mean", "probability of improvement")
STATISTICS: dict[str, Callable[[Runs], np.ndarray]] = {
    "interquartile mean": of.interquartile_mean,
    "mean": of.mean,
    "optimality gap": of.optimality_gap,
}
IMPROVEMENT = "probability of improvement"
NUMBERS = ["mean", "low", "high"]


@dataclass(frozen=True)
class Pool:
    """The runs of a scope's labels on one outcome."""

    item: Paired
    scope: Scope
    runs: Mapping[str, Runs]
    """By label: an array a setting."""

    @property
    def whole(self) -> list[str]:
        """The labels with a run in every setting; the others have no aggregate."""
        return [label for label, runs in self.runs.items() if all(map(len, runs))]

    @property
    def outcome(self) -> str:
        return self.item.outcome.key


class AggregateScores(ReportSection):
    """Runs of all tasks in one number each, with bootstrap intervals and what those really cover."""

    name = "aggregate-scores"
    title = "Aggregate scores"
    order = 730
    shows = JUDGED_ACCURACIES
    opening = """
    All runs of a group of tasks in one number. The interquartile mean is the mean of the middle half of
    all runs: less moved by outliers than the mean, and by single tasks than the median. The optimality gap
    is how far runs stay below an accuracy of 1. The probability of improvement is that of a run of the
    label to be above a run of the baseline on the same task, whatever the size of the difference; runs are
    not paired by seed here, so it sees less than the verdict. Tasks weigh by their accuracies, which differ
    in difficulty: read these beside the table by task. Definitions: Agarwal et al., arXiv 2108.13264."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        shared = [
            Pool(item, scope, {label: item.runs(label, scope.settings) for label in scope.labels})
            for item in paired_outcomes(results)
            if item.outcome.saturates
            for scope in scopes(results, item)
        ]
        pools = [pool for pool in shared if pool.whole]
        if not pools:
            return [
                Prose("No label has an accuracy on all tasks that labels share: nothing to pool.")
            ]
        leading = [pool for pool in pools if pool.outcome == pools[0].outcome]
        return [
            how_to_read(self.opening),
            *left_out(results, [pool.scope for pool in pools]),
            *_missing(shared),
            _table(results, [row for pool in pools for row in _rows(results, pool)]),
            _coverage(leading),
            _profiles(style, leading),
        ]


def _rows(results: Results, pool: Pool) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    base = pool.runs[results.baseline]
    for label, runs in pool.runs.items():
        row: dict[str, object] = {
            "outcome": pool.outcome,
            "short": pool.item.outcome.short,
            "tasks": pool.scope.name,
            "label": label,
            "runs": sum(map(len, runs)),
            "planned": pool.item.count(label, pool.scope.settings),
        }
        if label in pool.whole:
            for name, statistic in STATISTICS.items():
                row |= _named(name, statistic(runs), bootstrap_interval(runs, statistic))
            if label != results.baseline and results.baseline in pool.whole:
                value = of.probability_of_improvement(runs, base)
                row |= _named(IMPROVEMENT, value, of.improvement_interval(runs, base))
        rows.append(row)
    return rows


def _named(name: str, value: np.ndarray, interval: Interval) -> dict[str, object]:
    return {name: float(value), f"{name} low": interval.low, f"{name} high": interval.high}


def _table(results: Results, rows: Sequence[dict[str, object]]) -> Table:
    data = pd.DataFrame(rows)
    frame = data[["short", "tasks", "label"]].rename(columns={"short": "outcome"})
    frame["runs"] = data["runs"].astype(str) + "/" + data["planned"].astype(str)
    for name in (*STATISTICS, IMPROVEMENT):
        if name in data:
            parts = data[[name, f"{name} low", f"{name} high"]].set_axis(NUMBERS, axis=1)
            parts["n"] = parts["mean"].notna()
            records = parts.to_dict("records")
            frame[name] = [interval_text(row, counted=False, sign=False) for row in records]
    if IMPROVEMENT in frame:
        frame.loc[frame["label"] == results.baseline, IMPROVEMENT] = "baseline"
    caption = (
        "Aggregates over all runs of a group of tasks, with stratified bootstrap intervals (nominally "
        "95 %, tasks kept apart; see the next table for what they cover). A dash: the label lacks "
        "every run of a task."
    )
    return Table("aggregates", caption, frame, data=data.drop(columns="short"))


def _missing(shared: Sequence[Pool]) -> list[Prose]:
    lacking = [
        f"{pool.item.outcome.short}, {pool.scope.name}: {', '.join(missing)}"
        for pool in shared
        if (missing := [label for label in pool.runs if label not in pool.whole])
    ]
    if not lacking:
        return []
    text = (
        "Without an aggregate, because every run of a task failed or is missing (an aggregate over "
        f"the other tasks would be of other tasks): {'; '.join(lacking)}."
    )
    return [Prose(text, "warning")]


def _coverage(pools: Sequence[Pool]) -> Table:
    """Say by simulation what the intervals cover with as many runs and tasks as there are."""
    sizes = {
        (
            min(len(run) for label in pool.whole for run in pool.runs[label]),
            len(pool.scope.settings),
        )
        for pool in pools
    }
    rows = [
        {"runs a task": n, "tasks": tasks, "interval": aggregate}
        | {
            f"covers, {shape} scores": bootstrap_coverage(n, tasks, aggregate, shape=shape)
            for shape in SHAPES
        }
        for n, tasks in sorted(sizes)
        for aggregate in AGGREGATES
    ]
    caption = (
        "What these nominal 95 % intervals cover with as many runs and tasks as the leading outcome "
        "has, by simulation (400 benchmarks, "
        "standard error about one point): less than 0.95 means that they are too narrow."
    )
    formats = {f"covers, {shape} scores": "{:.3f}" for shape in SHAPES}
    return Table("aggregates-coverage", caption, pd.DataFrame(rows), formats, folded=True)


def _profiles(style: Style, pools: Sequence[Pool]) -> Figure:
    size = (max(3.4, 6.4 / len(pools)), 2.8)
    figure, axes = style.grid(1, len(pools), size, (0.3, 0.7), sharey=True)
    for axis, pool in zip(axes[0], pools, strict=True):
        everything = np.concatenate([run for label in pool.whole for run in pool.runs[label]])
        thresholds = np.linspace(everything.min(), everything.max(), THRESHOLDS)
        for label in pool.whole:
            look = style.series(label) | {"linestyle": style.line(label)}
            profile = of.performance_profile(pool.runs[label], thresholds)
            axis.step(thresholds, profile, **look, where="post", linewidth=1.4)
        axis.set_title(f"{pool.item.outcome.short}: {style.text(pool.scope.name)}")
        axis.set_xlabel("threshold")
        axis.set_ylim(-0.02, 1.02)
    axes[0][0].set_ylabel("share of runs above")
    shown = list(dict.fromkeys(label for pool in pools for label in pool.whole))
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
