"""The figure of guidance: guided minus control, a panel an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.outcomes import margin_of
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import metric_values
from reldrop_bench.statistics.verdicts import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


def ladder(
    results: Results, style: Style, shown: Sequence[Paired], contrasts: pd.DataFrame, name: str
) -> Figure:
    """Return a row a contrast, a panel an outcome, and one for what guidance costs.

    Panels stand side by side, and below each other on narrow screens.
    """
    figure, narrow = (_drawn(results, style, shown, contrasts, columns) for columns in (3, 1))
    return Figure(
        name,
        "Every guided method minus each of its controls: the mean over tasks with the interval that the verdict "
        f"rests on ({1 - LEVEL:.0%}, and wider where several contrasts are decided together). Right of the zero line "
        "guidance adds something (left of it where lower is better). "
        "The grey band is the margin within which a difference is too small to matter; scales differ between "
        "panels. Cost: passes through the network in a training step (its time where they were not counted) over "
        "the control’s, geometric mean over cells.",
        "Forest plot of guided methods minus their controls, a panel an outcome, and their cost.",
        figure,
        narrow=narrow,
    )


def _drawn(
    results: Results, style: Style, shown: Sequence[Paired], contrasts: pd.DataFrame, columns: int
) -> Drawing:
    here = contrasts[contrasts["outcome"].isin([item.outcome.key for item in shown])]
    rungs = {(row["label"], row["other"]): row["rung"] for row in here.to_dict("records")}
    names = [f"{label} − {rung or other}" for (label, other), rung in rungs.items()]
    height = 0.75 + 0.3 * len(rungs)
    size, room = ((3.2, height), 1.6) if columns > 1 else ((2.4, height), 1.3)
    figure, axes = style.panels(len(shown) + 1, columns, size, (room, 0.3), sharey=True)
    for axis, item in zip(axes, shown, strict=False):
        lower = " (lower is better)" if item.outcome.direction == "lower" else ""
        axis.set_title(item.outcome.heading + lower)
        axis.axvline(0, color="#808080", linewidth=1)
        if (margin := margin_of(results, item.outcome)) is not None:
            axis.axvspan(-margin, margin, color="#808080", alpha=0.15, linewidth=0)
        of_outcome = here[here["outcome"] == item.outcome.key].to_dict("records")
        rows = {(row["label"], row["other"]): row for row in of_outcome}
        for place, pair in enumerate(rungs):
            row = rows.get(pair)
            if row is None or not row["n"]:
                continue
            if not pd.isna(row["verdict_low"]):
                ends = [row["verdict_low"], row["verdict_high"]]
                axis.plot(ends, [place, place], **style.series(pair[0]), linewidth=1.6)
            axis.plot([row["mean"]], [place], **_marker(style, pair[0]))
        axis.locator_params(axis="x", nbins=5)
    _costs(axes[-1], results, style, list(rungs))
    for axis in axes:
        axis.set_yticks(
            range(len(names)), [style.text(name, 40 if columns > 1 else 18) for name in names]
        )
        axis.set_ylim(len(names) - 0.55, -0.45)
    figure.supxlabel("guided method − control; of cost, the ratio", fontsize=9)
    return figure


def _marker(style: Style, label: str) -> dict[str, Any]:
    look = style.series(label) | {"marker": style.marker(label), "linestyle": "none"}
    return look | {"markersize": 6.5}


def _costs(axis: Axes, results: Results, style: Style, pairs: Sequence[tuple[str, str]]) -> None:
    """Draw what a training step costs over the control's: counted passes, else the time."""
    name, values = "passes", metric_values(results, "cost", "test", "passes_per_step")
    if values["value"].isna().all():
        name, values = "time", results.cells.assign(value=results.cells["step_seconds"])
    table = np.log(
        values.pivot(index=["task", "model", "seed"], columns="label", values="value").astype(float)
    )
    axis.set_title(f"cost: {name} of a step / control’s")
    axis.axvline(1, color="#808080", linewidth=1)
    for place, (label, other) in enumerate(pairs):
        ratio = float(np.exp((table[label] - table[other]).mean()))
        if np.isfinite(ratio):
            axis.plot([ratio], [place], **_marker(style, label))
            axis.annotate(
                f"{ratio:.2f}×",
                (ratio, place),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.8), max(high, 1.2) + 0.25 * (max(high, 1.2) - min(low, 0.8)))
    axis.locator_params(axis="x", nbins=5)
