"""Benefit against cost, a panel a task: who is on the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results
from reldrop_bench.reporting.judgement import Paired
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import Setting, detailed, labels, settings, within
from reldrop_bench.reporting.style import BASELINE
from reldrop_bench.statistics.paired import against_baseline

from .pareto import FRONT, Standing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.reporting.style import Style

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
    found: Mapping[tuple[str, Setting], Mapping[str, Standing]],
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
    split = pages(detailed(present), COLUMNS)
    figures = []
    for number, columns in enumerate(split, start=1):
        figure, panels = style.grid(
            len(judged), len(columns), (min(2.7, 8.1 / len(columns)), 2.3), (0.3, 0.8)
        )
        drawn: set[str] = set()
        for row, item in enumerate(judged):
            for column, setting in enumerate(columns):
                panel = panels[row][column]
                own = within(compared[item.outcome.key], setting)
                panel.set_title(style.text(names[setting], 22) if row == 0 else "")
                if not own["n"].sum():
                    text = "no pair" if len(own) else "does not apply"
                    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center")
                    panel.set_xticks([])
                    panel.set_yticks([])
                    continue
                standing = found.get((item.outcome.key, setting), {})
                drawn |= _panel(results, style, panel, within(axis.values, setting), own, standing)
                if row == len(judged) - 1:
                    panel.set_xlabel(axis.label)
            direction = "lower is better" if item.outcome.direction == "lower" else "up is better"
            panels[row][0].set_ylabel(f"{style.text(item.outcome.short, 20)}\n({direction})")
        shown = [label for label in labels(results) if label in drawn]
        style.legend(figure, shown)
        outcomes = " and ".join(item.outcome.text for item in judged)
        figures.append(
            Figure(
                f"cost-benefit-{axis.key}" + (f"-{number}" if len(split) > 1 else ""),
                f"Cost against benefit, {page_name(number, len(split)) or 'by task: '}difference to "
                f"“{results.baseline}” in {outcomes} (mean, 95 % t interval, not adjusted) against "
                f"{axis.text} (geometric mean). Ringed and joined: the Pareto front by means, which "
                "takes no account of the intervals. Left is cheaper; the baseline lies at zero.",
                f"Scatter plots of {outcomes} against {axis.text}, a panel a task; on the Pareto "
                f"front are {_front(names, columns, judged, found)}.",
                figure,
            )
        )
    return figures


def _front(
    names: Mapping[Setting, str],
    columns: Sequence[Setting],
    judged: Sequence[Paired],
    found: Mapping[tuple[str, Setting], Mapping[str, Standing]],
) -> str:
    parts = []
    for item in judged:
        for setting in columns:
            standing = found.get((item.outcome.key, setting), {})
            front = [label for label, place in standing.items() if place.word == FRONT]
            if front:
                parts.append(f"{names[setting]}, {item.outcome.short}: {', '.join(front)}")
    return "; ".join(parts) or "none"


def _panel(
    results: Results,
    style: Style,
    panel: Axes,
    costs: pd.DataFrame,
    compared: pd.DataFrame,
    standing: Mapping[str, Standing],
) -> set[str]:
    """Draw the labels of a setting and return those that have a place."""
    logs = costs.dropna(subset="value").sort_values("value")
    mean = np.exp(np.log(logs["value"]).groupby(logs["label"]).mean())
    panel.axhline(0, color=BASELINE, linewidth=1)
    places: dict[str, tuple[float, float]] = {}
    if results.baseline in mean.index:
        places[results.baseline] = (float(mean[results.baseline]), 0.0)
    for row in compared.to_dict("records"):
        label = row["label"]
        if label not in mean.index or not row["n"]:
            continue
        places[label] = x, y = float(mean[label]), float(row["mean"])
        if not np.isnan(row["low"]):
            looks = style.series(label)
            panel.plot([x, x], [row["low"], row["high"]], **looks, linewidth=1, alpha=0.6)
    front = sorted(
        place
        for label, place in places.items()
        if label in standing and standing[label].word == FRONT
    )
    if front:
        panel.plot(*zip(*front, strict=True), color=BASELINE, linewidth=1, zorder=1)
    for x, y in front:
        panel.plot(x, y, "o", mfc="none", mec=BASELINE, ms=11, mew=1, zorder=1)
    for label, (x, y) in places.items():
        panel.plot(x, y, style.marker(label), **style.series(label), ms=6)
    panel.locator_params(nbins=5)
    panel.margins(0.12)
    return set(places)
