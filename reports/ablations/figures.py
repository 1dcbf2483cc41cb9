"""Figures of ablations: the values of a parameter against the difference to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Results
from reldrop_bench.reporting.judgement import Paired
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import Setting, settings, within
from reldrop_bench.reporting.style import BASELINE, INK

from .sweeps import Line, Sweep, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.reporting.style import Style

COLUMNS = 4
"""Settings a figure at most."""
ALL = "all tasks"
FEW = 2
"""Outcomes in the figures, where there are more settings than one figure has."""
TICKS = 6
"""Values that are written below the axis, each at its place; more are left to the axis."""
MANY = 8
"""Lines a figure at most."""

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
    members = {label for line in sweep.lines for _, label in line.points}
    known: dict[Setting | None, str] = {
        setting: text
        for setting, text in settings(results).items()
        if any(setting in item.planned.get(label, ()) for item in kept for label in members)
    }
    if len(known) > 1:
        known = {None: ALL, **known}
    rows = list(kept) if len(known) <= COLUMNS else list(kept)[:FEW]
    split = [
        (columns, dict(lines))
        for lines in pages(enumerate(sweep.lines), MANY)
        for columns in pages(known, COLUMNS)
    ]
    what = f"{sweep.parameter} of {sweep.regularizer}"
    marked = (
        "colours and line styles tell the other parameters apart, not labels"
        if len(sweep.lines) > 1
        else "colours are those of the labels"
    )
    hidden = "" if len(rows) == len(kept) else " The tables hold the other outcomes."
    found = []
    for number, (columns, lines) in enumerate(split, start=1):
        figure, axes = style.grid(
            len(rows), len(columns), (min(2.6, 8.0 / len(columns)), 1.9), (0.4, 0.7)
        )
        for row, item in enumerate(rows):
            for column, setting in enumerate(columns):
                axis = axes[row][column]
                if setting is None:
                    records, planned = overall[item.outcome.key], set(item.planned)
                else:
                    own = within(compared[item.outcome.key], setting).to_dict("records")
                    records = {str(record["label"]): record for record in own}
                    planned = {label for label, where in item.planned.items() if setting in where}
                title = style.text(known[setting], 24) if row == 0 else ""
                here = planned & (members | {results.baseline})
                if setting is not None and here and item.is_saturated(setting, *here):
                    place: Any = {"transform": axis.transAxes, "ha": "right", "va": "top"}
                    axis.text(0.98, 0.98, "saturated", **place, fontsize=7)
                axis.set_title(title)
                if not planned & members:
                    axis.text(0.5, 0.5, "does not apply", transform=axis.transAxes, ha="center")
                    axis.set_xticks([])
                    axis.set_yticks([])
                    continue
                _panel(style, axis, results.baseline, sweep, lines, records, planned)
                axis.set_xlabel(style.text(sweep.parameter) if row == len(rows) - 1 else "")
            direction = item.outcome.direction
            axes[row][0].set_ylabel(
                f"{style.text(item.outcome.short, 22)}\n({direction} is better)"
            )
        if len(sweep.lines) > 1:
            _legend(style, figure, sweep, lines)
        found.append(
            Figure(
                f"{name}-{number}" if len(split) > 1 else name,
                f"{what}, {page_name(number, len(split))}difference to “{results.baseline}” (zero "
                "line), mean over seeds with 95 % t interval, not adjusted. Scales differ between "
                f"panels; {marked}. A hollow marker lacks pairs, a cross has none.{hidden}",
                f"Plots of {', '.join(item.outcome.short for item in rows)} by {what}, a panel a "
                "task.",
                figure,
            )
        )
    return found


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
            x = _beside(sweep, places, places[written(value)], order - spread)
            own = style.color(label) if len(sweep.lines) == 1 else color
            marker = style.marker(label)
            if label == baseline:
                axis.plot(x, 0, marker, color=own, gid=style.gid(label))
                drawn.append((x, 0.0))
                continue
            record = records.get(label)
            if record is None or not record["n"]:
                axis.plot(x, 0.03, "x", color=INK, transform=axis.get_xaxis_transform(), ms=5)
                drawn.append((x, np.nan))  # no line across a hole
                continue
            if not np.isnan(record["low"]):
                axis.plot(
                    [x, x],
                    [record["low"], record["high"]],
                    color=own,
                    gid=style.gid(label),
                    linewidth=1.4,
                )
            whole = record["n"] == record["n_expected"]
            axis.plot(
                x,
                record["mean"],
                marker,
                color=own,
                gid=style.gid(label),
                mfc=own if whole else "white",
                ms=5,
            )
            drawn.append((x, record["mean"]))
        if drawn and sweep.numeric:
            style_of_line = ("-", "--", "-.", ":")[number % 4]
            axis.plot(
                *zip(*drawn, strict=True), color=color, linestyle=style_of_line, lw=1, zorder=1
            )
    axis.locator_params(axis="y", nbins=5)
    axis.margins(x=0.12)


def _places(axis: Axes, style: Style, sweep: Sweep) -> dict[str, float]:
    """Return the place of every value on the x axis, which is set up for them."""
    values = sweep.values
    if not sweep.numeric:
        names = [written(value) for value in values]
        wide = 10 if len(names) > 2 else 14
        axis.set_xticks(range(len(names)), [style.text(name, wide) for name in names])
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.tick_params(axis="x", labelsize=7)
        return {name: float(place) for place, name in enumerate(names)}
    if sweep.logarithmic:
        axis.set_xscale("log")
        axis.minorticks_off()
    if len(values) <= TICKS:
        axis.set_xticks([float(value) for value in values], [written(value) for value in values])
        axis.minorticks_off()
    elif not sweep.logarithmic:
        axis.locator_params(axis="x", nbins=5)
    return {written(value): float(value) for value in values}


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
            linestyle=("-", "--", "-.", ":")[number % 4] if sweep.numeric else "none",
            marker="o",
        )
        for number in lines
    ]
    texts = [style.text(line.text or "–", 40) for line in lines.values()]
    longest = max(len(part) for text in texts for part in text.split("\n"))
    columns = max(1, int(figure.get_figwidth() * 72 / (longest * 5.6 + 36)))
    figure.legend(
        handles, texts, loc="outside lower center", ncols=min(columns, len(texts)), handlelength=3
    )
