"""Pictures of inputs and relevance maps: images as they are, clouds as points seen from a corner.

Near points of a cloud are darker (where colour means nothing else), larger and drawn last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN = (0.85, 0.1, 0.1)
NEUTRAL = 0.74
"""Grey of a point that is not relevant: white would hide it."""
GridPosition = tuple[int, int]
"""Column and row of a picture: it fills the unit square there."""


def draw_input(
    axis: Axes,
    place: GridPosition,
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
    if hidden is None:
        _scatter(axis, place, inputs, frame)
    else:
        red = np.tile(HIDDEN, (int(hidden.sum()), 1))
        _scatter(axis, place, inputs[:, ~hidden], frame)
        _scatter(axis, place, frame[:, hidden], frame, red)


def _picture(inputs: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) in 0..1 from normalised (C, H, W), scaled to the range of `frame`."""
    low, high = np.nanmin(frame), np.nanmax(frame)
    scaled = np.clip((inputs - low) / max(high - low, 1e-12), 0, 1)
    channels = scaled[:3] if len(scaled) >= 3 else np.repeat(scaled[:1], 3, axis=0)
    return np.nan_to_num(channels.transpose(1, 2, 0)).copy()


def draw_relevance(
    axis: Axes, place: GridPosition, inputs: np.ndarray, relevance: np.ndarray
) -> None:
    """Draw relevance (H, W) or (N,) in red and blue, scaled to its own largest magnitude."""
    from matplotlib import colormaps

    largest = max(float(np.nanmax(np.abs(relevance))), 1e-12)
    scaled = np.nan_to_num(relevance) / largest
    colors = colormaps["RdBu_r"](0.5 + 0.5 * scaled)[..., :3]
    if inputs.ndim == 3:
        _image(axis, place, colors)
        return
    strength = np.sqrt(np.abs(scaled))[:, None]
    strong = colormaps["RdBu_r"](0.5 + 0.5 * np.sign(scaled) * np.maximum(np.abs(scaled), 0.6))
    colors = strength * strong[:, :3] + (1 - strength) * NEUTRAL
    _scatter(axis, place, inputs, inputs, colors, np.abs(scaled))


def _image(axis: Axes, place: GridPosition, picture: np.ndarray) -> None:
    (column, row), size = place, 0.94
    extent = (column, column + size, row + size, row)
    axis.imshow(picture, extent=extent, interpolation="nearest", aspect="auto")


def _scatter(
    axis: Axes,
    place: GridPosition,
    cloud: np.ndarray,
    frame: np.ndarray,
    colors: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> None:
    """Draw points (C, N) from a fixed corner; limits are those of `frame`.

    colors (N, 3), else grey by depth. weight (N,) in 0..1: heavy points are larger and drawn last.
    """
    view = np.array([[0.82, 0.0, -0.57], [-0.25, 0.9, -0.36], [0.51, 0.44, 0.74]])
    points, around = view @ cloud[:3], view @ frame[:3]
    near = (points[2] - around[2].min()) / max(float(np.ptp(around[2])), 1e-9)
    near = np.clip(np.nan_to_num(near), 0, 1)
    if colors is None:
        colors = np.repeat((0.78 - 0.62 * near)[:, None], 3, axis=1)
    order = np.argsort(near if weight is None else weight, kind="stable")
    sizes = 2 + 5 * near if weight is None else 3 + 9 * weight
    centre = (around[:2].max(1) + around[:2].min(1)) / 2
    span = max(float(np.ptp(around[:2], axis=1).max()), 1e-9)
    x, y = (points[:2] - centre[:, None]) / span * 0.9
    x, y = np.clip(x, -0.5, 0.5) + place[0] + 0.47, np.clip(-y, -0.5, 0.5) + place[1] + 0.47
    axis.scatter(x[order], y[order], c=colors[order], s=sizes[order], linewidths=0, rasterized=True)
