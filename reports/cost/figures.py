"""Benefit against cost, a panel a task: who is on the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import Setting, detailed, labels, settings, within
from reldrop_bench.reporting.style import BASELINE
from reldrop_bench.statistics.paired import against_baseline

from .pareto import FRONT, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
"""Settings a figure at most."""


@dataclass(frozen=True)
class Axis:
    """A cost: task, model, label, seed and value of every cell that the matrix holds."""

    key: str
    label: str
    text: str
    values: pd.DataFrame


def scatter(
    results: Results,
    style: Style,
    axis: Axis,
    judged: Sequence[Paired],
    fronts: Mapping[tuple[str, Setting], Mapping[str, Standing]],
) -> list[Figure]:
    """Return the figures of a cost: a row an outcome, a column a setting.

    found: by the outcome's key and the setting, where each label stands.
    """
    compared = {item.outcome.key: against_baseline(item.frame, results.baseline) for item in judged}
    names = settings(results)
    present = [
        setting
        for setting in names
        if any(within(frame, setting)["n"].sum() for frame in compared.values())
        and within(axis.values, setting)["value"].notna().any()
    ]
    outcomes = " and ".join(item.outcome.text for item in judged)
    figures = []
    for columns, which, suffix in numbered(pages(detailed(present), COLUMNS)):
        size = (min(2.7, 8.1 / len(columns)), 2.3)
        figure, panels = style.grid(len(judged), len(columns), size, (0.3, 0.8))
        drawn: set[str] = set()
        for item, row in zip(judged, panels, strict=True):
            for setting, panel in zip(columns, row, strict=True):
                of_setting = within(compared[item.outcome.key], setting)
                panel.set_title(style.text(names[setting], 22) if item is judged[0] else "")
                if not of_setting["n"].sum():
                    style.blank(panel, "no pair" if len(of_setting) else "does not apply")
                    continue
                where = fronts.get((item.outcome.key, setting), {})
                drawn |= _panel(
                    results, style, panel, within(axis.values, setting), of_setting, where
                )
                if item is judged[-1]:
                    panel.set_xlabel(axis.label)
            row[0].set_ylabel(benefit_label(style, item))
        style.legend(figure, labels(results, drawn))
        figures.append(
            Figure(
                f"cost-benefit-{axis.key}{suffix}",
                f"Cost against benefit, {which or 'by task: '}difference to “{results.baseline}” in "
                f"{outcomes} (mean, 95 % t interval, not adjusted) against {axis.text} (geometric mean). "
                "Ringed and joined: the Pareto front by means, which takes no account of the "
                "intervals. Left is cheaper; the baseline lies at zero.",
                f"Scatter plots of {outcomes} against {axis.text}, a panel a task; on the Pareto "
                f"front are {_front(names, columns, judged, fronts)}.",
                figure,
            )
        )
    return figures


def benefit_label(style: Style, item: Paired) -> str:
    """Return how an axis of an outcome's differences is named."""
    better = "lower is better" if item.outcome.direction == "lower" else "up is better"
    return f"{style.text(item.outcome.short, 20)}\n({better})"


def draw_points(style: Style, panel: Axes, points: Mapping[str, Sequence[float]]) -> None:
    """Draw labels at (cost, benefit, low, high), with the interval where there is one."""
    panel.axhline(0, color=BASELINE, linewidth=1)
    for label, (x, _, low, high) in points.items():
        if not np.isnan(low):
            panel.plot([x, x], [low, high], **style.series(label), linewidth=1, alpha=0.6)
    for label, (x, y, *_) in points.items():
        panel.plot(x, y, style.marker(label), **style.series(label), ms=6)
    panel.locator_params(nbins=5)
    panel.margins(0.12)


def _front(
    names: Mapping[Setting, str],
    columns: Sequence[Setting],
    judged: Sequence[Paired],
    fronts: Mapping[tuple[str, Setting], Mapping[str, Standing]],
) -> str:
    parts = []
    for item in judged:
        for setting in columns:
            places = fronts.get((item.outcome.key, setting), {})
            front = [label for label, place in places.items() if place.word == FRONT]
            if front:
                parts.append(f"{names[setting]}, {item.outcome.short}: {', '.join(front)}")
    return "; ".join(parts) or "none"


def _panel(
    results: Results,
    style: Style,
    panel: Axes,
    costs: pd.DataFrame,
    compared: pd.DataFrame,
    places: Mapping[str, Standing],
) -> set[str]:
    """Draw the labels of a setting and return those that have a place."""
    logs = costs.dropna(subset="value").sort_values("value")
    mean = np.exp(np.log(logs["value"]).groupby(logs["label"]).mean())
    points: dict[str, tuple[float, ...]] = {}
    if results.baseline in mean.index:
        points[results.baseline] = (float(mean[results.baseline]), 0.0, np.nan, np.nan)
    for row in compared.to_dict("records"):
        if row["label"] in mean.index and row["n"]:
            numbers = (float(row[name]) for name in ("mean", "low", "high"))
            points[row["label"]] = (float(mean[row["label"]]), *numbers)
    draw_points(style, panel, points)
    front = sorted(
        point[:2]
        for label, point in points.items()
        if label in places and places[label].word == FRONT
    )
    if front:
        panel.plot(*zip(*front, strict=True), color=BASELINE, linewidth=1, zorder=1)
    for x, y in front:
        panel.plot(x, y, "o", mfc="none", mec=BASELINE, ms=11, mew=1, zorder=1)
    return set(points)
