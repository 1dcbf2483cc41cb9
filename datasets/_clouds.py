"""Points chosen from clouds, and clouds in files of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reldrop_bench.statistics.wording import counted

ENDINGS = (".npy", ".txt", ".xyz")
"""Files that hold one cloud as numbers."""


def farthest(places: Tensor, count: int) -> Tensor:
    """Return farthest points of clouds (B, N, 3) as indices (B, count) int64, count <= N.

    The first one is each cloud's first; each further one lies farthest from all before it (Eldar et al. 1997;
    Qi et al., arXiv 1706.02413, section 3.2).
    """
    axes = places.movedim(2, 0).contiguous()  # a coordinate at a time is five times as fast
    nearest = torch.full_like(axes[0], torch.inf)
    found = torch.zeros(len(places), count, dtype=torch.int64)
    for number in range(1, count):
        last = found[:, number - 1, None]
        distance = torch.zeros_like(nearest)
        for axis in axes:
            distance += (axis - axis.gather(1, last)).square_()
        torch.minimum(nearest, distance, out=nearest)
        found[:, number] = nearest.argmax(1)
    return found


def choose(places: Tensor, count: int, sampling: str, generator: np.random.Generator) -> Tensor:
    """Return which points of clouds (B, N, 3) to take, (B, count) int64.

    sampling: "farthest", whose points repeat in their order where there are too few; "uniform", without
    replacement where there are enough; "replacement".
    """
    size = places.shape[1]
    if sampling == "farthest":
        found = [farthest(part, min(count, size)) for part in places.split(32)]
        return torch.cat(found)[:, torch.arange(count) % size]
    again = sampling == "replacement" or size < count
    drawn = [generator.choice(size, count, replace=again) for _ in range(len(places))]
    return torch.from_numpy(np.stack(drawn))


def in_unit_sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre points (…, N, 3) and scale the farthest to distance 1."""
    centred = points - points.mean(-2, keepdims=True)
    return centred / np.linalg.norm(centred, axis=-1).max(-1)[..., None, None]


def read_cloud(path: Path, columns: tuple[int, ...]) -> NDArray[np.float64]:
    """Read a cloud (N, C): an array (.npy), or lines of numbers that commas or blanks keep apart.

    columns: what C may be.

    Raises
    ------
    ValueError, OSError, EOFError
        It is no such file, or holds a number that is not finite.
    """
    values = np.load(path, allow_pickle=False) if path.suffix.lower() == ".npy" else _lines(path)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or values.ndim != 2:
        raise ValueError("it is no table of numbers")
    if not len(values):
        raise ValueError("it is empty")
    if values.shape[1] not in columns:
        wanted = " or ".join(map(str, columns))
        raise ValueError(f"it has {counted(values.shape[1], 'column')}, not {wanted}")
    wrong = ~np.isfinite(values).all(1)
    if wrong.any():
        raise ValueError(f"point {int(wrong.argmax()) + 1} is no finite number")
    if not (values[:, :3] != values[0, :3]).any():
        raise ValueError("its points all lie in one place")
    return values.astype(np.float64)


def _lines(path: Path) -> NDArray[np.float64]:
    lines = path.read_text("utf-8-sig").splitlines()
    first = next((line for line in lines if line.partition("#")[0].strip()), "")
    if not first:
        raise ValueError("it is empty")
    return np.loadtxt(lines, delimiter="," if "," in first else None, ndmin=2)
