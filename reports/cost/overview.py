"""Benefit against cost over all tasks together, in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reldrop_bench import Figure, Results
from reldrop_bench.reporting.judgement import Paired, judge
from reldrop_bench.reporting.rows import labels, within
from reldrop_bench.reporting.style import BASELINE

from .figures import Axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.reporting.style import Style

Places = dict[str, tuple[float, float, float, float]]
"""By label: relative cost, difference, and the ends of its interval."""


def overview(
    results: Results, style: Style, axes: Sequence[Axis], judged: Sequence[Paired]
) -> list[Figure]:
    """Return a figure with a panel an outcome and cost; none where no label has two tasks."""
    compared = judge(results, judged)
    if compared.empty or compared["settings"].max() < 2:
        return []
    figure, panels = style.grid(
        len(judged), len(axes), (min(4.2, 8.2 / len(axes)), 2.5), (0.3, 0.8)
    )
    drawn: set[str] = set()
    for row, item in enumerate(judged):
        own = compared[compared["outcome"] == item.outcome.key].set_index("label")
        for column, axis in enumerate(axes):
            places: Places = {results.baseline: (1.0, 0.0, np.nan, np.nan)}
            for label in own.index[own["n"] > 0]:
                cost = _relative_cost(results, axis, item, str(label))
                if np.isfinite(cost):
                    mean, low, high = own.loc[label, ["mean", "low", "high"]].astype(float)
                    places[str(label)] = (cost, mean, low, high)
            _panel(style, panels[row][column], places)
            drawn |= set(places)
            if row == len(judged) - 1:
                panels[row][column].set_xlabel(f"{axis.key} / baseline’s")
        up = "lower is better" if item.outcome.direction == "lower" else "up is better"
        panels[row][0].set_ylabel(f"{style.text(item.outcome.short, 20)}\n({up})")
    style.legend(figure, [label for label in labels(results) if label in drawn])
    what = " and ".join(item.outcome.text for item in judged)
    return [
        Figure(
            "cost-benefit",
            f"Cost against benefit over all tasks: mean difference to “{results.baseline}” in {what} "
            "with its 95 % interval (not adjusted), against the cost relative to the baseline’s "
            "(geometric mean over the same tasks). Labels that ran on different tasks stand here "
            "together: compare those of one kind. Fronts are drawn task by task, below.",
            f"Scatter plots of the difference in {what} against relative cost, all tasks together.",
            figure,
        )
    ]


def _relative_cost(results: Results, axis: Axis, item: Paired, label: str) -> float:
    """Return the geometric mean over the label's tasks of its cost over the baseline's."""
    logs = []
    for setting in item.common(label, results.baseline):
        costs = within(axis.values, setting).dropna(subset="value")
        own, base = (
            np.sort(costs.loc[costs["label"] == name, "value"].to_numpy(np.float64))
            for name in (label, results.baseline)
        )
        if len(own) and len(base):
            logs.append(np.log(own).mean() - np.log(base).mean())
    return float(np.exp(np.mean(np.sort(logs)))) if logs else np.nan


def _panel(style: Style, panel: Axes, places: Places) -> None:
    panel.axhline(0, color=BASELINE, linewidth=1)
    for label, (x, _, low, high) in places.items():
        if not np.isnan(low):
            panel.plot([x, x], [low, high], **style.series(label), linewidth=1, alpha=0.6)
    for label, (x, y, *_) in places.items():
        panel.plot(x, y, style.marker(label), **style.series(label), ms=6)
    panel.locator_params(nbins=5)
    panel.margins(0.12)
