"""Benefit against cost over all tasks together, in one figure."""

from collections.abc import Sequence

import numpy as np

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import labels, within

from .figures import Axis, benefit_label, draw_points


def overview(
    results: Results, style: Style, axes: Sequence[Axis], judged: Sequence[Paired]
) -> list[Figure]:
    """Return a figure with a panel an outcome and cost; none where no label has two tasks."""
    compared = judge(results, judged)
    if compared.empty or compared["settings"].max() < 2:
        return []
    size = (min(4.2, 8.2 / len(axes)), 2.5)
    figure, panels = style.grid(len(judged), len(axes), size, (0.3, 0.8))
    drawn: set[str] = set()
    for item, row in zip(judged, panels, strict=True):
        of_outcome = compared[compared["outcome"] == item.outcome.key].set_index("label")
        for axis, panel in zip(axes, row, strict=True):
            points = {results.baseline: (1.0, 0.0, np.nan, np.nan)}
            for label in of_outcome.index[of_outcome["n"] > 0]:
                cost = _relative_cost(results, axis, item, str(label))
                if np.isfinite(cost):
                    mean, low, high = of_outcome.loc[label, ["mean", "low", "high"]].astype(float)
                    points[str(label)] = (cost, mean, low, high)
            draw_points(style, panel, points)
            drawn |= set(points)
            if item is judged[-1]:
                panel.set_xlabel(f"{axis.key} / baseline’s")
        row[0].set_ylabel(benefit_label(style, item))
    style.legend(figure, labels(results, drawn))
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
        of_outcome, base = (
            np.sort(costs.loc[costs["label"] == name, "value"].to_numpy(np.float64))
            for name in (label, results.baseline)
        )
        if len(of_outcome) and len(base):
            logs.append(np.log(of_outcome).mean() - np.log(base).mean())
    return float(np.exp(np.mean(np.sort(logs)))) if logs else np.nan
