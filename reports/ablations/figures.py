"""Figures of ablations: the values of a parameter against the difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import Setting, settings, within
from reldrop_bench.reporting.style import BASELINE, INK, LINES

from .sweeps import Line, Sweep, spelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
"""Settings a figure at most."""
ALL = "all tasks"
FEW = 2
"""Outcomes in the figures, where there are more settings than one figure has."""
TICKS = 6
"""Values that are written below the axis, each at its place; more are left to the axis."""
MANY = 8
"""Lines a figure at most."""

HERE: Mapping[Any, Any] = {"n": 1, "n_expected": 1, "mean": 0.0}
"""The baseline's own record: it lies at zero."""

Records = Mapping[str, Mapping[Any, Any]]
"""By label: its row of `against_baseline` in a setting."""


def figures(
    results: Results,
    style: Style,
    sweep: Sweep,
    name: str,
    kept: Sequence[Paired],
    compared: Mapping[str, pd.DataFrame],
    overall: Mapping[str, Records],
) -> list[Figure]:
    """Return the figures of a sweep: a row an outcome, a column all tasks and each setting.

    By the outcome's key: compared, the differences to the baseline as `against_baseline` returns them;
    overall, those over all tasks by label.
    """
    names: dict[Setting | None, str] = {
        setting: text
        for setting, text in settings(results).items()
        if any(setting in item.planned.get(label, ()) for item in kept for label in sweep.labels)
    }
    if len(names) > 1:
        names = {None: ALL, **names}
    rows = list(kept) if len(names) <= COLUMNS else list(kept)[:FEW]
    split = [
        (columns, dict(lines))
        for lines in pages(enumerate(sweep.lines), MANY)
        for columns in pages(names, COLUMNS)
    ]
    marked = (
        "colours and line styles tell the other parameters apart, not labels"
        if len(sweep.lines) > 1
        else "colours are those of the labels"
    )
    hidden = "" if len(rows) == len(kept) else " The tables hold the other outcomes."
    drawn = []
    for (columns, lines), which, suffix in numbered(split):
        size = (min(2.6, 8.0 / len(columns)), 1.9)
        figure, axes = style.grid(len(rows), len(columns), size, (0.4, 0.7))
        for column, setting in enumerate(columns):
            axes[0][column].set_title(style.text(names[setting], 24))
            for row, item in enumerate(rows):
                axis = axes[row][column]
                if setting is None:
                    records, planned = overall[item.outcome.key], set(item.planned)
                else:
                    of_setting = within(compared[item.outcome.key], setting).to_dict("records")
                    records = {str(record["label"]): record for record in of_setting}
                    planned = {label for label, where in item.planned.items() if setting in where}
                here = planned & (sweep.labels | {results.baseline})
                if setting is not None and here and item.is_saturated(setting, *here):
                    corner: Any = {"transform": axis.transAxes, "ha": "right", "va": "top"}
                    axis.text(0.98, 0.98, "saturated", **corner, fontsize=7)
                if not planned & sweep.labels:
                    style.blank(axis, "does not apply")
                    continue
                _panel(style, axis, results.baseline, sweep, lines, records, planned)
                axis.set_xlabel(style.text(sweep.parameter) if row == len(rows) - 1 else "")
        for item, (axis, *_) in zip(rows, axes, strict=True):
            short, direction = style.text(item.outcome.short, 22), item.outcome.direction
            axis.set_ylabel(f"{short}\n({direction} is better)")
        if len(sweep.lines) > 1:
            _legend(style, figure, sweep, lines)
        drawn.append(
            Figure(
                f"{name}{suffix}",
                f"{sweep.text}, {which}difference to “{results.baseline}” (zero line), mean over seeds "
                f"with 95 % t interval, not adjusted. Scales differ between panels; {marked}. A hollow "
                f"marker lacks pairs, a cross has none.{hidden}",
                f"Plots of {', '.join(item.outcome.short for item in rows)} by {sweep.text}, a panel a "
                "task.",
                figure,
            )
        )
    return drawn


def _color(style: Style, sweep: Sweep, number: int) -> str:
    """Return the colour of a line: from dark to light, as the other parameters are in order."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if len(sweep.lines) == 1:
        return BASELINE
    return to_hex(colormaps["viridis"](0.85 * number / (len(sweep.lines) - 1)))


def _panel(
    style: Style,
    axis: Axes,
    baseline: str,
    sweep: Sweep,
    lines: Mapping[int, Line],
    records: Records,
    planned: set[str],
) -> None:
    axis.axhline(0, color=BASELINE, linewidth=1)
    places = _places(axis, style, sweep)
    spread = 0.5 * (len(lines) - 1)
    for order, (number, line) in enumerate(lines.items()):
        color = _color(style, sweep, number)
        drawn = []
        for value, label in line.points:
            if label not in planned:
                continue
            x = _beside(sweep, places, places[spelled(value)], order - spread)
            look: dict[str, Any] = style.series(label)
            look |= {"color": color} if len(sweep.lines) > 1 else {}
            record = HERE if label == baseline else records.get(label, {"n": 0})
            if not record["n"]:
                axis.plot(x, 0.03, "x", color=INK, transform=axis.get_xaxis_transform(), ms=5)
                drawn.append((x, np.nan))  # no line across a hole
                continue
            ends = [record.get("low", np.nan), record.get("high", np.nan)]
            if np.isfinite(ends).all():
                axis.plot([x, x], ends, **look, linewidth=1.4)
            whole = record["n"] == record["n_expected"]
            fill = look["color"] if whole else "white"
            axis.plot(x, record["mean"], style.marker(label), **look, mfc=fill, ms=5)
            drawn.append((x, record["mean"]))
        if drawn and sweep.numeric:
            axis.plot(
                *zip(*drawn, strict=True),
                color=color,
                ls=LINES[number % len(LINES)],
                lw=1,
                zorder=1,
            )
    axis.locator_params(axis="y", nbins=5)
    axis.margins(x=0.12)


def _places(axis: Axes, style: Style, sweep: Sweep) -> dict[str, float]:
    """Return the place of every value on the x axis, which is set up for them."""
    values = sweep.values
    if not sweep.numeric:
        names = [spelled(value) for value in values]
        wide = 10 if len(names) > 2 else 14
        axis.set_xticks(range(len(names)), [style.text(name, wide) for name in names])
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.tick_params(axis="x", labelsize=7)
        return {name: float(place) for place, name in enumerate(names)}
    if sweep.logarithmic:
        axis.set_xscale("log")
        axis.minorticks_off()
    if len(values) <= TICKS:
        axis.set_xticks([float(value) for value in values], [spelled(value) for value in values])
        axis.minorticks_off()
    elif not sweep.logarithmic:
        axis.locator_params(axis="x", nbins=5)
    return {spelled(value): float(value) for value in values}


def _beside(sweep: Sweep, places: Mapping[str, float], place: float, steps: float) -> float:
    """Move a place by some steps, so that the intervals of several lines do not hide another."""
    if steps == 0:
        return place
    every = sorted(places.values())
    if sweep.logarithmic:
        return float(place * (every[-1] / every[0]) ** (0.02 * steps))
    return float(place + 0.02 * steps * ((every[-1] - every[0]) or 1))


def _legend(style: Style, figure: Any, sweep: Sweep, lines: Mapping[int, Line]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=_color(style, sweep, number),
            linestyle=LINES[number % len(LINES)] if sweep.numeric else "none",
            marker="o",
        )
        for number in lines
    ]
    style.key(figure, handles, [style.text(line.text or "–", 40) for line in lines.values()])
