"""Accuracy and calibration on the clean test split."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style
from reldrop_bench.reporting.layout import how_to_read
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.rows import (
    PANELS,
    POINTS,
    holes,
    labels,
    metric_values,
    settings,
    settings_in,
    within,
)
from reldrop_bench.reporting.tables import by_setting

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
    shows = tuple(f"{evaluation}/test/{metric}" for evaluation, metric, _ in METRICS)
    opening = """
    How well the models do on the clean test split, seed by seed. The standard deviation is over seeds,
    not over test items; two labels whose ranges overlap may still differ in every pair, so read
    differences in the verdict."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        frames = {
            (evaluation, metric): metric_values(results, evaluation, "test", metric)
            for evaluation, metric, _ in METRICS
        }
        if not any(len(frame) for frame in frames.values()):
            return [Prose("No cell has an accuracy or a calibration error.", "warning")]
        clean = frames["accuracy", "accuracy"]
        blocks: list[Block] = [how_to_read(self.opening)]
        if len(clean):
            blocks += [*holes(clean), *_points(results, style, clean)]
        for evaluation, metric, caption in METRICS:
            values = frames[evaluation, metric]
            if len(values):
                name = f"accuracy-{metric.replace('_', '-')}"
                table = by_setting(
                    results, name, caption, values, better=results.direction(evaluation, metric)
                )
                blocks.append(replace(table, folded=metric in FOLDED))
        return blocks


def _points(results: Results, style: Style, values: pd.DataFrame) -> Iterator[Figure]:
    names, shown = settings(results), labels(results)
    for page, which, _ in numbered(pages(settings_in(results, values), PANELS)):
        parts = {setting: within(values, setting) for setting in page}
        single = sum(map(len, parts.values())) <= POINTS
        size = (2.4, 0.6 + 0.3 * len(shown))
        figure, axes = style.panels(len(page), 3, size, (1.6, 0.3), sharey=True)
        for axis, (setting, part) in zip(axes, parts.items(), strict=True):
            for row, label in enumerate(shown):
                seeds = part.loc[part["label"] == label, "value"].dropna()
                looks, marker = style.series(label), style.marker(label)
                if single:
                    axis.plot(seeds, [row] * len(seeds), marker, **looks, mfc="none", ms=5)
                elif len(seeds):
                    axis.plot([seeds.min(), seeds.max()], [row] * 2, **looks, linewidth=0.8)
                if len(seeds):
                    axis.plot([seeds.mean()] * 2, [row - 0.3, row + 0.3], **looks, linewidth=2)
            style.label_rows(axis, shown)
            axis.set_title(style.text(names[setting]))
            axis.locator_params(axis="x", nbins=4)
            axis.ticklabel_format(axis="x", useOffset=False)
        figure.supxlabel("test accuracy", fontsize=9)
        yield Figure(
            "accuracy-points",
            f"{which}Test accuracy of every seed ({'marker' if single else 'line: all lie on it'}) and "
            "the mean of the seeds that are there (bar). "
            "Scales differ between panels and do not start at zero.",
            "Strip plot of test accuracy by label, a panel a task; the numbers are in the table below.",
            figure,
        )
