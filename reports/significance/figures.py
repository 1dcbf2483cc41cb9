"""Figures of the tests: average ranks, and all pairs with those that are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reldrop_bench import Figure, Style
from reldrop_bench.statistics.spread import written
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from . import Ranked

WRITTEN = 12
"""Up to so many labels, the matrix holds its numbers as text."""


def rank_diagram(style: Style, ranked: Sequence[Ranked]) -> Figure:
    """Return average ranks, a panel a group of tasks and outcome, best label on top."""
    most = max(len(ranking.scope.labels) for ranking in ranked)
    figure, axes = style.panels(len(ranked), 2, (3.9, 0.9 + 0.27 * most), (0.2, 0.1))
    for axis, ranking in zip(axes, ranked, strict=True):
        _ranks(axis, style, ranking)
    return Figure(
        "average-ranks",
        "Average rank over tasks, the best label on top. Ranks alone do not tell labels apart: the "
        "matrix and the table of pairs say which are. Pairs that are not are not shown to be alike "
        "either, since no evidence of a difference is no evidence that there is none.",
        "Average ranks of the labels, a row a label.",
        figure,
    )


def _ranks(axis: Axes, style: Style, ranking: Ranked) -> None:
    labels = ranking.scope.labels
    order = [int(number) for number in np.argsort(ranking.ranks, kind="stable")]
    for row, number in enumerate(order):
        label, place = labels[number], ranking.ranks[number]
        look = style.series(label) | {"marker": style.marker(label), "linestyle": "none"}
        axis.plot([1, place], [row, row], color="#b0b6bd", linewidth=0.6, zorder=1)
        axis.plot([place], [row], **look, markersize=6, zorder=2)
    style.label_rows(axis, [labels[number] for number in order])
    axis.set_xlim(0.9, len(labels) + 0.1)
    axis.set_xticks(range(1, len(labels) + 1, max(1, len(labels) // 7)))
    axis.set_xlabel("average rank (1 is best)")
    tasks = len(ranking.kept)
    axis.set_title(f"{ranking.item.outcome.short}\n{style.text(ranking.scope.name)}, n={tasks}")


def matrix(style: Style, ranking: Ranked) -> Figure:
    """Return a heat map of the seed-paired differences between all pairs of labels."""
    labels = ranking.scope.labels
    number = {label: place for place, label in enumerate(labels)}
    values = np.full((len(labels), len(labels)), np.nan)
    marked = np.zeros_like(values, dtype=bool)
    for row in ranking.pairs.to_dict("records"):
        first, second = number[row["first"]], number[row["second"]]
        values[first, second], values[second, first] = row["mean"], -row["mean"]
        marked[first, second] = marked[second, first] = row["p_holm"] < LEVEL
    size = 0.62 if len(labels) <= WRITTEN else 0.34
    side = size * len(labels)
    figure, axes = style.grid(1, 1, (side + 1.4, side), (1.3, 1.0))
    axis = axes[0][0]
    largest = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 1.0
    largest = largest or 1.0
    picture = axis.imshow(values, cmap="PuOr", vmin=-largest, vmax=largest)
    figure.colorbar(picture, ax=axis, shrink=0.7, label="row − column")
    for (down, across), value in np.ndenumerate(values):
        star = "*" if marked[down, across] else ""
        text = (
            f"{written(value, sign=True)}{star}"
            if len(labels) <= WRITTEN and np.isfinite(value)
            else star
        )
        color = "#ffffff" if abs(value) > 0.62 * largest else "#1b1f23"
        axis.text(across, down, text, ha="center", va="center", fontsize=7, color=color)
    shown = [style.text(label, 20) for label in labels]
    axis.set_xticks(range(len(labels)), shown, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(labels)), shown)
    axis.grid(visible=False)
    outcome, tasks = ranking.item.outcome, ranking.scope.name
    return Figure(
        f"pairs-{outcome.key}-{tasks.replace(' ', '-')}",
        f"{outcome.text}, {tasks}: mean seed-paired difference of the label in the row "
        f"to that in the column; {outcome.direction} is better. * p < {LEVEL} after Holm’s adjustment "
        "over all pairs, by seed-paired t tests on these tasks; a pair without it is not shown to be alike. "
        "All numbers are in the table below.",
        f"Matrix of differences in {outcome.short} between all pairs of {counted(len(labels), 'label')}.",
        figure,
    )
