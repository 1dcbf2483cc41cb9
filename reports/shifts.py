"""Accuracy on shifted test sets: noise, blur, removed parts and whatever else a task offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import (
    CELL,
    PANELS,
    labels,
    settings,
    summary,
    with_holes,
    written,
)
from reldrop_bench.reporting.tables import by_column, differences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.reporting.style import Style

CLEAN = "clean"
MEAN = "mean of shifts"
TALLEST = 40.0
"""Inches of a figure."""
NUMBERS = 1000
"""Cells that have their numbers written into them; where there are more, a scale tells the colours."""


class Shifts(ReportSection):
    """Accuracy by kind of shift, beside the clean accuracy."""

    name = "shifts"
    title = "Shifted test sets"
    order = 400

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        values = _by_kind(results)
        if values.empty:
            return [Prose("No shifted test set was evaluated in this benchmark.")]
        blocks: list[Block] = [
            Prose(
                "Accuracy on altered copies of the test split, averaged over the severities of "
                "each kind of shift (a cell counts only if it has all severities). Read it "
                "beside the clean accuracy: a higher number here may only be a higher clean "
                "accuracy. The intervals further down are not adjusted for the number of "
                "comparisons: exploratory."
            ),
            *_heat_maps(results, style, values),
        ]
        caption = "accuracy by kind of shift, mean ± standard deviation over seeds."
        further = differences(results, "shifts-differences", "these accuracies", values)
        for name, table in by_column(results, "shifts", caption, values).items():
            blocks += [table, *([further[name]] if name in further else [])]
        return blocks


def _by_kind(results: Results) -> pd.DataFrame:
    """Return a value a cell and kind of shift, the clean accuracy and the mean over kinds too."""
    rows = written(results, "shifts")
    rows = rows[rows["metric"] == "accuracy"].dropna(subset="value")
    # Test sets without some cues have a section of their own.
    rows = rows[~rows["split"].isin(written(results, "cues")["split"])]
    if rows.empty:
        return rows
    rows = rows.assign(column=rows["split"].str.partition("/")[0])
    clean = written(results, "accuracy", "test")
    clean = clean[clean["metric"] == "accuracy"].merge(rows[["task", "model"]].drop_duplicates())
    severities = rows.groupby(["task", "model", "column"])["split"].nunique()
    means = rows.groupby([*CELL, "column"])["value"].agg(["mean", "count"]).join(severities)
    means["value"] = means["mean"].where(means["count"] == means["split"])
    kinds = means["value"].reset_index()
    whole = kinds.groupby(CELL)["value"].agg(["mean", "count"])
    number = severities.groupby(["task", "model"]).size().rename("kinds")
    whole = whole.join(number)
    overall = whole["mean"].where(whole["count"] == whole["kinds"]).rename("value").reset_index()
    parts = [clean.assign(column=CLEAN), kinds, overall.assign(column=MEAN)]
    columns = [*CELL, "column", "value"]
    return with_holes(results, pd.concat([part[columns] for part in parts], ignore_index=True))


def _heat_maps(results: Results, style: Style, values: pd.DataFrame) -> list[Figure]:
    frame = summary(results, values)
    present = [name for name in settings(results).values() if (frame["setting"] == name).any()]
    parts = {name: frame[frame["setting"] == name].dropna(subset="mean") for name in present}
    shown = {
        name: [label for label in labels(results) if label in set(part["label"])]
        for name, part in parts.items()
    }
    height = 0.9 + 0.27 * max(len(rows) for rows in shown.values())
    numbers = len(frame) <= NUMBERS
    every = pages(present, max(1, min(PANELS, int(TALLEST / height))))
    figures = []
    for number, page in enumerate(every, 1):
        figure, axes = style.grid(len(page), 1, (7.0, height), (0.0, 0.1))
        for (axis,), name in zip(axes, page, strict=True):
            axis.set_title(style.text(name), loc="left")
            _panel(axis, style, shown[name], parts[name], numbers)
        figures.append(
            Figure(
                "shifts-heat-map",
                f"{page_name(number, len(every))}Mean accuracy by label and kind of shift; the "
                "darker, the lower. Colours are scaled panel by panel.",
                "Heat map of the accuracies in the tables below, a panel a task.",
                figure,
            )
        )
    return figures


def _panel(axis: Axes, style: Style, shown: list[str], part: pd.DataFrame, numbers: bool) -> None:
    import seaborn as sns

    columns = list(dict.fromkeys(part["column"]))
    wide = part.pivot(index="label", columns="column", values="mean").reindex(
        index=shown, columns=columns
    )
    low, high = np.nanmin(wide), np.nanmax(wide)
    if not numbers:  # seaborn draws the whole figure once more for each of its panels
        _colours(axis, style, wide, low, high)
        return
    sns.heatmap(
        wide,
        ax=axis,
        vmin=low,
        vmax=max(high, low + 1e-6),
        cmap="cividis",
        annot=True,
        fmt=".2f",
        annot_kws={"fontsize": 7},
        linewidths=0.5,
        cbar=False,
        xticklabels=[style.text(column, 12) for column in columns],
        yticklabels=[style.text(label) for label in shown],
    )
    many = len(columns) > 7
    axis.tick_params(axis="x", length=0, rotation=35 if many else 0)
    axis.tick_params(axis="y", length=0, rotation=0)
    axis.set(xlabel="", ylabel="")


def _colours(axis: Axes, style: Style, wide: pd.DataFrame, low: float, high: float) -> None:
    """Draw a panel without numbers, a scale beside it."""
    values = np.ma.masked_invalid(wide.to_numpy())
    mesh = axis.pcolormesh(values, vmin=low, vmax=max(high, low + 1e-6), cmap="cividis", lw=0)
    axis.set_xticks(
        np.arange(len(wide.columns)) + 0.5, [style.text(column, 12) for column in wide.columns]
    )
    axis.set_yticks(np.arange(len(wide)) + 0.5, [style.text(label) for label in wide.index])
    axis.tick_params(axis="x", length=0, rotation=35 if len(wide.columns) > 7 else 0)
    axis.tick_params(axis="y", length=0)
    axis.invert_yaxis()
    axis.grid(visible=False)
    colorbar = axis.get_figure().colorbar(mesh, ax=axis)  # type: ignore[union-attr]
    colorbar.outline.set_visible(False)  # type: ignore[operator]
