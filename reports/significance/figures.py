"""Figures of the tests: ranks with the labels that cannot be told apart, and all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reldrop_bench import Figure, Results
from reldrop_bench.reporting.judgement import LEVEL
from reldrop_bench.reporting.tables import signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.reporting.style import Style

    from . import Ranked

WRITTEN = 12
"""Up to so many labels, the matrix holds its numbers as text."""


def rank_diagram(style: Style, ranked: Sequence[Ranked]) -> Figure:
    """Return critical-difference diagrams, a panel a group of tasks and outcome, best label on top."""
    most = max(len(each.scope.labels) for each in ranked)
    figure, axes = style.panels(len(ranked), 2, (3.9, 0.9 + 0.27 * most), (0.2, 0.1))
    for axis, each in zip(axes, ranked, strict=True):
        _ranks(axis, style, each)
    ways = {each.by_wilcoxon for each in ranked}
    tests = {
        True: "Wilcoxon’s signed-rank test over tasks",
        False: "seed-paired t tests on these tasks (too few tasks for Wilcoxon’s test of so many pairs)",
    }
    how = " or, by panel, ".join(tests[way] for way in sorted(ways, reverse=True))
    return Figure(
        "critical-difference",
        "Critical-difference diagrams: average rank over tasks, the best label on top. A bar on the "
        "right joins labels that cannot be told apart: every pair among them has p ≥ "
        f"{LEVEL}, Holm-adjusted over all pairs, by {how}.",
        "Average ranks of the labels with bars that join those that cannot be told apart.",
        figure,
    )


def _ranks(axis: Axes, style: Style, each: Ranked) -> None:
    order = np.argsort(each.ranks, kind="stable")
    place = {int(number): row for row, number in enumerate(order)}
    labels = each.scope.labels
    for number, row in place.items():
        look: dict[str, Any] = style.series(labels[number])
        look |= {"marker": style.marker(labels[number]), "linestyle": "none"}
        axis.plot([1, each.ranks[number]], [row, row], color="#b0b6bd", linewidth=0.6, zorder=1)
        axis.plot([each.ranks[number]], [row], **look, markersize=6, zorder=2)
    right = len(labels) + 0.35
    bars = [group for group in each.groups if len(group) > 1]
    for number, group in enumerate(bars):
        rows = [place[member] for member in group]
        x = right + 0.045 * len(labels) * number
        axis.plot(
            [x, x],
            [min(rows) - 0.2, max(rows) + 0.2],
            color="#808080",
            linewidth=3,
            solid_capstyle="butt",
        )
    axis.set_yticks(range(len(order)), [style.text(labels[number]) for number in order])
    axis.set_ylim(len(order) - 0.4, -0.6)
    axis.set_xlim(0.9, right + 0.045 * len(labels) * len(bars) + 0.1)
    axis.set_xticks(range(1, len(labels) + 1, max(1, len(labels) // 7)))
    axis.set_xlabel("average rank (1 is best)")
    axis.grid(axis="y", visible=False)
    tasks = len(each.kept)
    axis.set_title(f"{each.item.outcome.short}\n{style.text(each.scope.name)}, n={tasks}")


def matrix(results: Results, style: Style, each: Ranked) -> Figure:
    """Return a heat map of the seed-paired differences between all pairs of labels."""
    labels = each.scope.labels
    number = {label: place for place, label in enumerate(labels)}
    values = np.full((len(labels), len(labels)), np.nan)
    marked = np.zeros_like(values, dtype=bool)
    for row in each.pairs.to_dict("records"):
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
        text = f"{signed(value)}{star}" if len(labels) <= WRITTEN and np.isfinite(value) else star
        color = "#ffffff" if abs(value) > 0.62 * largest else "#1b1f23"
        axis.text(across, down, text, ha="center", va="center", fontsize=7, color=color)
    shown = [style.text(label, 20) for label in labels]
    axis.set_xticks(range(len(labels)), shown, rotation=45, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(labels)), shown)
    axis.grid(visible=False)
    outcome = each.item.outcome
    return Figure(
        f"pairs-{outcome.key}-{each.scope.name.replace(' ', '-')}",
        f"{outcome.text}, {each.scope.name}: mean seed-paired difference of the label in the row "
        f"to that in the column; {outcome.direction} is better. * p < {LEVEL} after Holm’s adjustment "
        "over all pairs. All numbers are in the table below.",
        f"Matrix of differences in {outcome.short} between all pairs of {len(labels)} labels.",
        figure,
    )
