"""Pictures of inputs and relevance maps: images as they are, clouds as points seen from a corner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN = (0.85, 0.1, 0.1)
Place = tuple[int, int]
"""Column and row of a picture: it fills the unit square there."""


def draw_input(
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


def draw_relevance(axis: Axes, place: Place, inputs: np.ndarray, relevance: np.ndarray) -> None:
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
