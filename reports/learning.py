"""How training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from reldrop_bench.report.measures import labels, settings
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection

if TYPE_CHECKING:
    from reldrop_bench.report.style import Style


@dataclass(frozen=True)
class LearningCurves(ReportSection):
    """Validation accuracy and training loss by epoch."""

    name: ClassVar[str] = "learning-curves"
    title: ClassVar[str] = "Learning curves"
    order: ClassVar[int] = 800

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        epochs = results.epochs
        if epochs.empty:
            return [Prose("No epoch was recorded.")]
        return [
            Prose(
                "Validation accuracy and training loss, mean over the seeds that reached the "
                "epoch. A curve that still rises at the end says that the method was stopped "
                "early, not that it is worse; training loss is on altered inputs, so compare it "
                "within a label only."
            ),
            _curves(results, style, epochs),
        ]


def _curves(results: Results, style: Style, epochs: pd.DataFrame) -> Figure:
    names = settings(results)
    pairs = set(zip(epochs["task"], epochs["model"], strict=True))
    present = [setting for setting in names if setting in pairs]
    shown = [label for label in labels(results) if label in set(epochs["label"])]
    rows = (("validation_accuracy", "validation accuracy"), ("train_loss", "training loss"))
    figure, axes = style.grid(2, len(present), (2.4, 1.8), (0.4, 0.7), sharex="col")
    for column, (task, model) in enumerate(present):
        own = epochs[(epochs["task"] == task) & (epochs["model"] == model)]
        for row, (metric, text) in enumerate(rows):
            axis = axes[row][column]
            for label in shown:
                here = own[own["label"] == label]
                mean = here.assign(y=here[metric].astype(np.float64)).groupby("epoch")["y"].mean()
                axis.plot(mean.index, mean, style.line(label), color=style.color(label), lw=1.3)
            if column == 0:
                axis.set_ylabel(text)
        axes[0][column].set_title(style.text(names[task, model]))
        axes[1][column].set_xlabel("epoch")
    style.legend(figure, shown, lines=True)
    there = epochs[["task", "model", "label", "seed"]].drop_duplicates()
    lacking = len(results.cells) - len(there)
    remark = f" {lacking} of {len(results.cells)} cells recorded no epoch." if lacking else ""
    return Figure(
        "learning-curves",
        f"Validation accuracy (top) and training loss (bottom) by epoch, mean over seeds.{remark}",
        "Learning curves by label, a column a task.",
        figure,
    )
