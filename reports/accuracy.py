"""Accuracy and calibration on the clean test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import (
    PANELS,
    POINTS,
    Setting,
    holes,
    labels,
    measure,
    settings,
    within,
)
from reldrop_bench.reporting.tables import by_setting

if TYPE_CHECKING:
    from reldrop_bench.reporting.style import Style

METRICS = (
    ("accuracy", "accuracy", "Accuracy on the test split, mean ± standard deviation over seeds."),
    ("accuracy", "class_mean_accuracy", "Class-mean accuracy: every class counts the same."),
    ("calibration", "ece", "Expected calibration error, 15 equal-width bins (lower is better)."),
    ("calibration", "rms_calibration_error", "RMS calibration error, adaptive bins of 100 (lower is better)."),
    ("calibration", "brier", "Brier score (lower is better)."),
    ("calibration", "nll", "Negative log-likelihood (lower is better)."),
)  # fmt: skip

FOLDED = ("rms_calibration_error", "brier", "nll")


class Accuracy(ReportSection):
    """Accuracy overall and by class mean, calibration error and likelihood."""

    name = "accuracy"
    title = "Accuracy and calibration"
    order = 300

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        frames = {
            (evaluation, metric): measure(results, evaluation, "test", metric)
            for evaluation, metric, _ in METRICS
        }
        if not any(len(frame) for frame in frames.values()):
            return [Prose("No cell has an accuracy or a calibration error.", "warning")]
        blocks: list[Block] = [
            Prose(
                "How well the models do on the clean test split, seed by seed. The standard "
                "deviation is over seeds, not over test items; two labels whose ranges overlap "
                "may still differ in every pair, so read differences in the verdict."
            )
        ]
        clean = frames["accuracy", "accuracy"]
        if len(clean):
            blocks += [*holes(clean), *_points(results, style, clean)]
        for evaluation, metric, caption in METRICS:
            values = frames[evaluation, metric]
            if len(values):
                name = f"accuracy-{metric.replace('_', '-')}"
                table = by_setting(results, name, caption, values)
                blocks.append(replace(table, folded=metric in FOLDED))
        return blocks


def _points(results: Results, style: Style, values: pd.DataFrame) -> list[Figure]:
    present = [setting for setting in settings(results) if len(within(values, setting))]
    every = pages(present, PANELS)
    return [
        _page(results, style, values, page, page_name(number, len(every)))
        for number, page in enumerate(every, 1)
    ]


def _page(
    results: Results, style: Style, values: pd.DataFrame, present: list[Setting], page: str
) -> Figure:
    names, shown = settings(results), labels(results)
    parts = {setting: within(values, setting) for setting in present}
    single = sum(map(len, parts.values())) <= POINTS
    size = (2.4, 0.6 + 0.3 * len(shown))
    figure, axes = style.panels(len(present), 3, size, (1.6, 0.3), sharey=True)
    for axis, setting in zip(axes, present, strict=True):
        here = parts[setting]
        for place, label in enumerate(shown):
            seeds = here.loc[here["label"] == label, "value"].dropna()
            looks, marker = style.series(label), style.marker(label)
            if single:
                axis.plot(seeds, [place] * len(seeds), marker, **looks, mfc="none", ms=5)
            elif len(seeds):
                axis.plot([seeds.min(), seeds.max()], [place] * 2, **looks, linewidth=0.8)
            if len(seeds):
                axis.plot([seeds.mean()] * 2, [place - 0.3, place + 0.3], **looks, linewidth=2)
        axis.set_yticks(range(len(shown)), [style.text(label) for label in shown])
        axis.set_ylim(len(shown) - 0.4, -0.6)
        axis.set_title(style.text(names[setting]))
        axis.grid(axis="y", visible=False)
        axis.locator_params(axis="x", nbins=4)
        axis.ticklabel_format(axis="x", useOffset=False)
    figure.supxlabel("test accuracy", fontsize=9)
    return Figure(
        "accuracy-points",
        f"{page}Test accuracy of every seed ({'marker' if single else 'line: all lie on it'}) and "
        "the mean of the seeds that are there (bar). "
        "Scales differ between panels and do not start at zero.",
        "Strip plot of test accuracy by label, a panel a task; the numbers are in the table below.",
        figure,
    )
