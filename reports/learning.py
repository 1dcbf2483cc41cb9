"""How training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from reldrop_bench.report.measures import (
    Setting,
    labels,
    settings,
    with_holes,
    within,
    written,
)
from reldrop_bench.report.tables import by_column
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection, Table

if TYPE_CHECKING:
    from reldrop_bench.report.style import Style

TARGET = "epochs_to_"
GAPS = {"accuracy_gap": "accuracy gap", "loss_gap": "loss gap"}


@dataclass(frozen=True)
class LearningCurves(ReportSection):
    """Validation accuracy, training loss and the gap by epoch; the gap at the end."""

    name: ClassVar[str] = "learning-curves"
    title: ClassVar[str] = "Learning curves"
    order: ClassVar[int] = 800

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        epochs = results.epochs
        tables = _tables(results)
        if epochs.empty and not tables:
            return [Prose("No epoch was recorded, and no generalization gap measured.")]
        blocks: list[Block] = []
        if len(epochs):
            blocks += [
                Prose(
                    "Validation accuracy and training loss, mean over the seeds that reached the "
                    "epoch. A curve that still rises at the end says that the method was stopped "
                    "early, not that it is worse; training loss is on altered inputs, so compare "
                    "it within a label only. The gap is the accuracy on training items as they "
                    "are, neither augmented nor occluded, less that on validation items: how much "
                    "of what is learned does not generalise. A small gap at a low accuracy is no "
                    "merit."
                ),
                _curves(results, style, epochs),
            ]
        return [*blocks, *tables]


def _curves(results: Results, style: Style, epochs: pd.DataFrame) -> Figure:
    names = settings(results)
    pairs = set(zip(epochs["task"], epochs["model"], strict=True))
    present = [setting for setting in names if setting in pairs]
    shown = [label for label in labels(results) if label in set(epochs["label"])]
    numbers = epochs.assign(gap=_number(epochs, "clean_train_accuracy"))
    numbers["gap"] -= _number(epochs, "validation_accuracy")
    rows = [("validation_accuracy", "validation accuracy"), ("train_loss", "training loss")]
    if numbers["gap"].notna().any():
        rows.append(("gap", "gap in accuracy"))
    figure, axes = style.grid(len(rows), len(present), (2.4, 1.8), (0.4, 0.7), sharex="col")
    for column, setting in enumerate(present):
        own = within(numbers, setting)
        for row, (metric, text) in enumerate(rows):
            axis = axes[row][column]
            for label in shown:
                here = own[own["label"] == label]
                mean = here.assign(y=_number(here, metric)).groupby("epoch")["y"].mean()
                axis.plot(mean.index, mean, style.line(label), color=style.color(label), lw=1.3)
            if column == 0:
                axis.set_ylabel(text)
            if metric == "gap":
                axis.axhline(0, color="#808080", linewidth=0.6)
        axes[0][column].set_title(style.text(names[setting]))
        axes[-1][column].set_xlabel("epoch")
        axes[-1][column].locator_params(axis="x", integer=True, nbins=5)
    style.legend(figure, shown, lines=True)
    there = epochs[["task", "model", "label", "seed"]].drop_duplicates()
    lacking = len(results.cells) - len(there)
    remark = f" {lacking} of {len(results.cells)} cells recorded no epoch." if lacking else ""
    what = ", ".join(text for _, text in rows)
    return Figure(
        "learning-curves",
        f"From top to bottom, by epoch, mean over seeds: {what}.{remark}",
        "Learning curves by label, a column a task.",
        figure,
    )


def _number(epochs: pd.DataFrame, column: str) -> pd.Series:
    return epochs[column].astype(np.float64)


def _tables(results: Results) -> list[Table]:
    """Return for each setting the gap at the end and the epochs to each target."""
    gaps = written(results, "generalization", "test").sort_values("metric", kind="stable")
    gaps = gaps[gaps["metric"].isin(list(GAPS))].assign(column=gaps["metric"].map(GAPS))
    caption = (
        "gap between training items as they are and test items at the end of training (accuracy: "
        "training less test; loss: test less training), mean ± standard deviation over seeds, and "
        "the first epoch that reaches a validation accuracy, mean over the seeds that do. Those "
        "that do not are not in the mean: it flatters a label that lacks some."
    )
    tables = by_column(results, "generalization", caption, with_holes(results, gaps))
    found = []
    for setting, name in settings(results).items():
        epochs = _epochs_to(results, setting)
        table = tables.get(name)
        if table is None and not epochs.empty:
            base = [label for label in labels(results) if label in set(epochs.index)]
            table = Table(
                f"generalization-{name}", f"{name}: {caption}", pd.DataFrame({"label": base})
            )
        if table is not None:
            frame = table.frame.join(epochs, on="label")
            found.append(
                replace(table, frame=frame, tones={**(table.tones or {}), **_tones(epochs)})
            )
    return found


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
            texts[label] = f"{what} ({len(reached)}/{measured} seeds{lacking})"
        columns[f"epochs to {target:g}"] = pd.Series(texts)
    return pd.DataFrame(columns)
