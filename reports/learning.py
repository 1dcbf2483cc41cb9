"""How training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.paging import label_pages, numbered, pages
from reldrop_bench.reporting.rows import (
    Setting,
    detailed,
    labels,
    metric_rows,
    settings,
    settings_in,
    with_holes,
    within,
    without_figures,
)
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column
from reldrop_bench.statistics.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

COLUMNS = 4
"""Settings a figure at most: more do not fit the page’s width."""
LABELS = 9
"""Labels a figure at most."""
BANDS = 4
"""Labels with a band each that still can be told apart in one panel."""
BAND = ", with a band of ± 1 standard deviation"
TARGET = "epochs_to_"
FURTHER = (
    "generalization/test/(train_accuracy|train_loss|test_loss)",
    "generalization/validation/(accuracy_gap|best_validation_epoch)",
)
GAPS = {"accuracy_gap": "accuracy gap", "loss_gap": "loss gap"}


BANDS_SAY = """
A band is one standard deviation of single runs to either side, not an interval of the mean, and not of a
difference: runs of one seed go up and down together, so bands that overlap do not say that methods are
alike. The verdict compares them seed by seed."""


class LearningCurves(ReportSection):
    """Validation accuracy, training loss and the gap by epoch; the gap at the end."""

    name = "learning-curves"
    title = "Learning curves"
    order = 800
    shows = ("generalization/.*",)
    opening = """
    Validation accuracy and training loss, mean over the seeds that reached the epoch. A curve that still
    rises at the end says that the method was stopped early, not that it is worse; training loss is on
    altered inputs, so compare it within a label only. The gap is the accuracy on training items as they
    are, neither augmented nor occluded, less that on validation items: how much of what is learned does
    not generalise. A small gap at a low accuracy is no merit."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        epochs, tables = results.epochs, _tables(results)
        further = further_tables(results, "generalization-further", FURTHER).values()
        if epochs.empty:
            nothing = Prose("No epoch was recorded, and no generalization gap measured.")
            return [*tables, *further] or [nothing]
        present = settings_in(results, epochs)
        figures = _curves(results, style, epochs, present)
        blocks: list[Block] = [how_to_read(self.opening)]
        if any(BAND in figure.caption for figure in figures):
            seeds = results.cells.groupby(["task", "model", "label"])["seed"].nunique()
            few = f" With {counted(seeds.min(), 'seed')} such a deviation is itself very uncertain."
            blocks.append(paragraph(BANDS_SAY + few * bool(seeds.min() < 5), "note"))
        return [*blocks, *without_figures(results, present), *figures, *tables, *further]


def _curves(
    results: Results, style: Style, epochs: pd.DataFrame, present: Sequence[Setting]
) -> list[Figure]:
    names, shown = settings(results), labels(results, set(epochs["label"]))
    numbers = epochs.assign(gap=_number(epochs, "clean_train_accuracy"))
    numbers["gap"] -= _number(epochs, "validation_accuracy")
    rows = [("validation_accuracy", "validation accuracy"), ("train_loss", "training loss")]
    if numbers["gap"].notna().any():
        rows.append(("gap", "gap in accuracy"))
    lacking = len(results.cells) - len(epochs[["task", "model", "label", "seed"]].drop_duplicates())
    cells = counted(lacking, "cell", total=len(results.cells))
    remark = f" {cells} recorded no epoch." if lacking else ""
    split = [
        (columns, group)
        for columns in pages(detailed(present), COLUMNS)
        for group in _groups(results, numbers, columns, shown)
    ]
    what = ", ".join(text for _, text in rows)
    figures = []
    for (columns, group), which, suffix in numbered(split):
        figure = _draw(style, numbers, {s: names[s] for s in columns}, group, rows)
        banded = any(axis.collections for axis in figure.axes)
        band = BAND if banded else f" (bands are drawn for at most {BANDS} labels a panel)"
        figures.append(
            Figure(
                f"learning-curves{suffix}",
                f"Learning curves, {which}from top to bottom, by epoch, mean over seeds{band}: "
                f"{what}.{remark}",
                f"Learning curves of {', '.join(group)}, a column a task.",
                figure,
            )
        )
    return figures


def _groups(
    results: Results, numbers: pd.DataFrame, columns: Sequence[Setting], shown: Sequence[str]
) -> list[list[str]]:
    """Return the labels that a figure of these settings shows, on as many pages as they need."""
    present = [set(within(numbers, setting)["label"]) for setting in columns]
    of_setting = [label for label in shown if label in set().union(*present)]
    # Labels of different tasks meet in the legend only.
    return (
        [of_setting]
        if max(map(len, present)) <= LABELS
        else label_pages(of_setting, results.baseline, LABELS)
    )


