"""Inputs, what the models find relevant in them, and what was hidden in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Count, Figure, Prose, ReportSection, Results, Style
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.paging import label_pages, numbered
from reldrop_bench.reporting.pictures import draw_input, draw_relevance
from reldrop_bench.reporting.rows import (
    Setting,
    detailed,
    labels,
    settings,
    settings_in,
    within,
    without_figures,
)
from reldrop_bench.statistics.wording import by_number, counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

Pictures = dict[tuple[str, str, int], np.ndarray]
"""By label, metric and item: the flattened array."""

COLUMNS = 8
"""Labels a figure at most."""
PICTURES = 400
"""Columns times samples of all tasks together at most: pictures are most of the page’s size."""
WIDTH = 8.4
"""Inches that a figure may be wide."""
MUTED = "#6e7781"


CAUTION = """
A few pictures of one seed prove nothing; they help to notice what went wrong. The samples were drawn at
random, not chosen. A map that looks convincing need not be faithful: see the section on faithfulness."""


class Gallery(ReportSection):
    """The same samples for all labels: input, relevance, what was hidden."""

    name = "gallery"
    title = "Gallery"
    order = 900
    items: Count = 3
    """Samples a task."""
    opening = """
    The same test samples for every label, all from one seed. Relevance is shown for the true class: red
    speaks for it, blue against it, each map scaled to its own largest value, so compare places and not
    strengths. The row below shows what the label’s regularizer would hide or change in that sample in
    training, where it does so. Point clouds are seen from a corner, near points darker and larger; in
    relevance maps the relevant ones are larger."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        samples = results.samples
        samples = samples[(samples["evaluation"] == "gallery") & (samples["split"] == "test")]
        if samples.empty:
            return [Prose("No sample was kept for a gallery in this benchmark.")]
        blocks: list[Block] = [how_to_read(self.opening), paragraph(CAUTION, "note")]
        inputs = samples[samples["metric"] == "input"]
        columns = len(inputs[["task", "model", "label"]].drop_duplicates())
        number = max(1, min(self.items, PICTURES // max(1, columns)))
        if number < self.items:
            are = by_number(number, "is", "are")
            text = f"So many labels and tasks: {number} of the samples kept for each {are} shown."
            blocks.append(Prose(text, "note"))
        present = settings_in(results, inputs)
        blocks += without_figures(results, present)
        for setting, name in settings(results).items():
            if setting in detailed(present):
                rows = within(samples, setting)
                blocks += self._figures(results, style, setting, name, rows, number)
            elif setting not in present:
                blocks.append(Prose(f"{name}: no cell kept a sample.", "warning"))
        return blocks

    def _figures(
        self,
        results: Results,
        style: Style,
        setting: Setting,
        name: str,
        rows: pd.DataFrame,
        count: int,
    ) -> Iterator[Figure]:
        seed = min(rows.loc[rows["metric"] == "input", "seed"])
        rows = rows[rows["seed"] == seed].sort_values(["label", "metric", "item", "x"])
        pictures: Pictures = {
            (str(label), str(metric), int(str(item))): part.to_numpy(np.float64)
            for (label, metric, item), part in rows.groupby(["label", "metric", "item"])["value"]
        }
        items = sorted({item for _, metric, item in pictures if metric == "input"})[:count]
        shown = labels(results, set(rows.loc[rows["metric"] == "input", "label"]))
        planned = set(within(results.cells, setting)["label"])
        lacking = labels(results, planned - set(shown))
        remark = f" Without samples: {', '.join(lacking)}." if lacking else ""
        for page, which, suffix in numbered(label_pages(shown, results.baseline, COLUMNS)):
            yield Figure(
                f"gallery-{name}{suffix}",
                f"{name}, {which}seed {seed}. Left the input, then for each label its relevance (upper "
                "row) and its input as altered in training, what was hidden in red (lower row)."
                f"{remark}",
                f"{counted(len(items), 'test sample')} of {name} with relevance maps and altered inputs of "
                f"{', '.join(page)}.",
                self._draw(results, style, setting, pictures, items, page, shown),
                raster=True,
            )

    def _draw(
        self,
        results: Results,
        style: Style,
        setting: Setting,
        pictures: Pictures,
        items: list[int],
        page: list[str],
        shown: list[str],
    ) -> MatplotlibFigure:
        figure, axis, size = _canvas(len(items), 1 + len(page))
        # About 5.2 points a letter of this size.
        fitting = int(size * 72 / 5.2)
        head: Any = {"ha": "center", "va": "bottom", "fontsize": 8}
        axis.text(0.47, -0.08, "input", **head)
        for column, label in enumerate(page, start=1):
            text = style.text(_short(label, fitting), fitting)
            axis.text(column + 0.47, -0.08, text, **head, color=style.color(label))
        for number, item in enumerate(items):
            source = next(label for label in shown if (label, "input", item) in pictures)
            stored = pictures.get((source, "shape", item))
            shape = tuple(
                results.tasks[setting[0]]["input_shape"] if stored is None else stored.astype(int)
            )
            inputs = pictures[source, "input", item].reshape(shape)
            upper, lower = 2 * number, 2 * number + 1
            draw_input(axis, (0, upper), inputs)
            category = style.text(_class_of(results, setting, pictures, source, item), fitting)
            about: Any = {"ha": "center", "fontsize": 8}
            axis.text(0.47, lower + 0.08, f"{category}\nitem {item}", va="top", **about)
            axis.text(0.9, lower + 0.86, "in training ▸", **about | {"ha": "right"}, color=MUTED)
            for column, label in enumerate(page, start=1):
                relevance = pictures.get((label, "relevance", item))
                if relevance is not None:
                    draw_relevance(axis, (column, upper), inputs, relevance.reshape(shape[1:]))
                hidden = pictures.get((label, "occluded", item))
                altered = pictures.get((label, "occluded_input", item))
                if altered is not None:
                    mask = None if hidden is None else hidden.reshape(shape[1:]) > 0.5
                    draw_input(axis, (column, lower), altered.reshape(shape), mask, inputs)
                else:
                    there = (label, "input", item) in pictures
                    text = "not altered" if there else "no sample"
                    axis.text(column + 0.47, lower + 0.47, text, va="center", **about, color=MUTED)
        axis.set_xlim(0, 1 + len(page))
        axis.set_ylim(2 * len(items), 0)
        return figure


def _short(label: str, fitting: int) -> str:
    """Shorten a label to three lines in its middle: what tells labels apart is often at the end."""
    room = int(2.4 * fitting)
    if len(label) <= room:
        return label
    return f"{label[: room // 2].rstrip()}…{label[-(room - room // 2) :].lstrip()}"


def _class_of(results: Results, setting: Setting, pictures: Pictures, label: str, item: int) -> str:
    value = pictures.get((label, "label", item))
    if value is None:
        return "sample"
    classes = results.tasks.get(setting[0], {}).get("classes") or ()
    number = int(value[0])
    return str(classes[number]) if 0 <= number < len(classes) else f"class {number}"


def _canvas(items: int, columns: int) -> tuple[MatplotlibFigure, Axes, float]:
    """Return one axes for all pictures, and their size in inches.

    Picture (column, row) has the unit square there.
    """
    from matplotlib.figure import Figure as MatplotlibFigure

    size = min(1.1, WIDTH / columns)
    width, height = columns * size, 2 * items * size + 0.6
    figure = MatplotlibFigure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1 - 0.6 / height))
    axis.set_axis_off()
    return figure, axis, size
