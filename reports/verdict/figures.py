"""The figure of the verdict: differences over all tasks, with every task's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.outcomes import margin_of
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import POINTS, labels

from .tables import unjudged

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def forest(
    results: Results, style: Style, lined_up: Sequence[Paired], compared: pd.DataFrame
) -> Figure:
    """Return a panel an outcome: mean and interval over tasks, each task's mean as a small ring."""
    shown = labels(results, set(compared["label"]))
    height = 0.75 + 0.34 * len(shown)
    figure, axes = style.panels(len(lined_up), 2, (3.6, height), (1.6, 0.3), sharey=True)
    for axis, item in zip(axes, lined_up, strict=True):
        here = compared[compared["outcome"] == item.outcome.key]
        axis.set_title(item.outcome.heading)
        _panel(axis, results, style, shown, item, here)
    figure.supxlabel(f"difference to “{style.text(results.baseline)}”", fontsize=9)
    has_margin = any(margin_of(results, item.outcome) is not None for item in lined_up)
    band = " The grey band is the margin, within which a difference is too small to matter."
    return Figure(
        "verdict-forest",
        "Seed-paired differences over all tasks: the large marker is the mean, the line the "
        "interval that the verdict rests on; below it a small dot is one pair of seeds (where there are few "
        "enough), a ring the mean on one of several tasks. Right of the zero line is "
        "higher than the baseline. Scales differ between panels. A hollow large marker lacks "
        f"pairs or tasks that were planned.{band if has_margin else ''}",
        "Forest plot of the differences in the table of verdicts, a panel an outcome.",
        figure,
    )


def _panel(
    axis: Axes,
    results: Results,
    style: Style,
    shown: Sequence[str],
    item: Paired,
    compared: pd.DataFrame,
) -> None:
    axis.axvline(0, color="#808080", linewidth=1)
    if (margin := margin_of(results, item.outcome)) is not None:
        axis.axvspan(-margin, margin, color="#808080", alpha=0.15, linewidth=0)
    records = {row["label"]: row for row in compared.to_dict("records")}
    for height, label in enumerate(shown):
        row = records.get(label)
        if row is None or not row["n"]:
            text = unjudged(results, item, label) if row is None else "no pair"
            where = axis.get_yaxis_transform()
            axis.text(0.98, height, text, transform=where, va="center", ha="right", fontsize=7)
            continue
        groups = item.groups(label, results.baseline)
        means = [np.nanmean(group) for group in groups if np.isfinite(group).any()]
        look = style.series(label) | {"marker": style.marker(label), "linestyle": "none"}
        pairs = np.concatenate([group[np.isfinite(group)] for group in groups])
        if len(compared) * len(pairs) <= POINTS // 4:  # the figure has four panels
            dots = look | {"marker": "o", "markersize": 1.8, "markeredgewidth": 0}
            axis.plot(pairs, [height + 0.3] * len(pairs), **dots, alpha=0.75)
        if len(means) > 1:
            rings = look | {"marker": "o", "markerfacecolor": "none", "markersize": 3.5}
            axis.plot(means, [height + 0.3] * len(means), **rings, markeredgewidth=0.8)
        whole = row["n"] == row["n_expected"] and row["settings"] == row["settings_expected"]
        if not pd.isna(row["verdict_low"]):
            ends = [row["verdict_low"], row["verdict_high"]]
            axis.plot(ends, [height, height], **style.series(label), linewidth=1.6)
        fill = look["color"] if whole else "white"
        axis.plot([row["mean"]], [height], **look, markerfacecolor=fill, markersize=6.5)
    style.label_rows(axis, shown, edge=0.45)
    axis.locator_params(axis="x", nbins=5)