def _draw(
    style: Style,
    numbers: pd.DataFrame,
    columns: Mapping[Setting, str],
    group: Sequence[str],
    rows: Sequence[tuple[str, str]],
) -> MatplotlibFigure:
    size = (min(2.7, 8.2 / len(columns)), 1.8)
    figure, axes = style.grid(len(rows), len(columns), size, (0.4, 0.7), sharex="col")
    for column, (setting, name) in enumerate(columns.items()):
        of_setting = within(numbers, setting)
        of_setting = of_setting[of_setting["label"].isin(group)]
        bands = of_setting["label"].nunique() <= BANDS
        for row, (metric, text) in enumerate(rows):
            axis = axes[row][column]
            values = of_setting.assign(y=_number(of_setting, metric)).sort_values("y")
            grouped = values.groupby(["label", "epoch"])["y"].agg(["mean", "std"])
            for label in group:
                if label not in grouped.index:
                    continue
                line, looks = grouped.loc[label], style.series(label)
                axis.plot(line.index, line["mean"], style.line(label), **looks, lw=1.3)
                if bands and line["std"].notna().any():
                    low, high = line["mean"] - line["std"], line["mean"] + line["std"]
                    if metric == "validation_accuracy":
                        low, high = low.clip(0, 1), high.clip(0, 1)
                    axis.fill_between(line.index, low, high, **looks, alpha=0.13, lw=0)
            if column == 0:
                axis.set_ylabel(text)
            if metric == "gap":
                axis.axhline(0, color="#808080", linewidth=0.6)
        axes[0][column].set_title(style.text(name, 24))
        axes[-1][column].set_xlabel("epoch")
        axes[-1][column].locator_params(axis="x", integer=True, nbins=5)
    style.legend(figure, group, lines=True)
    return figure


def _number(epochs: pd.DataFrame, column: str) -> pd.Series:
    return epochs[column].astype(np.float64)


def _tables(results: Results) -> list[Table]:
    """Return for each setting the gap at the end and the epochs to each target."""
    gaps = metric_rows(results, "generalization", "test").sort_values("metric", kind="stable")
    gaps = gaps[gaps["metric"].isin(list(GAPS))].assign(column=gaps["metric"].map(GAPS))
    caption = (
        "gap between training items as they are and test items at the end of training (accuracy: "
        f"training less test; loss: test less training), {OVER_SEEDS}, and "
        "the first epoch that reaches a validation accuracy, mean over the seeds that do. Those "
        "that do not are not in the mean: it flatters a label that lacks some."
    )
    tables = by_column(results, "generalization", caption, with_holes(results, gaps))
    joined = []
    for setting, name in settings(results).items():
        epochs = _epochs_to(results, setting)
        table = tables.get(name)
        if table is None and not epochs.empty:
            base = pd.DataFrame({"label": labels(results, epochs.index)})
            table = Table(f"generalization-{name}", f"{name}: {caption}", base)
        if table is not None:
            tones = {**(table.tones or {}), **_tones(epochs)}
            joined.append(replace(table, frame=table.frame.join(epochs, on="label"), tones=tones))
    return joined


def _tones(epochs: pd.DataFrame) -> dict[str, str]:
    """Mark the texts of `_epochs_to` that are means of some seeds only, or of none."""
    tones = {}
    for text in {str(text) for column in epochs for text in epochs[column]}:
        reached, measured = text.partition("(")[2].partition(" ")[0].split("/")
        if reached != measured or "missing" in text:
            tones[text] = "muted" if text.startswith("never") and "missing" not in text else "warn"
    return tones


def _epochs_to(results: Results, setting: Setting) -> pd.DataFrame:
    """Return a row a label, a column a target: "3.3 (2/3 seeds)", of those that were measured."""
    rows, notes = (
        within(frame[frame["evaluation"] == "generalization"], setting)
        for frame in (results.metrics, results.notes)
    )
    rows = pd.concat([rows, notes.assign(value=np.nan)], ignore_index=True)
    rows = rows[rows["split"] == "validation"]
    metrics = rows["metric"].astype(str)
    targets = sorted(
        {float(metric.removeprefix(TARGET)) for metric in metrics if metric.startswith(TARGET)}
    )
    cells = within(results.cells, setting)
    columns = {}
    for target in targets:
        of_target = rows[metrics == f"{TARGET}{target:g}"]
        texts = {}
        for label, planned in cells.groupby("label").size().items():
            here = of_target[of_target["label"] == label]
            reached = here["value"].dropna().astype(np.float64).sort_values()
            measured = here["seed"].nunique()
            lacking = "" if measured == planned else f", {planned - measured} missing"
            what = f"{reached.mean():.1f}" if len(reached) else "never" if measured else "–"
            texts[label] = f"{what} ({len(reached)}/{counted(measured, 'seed')}{lacking})"
        columns[f"epochs to {target:g}"] = pd.Series(texts)
    return pd.DataFrame(columns)
