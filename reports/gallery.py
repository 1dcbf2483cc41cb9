"""Inputs, what the models find relevant in them, and what was hidden in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from reldrop_bench.report.measures import Setting, labels, settings
from reldrop_bench.report.pictures import draw_input, draw_relevance
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from reldrop_bench.report.style import Style

Pictures = dict[tuple[str, str, int], np.ndarray]
"""By label, metric and item: the flattened array."""


@dataclass(frozen=True)
class Gallery(ReportSection):
    """The same samples for all labels: input, relevance, what was hidden."""

    name: ClassVar[str] = "gallery"
    title: ClassVar[str] = "Gallery"
    order: ClassVar[int] = 900
    items: int = 3
    """Samples a task."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        samples = results.samples
        samples = samples[(samples["evaluation"] == "gallery") & (samples["split"] == "test")]
        if samples.empty:
            return [Prose("No sample was kept for a gallery in this benchmark.")]
        blocks: list[Block] = [
            Prose(
                "The same test samples for every label, all from one seed. Relevance is shown "
                "for the true class: red speaks for it, blue against it, each map scaled to its "
                "own largest value, so compare places and not strengths. The row below shows "
                "what the label’s regularizer would hide or change in that sample in training, "
                "where it does so. A few pictures prove nothing; they help to notice what went "
                "wrong."
            )
        ]
        for setting, name in settings(results).items():
            own = samples[(samples["task"] == setting[0]) & (samples["model"] == setting[1])]
            if (own["metric"] == "input").any():
                blocks.append(self._figure(results, style, setting, name, own))
        return blocks

    def _figure(
        self,
        results: Results,
        style: Style,
        setting: Setting,
        name: str,
        own: pd.DataFrame,
    ) -> Figure:
        seed = min(own.loc[own["metric"] == "input", "seed"])
        own = own[own["seed"] == seed].sort_values(["label", "metric", "item", "x"])
        pictures: Pictures = {
            (str(label), str(metric), int(str(item))): part.to_numpy(np.float64)
            for (label, metric, item), part in own.groupby(["label", "metric", "item"])["value"]
        }
        items = sorted({item for _, metric, item in pictures if metric == "input"})[: self.items]
        with_input = set(own.loc[own["metric"] == "input", "label"])
        shown = [label for label in labels(results) if label in with_input]
        head: Any = {"ha": "center", "va": "bottom", "fontsize": 8}
        figure, axis = _canvas(len(items), 1 + len(shown))
        for column, label in enumerate(shown, start=1):
            place = (column + 0.5, -0.08)
            axis.text(*place, style.text(label, 16), **head, color=style.color(label))
        for number, item in enumerate(items):
            source = next(label for label in shown if (label, "input", item) in pictures)
            stored = pictures.get((source, "shape", item))
            shape = tuple(
                results.tasks[setting[0]]["input_shape"] if stored is None else stored.astype(int)
            )
            inputs = pictures[source, "input", item].reshape(shape)
            upper, lower = 2 * number, 2 * number + 1
            draw_input(axis, (0, upper), inputs)
            category = style.text(_class_of(results, setting, pictures, source, item), 16)
            axis.text(0.5, lower + 0.1, f"{category}\nitem {item}", ha="center", va="top")
            for column, label in enumerate(shown, start=1):
                relevance = pictures.get((label, "relevance", item))
                if relevance is not None:
                    draw_relevance(axis, (column, upper), inputs, relevance.reshape(shape[1:]))
                hidden = pictures.get((label, "occluded", item))
                altered = pictures.get((label, "occluded_input", item))
                if altered is not None:
                    mask = None if hidden is None else hidden.reshape(shape[1:]) > 0.5
                    draw_input(axis, (column, lower), altered.reshape(shape), mask, inputs)
        axis.set_xlim(0, 1 + len(shown))
        axis.set_ylim(2 * len(items), 0)
        missing = [label for label in labels(results) if label not in shown]
        remark = f" Without samples: {', '.join(missing)}." if missing else ""
        return Figure(
            f"gallery-{name}",
            f"{name}, seed {seed}: left the input, then for each label its relevance (upper row) "
            f"and its input as altered in training, what was hidden in red (lower row).{remark}",
            f"{len(items)} test samples of {name} with relevance maps and altered inputs of "
            f"{len(shown)} labels.",
            figure,
            raster=True,
        )


def _class_of(results: Results, setting: Setting, pictures: Pictures, label: str, item: int) -> str:
    value = pictures.get((label, "label", item))
    if value is None:
        return "sample"
    classes = results.tasks.get(setting[0], {}).get("classes") or ()
    number = int(value[0])
    return str(classes[number]) if 0 <= number < len(classes) else f"class {number}"


def _canvas(items: int, columns: int) -> tuple[MatplotlibFigure, Axes]:
    """Return one axes for all pictures: picture (column, row) has the unit square there."""
    from matplotlib.figure import Figure as MatplotlibFigure

    width, height = columns * 1.1, 2 * items * 1.1 + 0.6
    figure = MatplotlibFigure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1 - 0.6 / height))
    axis.set_axis_off()
    return figure, axis
