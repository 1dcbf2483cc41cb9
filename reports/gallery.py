"""Inputs, what the models find relevant in them, and what was hidden in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from reldrop_bench.report.measures import Setting, labels, settings
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from reldrop_bench.report.style import Style

HIDDEN = (0.85, 0.1, 0.1)
Place = tuple[int, int]
"""Column and row of a picture."""
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
            _draw_input(axis, (0, upper), inputs)
            category = style.text(_class_of(results, setting, pictures, source, item), 16)
            axis.text(0.5, lower + 0.1, f"{category}\nitem {item}", ha="center", va="top")
            for column, label in enumerate(shown, start=1):
                relevance = pictures.get((label, "relevance", item))
                if relevance is not None:
                    _draw_relevance(axis, (column, upper), inputs, relevance.reshape(shape[1:]))
                hidden = pictures.get((label, "occluded", item))
                altered = pictures.get((label, "occluded_input", item))
                if altered is not None:
                    mask = None if hidden is None else hidden.reshape(shape[1:]) > 0.5
                    _draw_input(axis, (column, lower), altered.reshape(shape), mask, inputs)
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


def _draw_input(
    axis: Axes,
    place: Place,
    inputs: np.ndarray,
    hidden: np.ndarray | None = None,
    frame: np.ndarray | None = None,
) -> None:
    """Draw (C, H, W) or (C, N); hidden (H, W) or (N,) in red; `frame` gives scale and limits."""
    frame = inputs if frame is None else frame
    if inputs.ndim == 3:
        picture = _picture(inputs, frame)
        if hidden is not None:
            picture[hidden] = 0.55 * picture[hidden] + 0.45 * np.array(HIDDEN)
        _image(axis, place, picture)
        return
    grey = np.full((inputs.shape[1], 3), 0.35)
    if hidden is None:
        _scatter(axis, place, inputs, frame, grey)
    else:
        _scatter(axis, place, inputs[:, ~hidden], frame, grey[~hidden])
        _scatter(axis, place, frame[:, hidden], frame, np.tile(HIDDEN, (int(hidden.sum()), 1)))


def _picture(inputs: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) in 0..1 from normalised (C, H, W), scaled to the range of `frame`."""
    low, high = np.nanmin(frame), np.nanmax(frame)
    scaled = np.clip((inputs - low) / max(high - low, 1e-12), 0, 1)
    channels = scaled[:3] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, axis=0)
    return np.nan_to_num(channels.transpose(1, 2, 0)).copy()


def _draw_relevance(axis: Axes, place: Place, inputs: np.ndarray, relevance: np.ndarray) -> None:
    """Draw relevance (H, W) or (N,) in red and blue, scaled to its own largest magnitude."""
    from matplotlib import colormaps

    largest = max(float(np.nanmax(np.abs(relevance))), 1e-12)
    colors = colormaps["RdBu_r"](0.5 + 0.5 * np.nan_to_num(relevance) / largest)[..., :3]
    if inputs.ndim == 3:
        _image(axis, place, colors)
    else:
        _scatter(axis, place, inputs, inputs, colors * 0.92)


def _image(axis: Axes, place: Place, picture: np.ndarray) -> None:
    (column, row), size = place, 0.94
    extent = (column, column + size, row + size, row)
    axis.imshow(picture, extent=extent, interpolation="nearest", aspect="auto")


def _scatter(
    axis: Axes, place: Place, cloud: np.ndarray, frame: np.ndarray, colors: np.ndarray
) -> None:
    """Draw points (C, N) from a fixed corner, near points last; limits are those of `frame`."""
    view = np.array([[0.82, 0.0, -0.57], [-0.25, 0.9, -0.36], [0.51, 0.44, 0.74]])
    points, around = view @ cloud[:3], view @ frame[:3]
    order = np.argsort(points[2], kind="stable")
    centre = (around[:2].max(1) + around[:2].min(1)) / 2
    span = max(float(np.ptp(around[:2], axis=1).max()), 1e-9)
    x, y = (points[:2] - centre[:, None]) / span * 0.9
    x, y = np.clip(x, -0.5, 0.5) + place[0] + 0.47, np.clip(-y, -0.5, 0.5) + place[1] + 0.47
    axis.scatter(x[order], y[order], c=colors[order], s=3, linewidths=0, rasterized=True)
