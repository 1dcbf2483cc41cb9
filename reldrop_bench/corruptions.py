"""Corruptions that make shifted test sets: of images (B, C, H, W) and of clouds (B, C, N).

Each takes a split in memory, a severity (0 leaves the inputs as they are) and the generator that it
draws from, and returns a new split whose items line up with the old ones; masks follow the inputs.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from reldrop_bench.data import Shifts, Split, TensorSplit
from reldrop_bench.seeding import numpy_generator

Corruption = Callable[[TensorSplit, float, np.random.Generator], TensorSplit]
Levels = Mapping[str, tuple[Corruption, Sequence[float]]]
"""Corruption and severities by name; severities count from 1."""


def corrupted(test: Callable[[], Split], stream: str, levels: Levels) -> Shifts:
    """Return one shifted test set for each corruption and severity, named ``noise/1`` and so on.

    A shift derives from `stream` (the task's name) and its own name alone, so that every model and
    every seed meets the same items.
    """

    def make(name: str, corruption: Corruption, severity: float) -> Split:
        return corruption(in_memory(test()), severity, numpy_generator(stream, "shift", name))

    return {
        f"{name}/{level}": functools.partial(make, f"{name}/{level}", corruption, severity)
        for name, (corruption, severities) in levels.items()
        for level, severity in enumerate(severities, start=1)
    }


def in_memory(split: Split) -> TensorSplit:
    """Return `split` with all its samples read."""
    if isinstance(split, TensorSplit):
        return split
    batch = split.batch(torch.arange(len(split)))
    return TensorSplit(batch.inputs, batch.labels, batch.masks)


def image_noise(split: TensorSplit, severity: float, generator: np.random.Generator) -> TensorSplit:
    """Add Gaussian noise of standard deviation `severity`, in normalised units."""
    noise = generator.standard_normal(split.inputs.shape, dtype=np.float32)
    return replace(split, inputs=split.inputs + severity * torch.from_numpy(noise))


def image_blur(split: TensorSplit, severity: float, generator: np.random.Generator) -> TensorSplit:
    """Blur with a Gaussian of `severity` pixels; borders repeat the outermost pixel."""
    images = split.inputs.numpy()
    blurred = scipy.ndimage.gaussian_filter(images, (0, 0, severity, severity), mode="nearest")
    return replace(split, inputs=torch.from_numpy(blurred))


def image_translation(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Move `severity` pixels up, down, left or right; borders repeat the outermost pixel."""
    directions = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    moves = round(severity) * directions[generator.integers(0, 4, len(split))]
    height, width = split.inputs.shape[2:]
    rows = torch.from_numpy(np.clip(np.arange(height) - moves[:, :1], 0, height - 1))[:, :, None]
    columns = torch.from_numpy(np.clip(np.arange(width) - moves[:, 1:], 0, width - 1))[:, None, :]
    items = torch.arange(len(split))[:, None, None]
    inputs = split.inputs.movedim(1, 3)[items, rows, columns].movedim(3, 1).contiguous()
    masks = None if split.masks is None else split.masks[items, rows, columns]
    return TensorSplit(inputs, split.targets, masks)


def image_occlusion(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Fill one square at a random place with the mean (0); its side is `severity` of the image."""
    height, width = split.inputs.shape[2:]
    side = round(severity * min(height, width))
    top = generator.integers(0, height - side + 1, (len(split), 1, 1))
    left = generator.integers(0, width - side + 1, (len(split), 1, 1))
    rows, columns = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    hidden = torch.from_numpy(inside)
    masks = None if split.masks is None else split.masks.masked_fill(hidden, 0)
    return TensorSplit(split.inputs.masked_fill(hidden[:, None], 0.0), split.targets, masks)


def cloud_jitter(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Add Gaussian noise of standard deviation `severity` to coordinates, not to normals."""
    clouds = split.inputs.clone()
    noise = generator.standard_normal(clouds[:, :3].shape, dtype=np.float32)
    clouds[:, :3] += severity * torch.from_numpy(noise)
    return replace(split, inputs=clouds)


def cloud_dropping(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Drop the fraction `severity` of points; copies of kept ones take their places, so N stays."""
    shape = (len(split), split.inputs.shape[2])
    order = random_orders(shape, generator)
    kept = max(1, shape[1] - round(severity * shape[1]))
    copied = generator.integers(0, kept, (shape[0], shape[1] - kept))
    source = np.broadcast_to(np.arange(shape[1]), shape).copy()
    np.put_along_axis(source, order[:, kept:], np.take_along_axis(order, copied, 1), 1)
    return take_points(split, torch.from_numpy(source))


def cloud_rotation(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Turn about a random axis by an angle ~ U(-severity, severity) degrees, normals as well."""
    axes = generator.standard_normal((len(split), 3))
    angles = np.deg2rad(generator.uniform(-severity, severity, len(split)))
    turns = torch.from_numpy(rotation_matrices(axes, angles)).float()
    parts = split.inputs.unflatten(1, (-1, 3))
    return replace(split, inputs=torch.einsum("bij,bgjn->bgin", turns, parts).flatten(1, 2))


def cloud_clutter(
    split: TensorSplit, severity: float, generator: np.random.Generator
) -> TensorSplit:
    """Replace the fraction `severity` of points by uniform ones in the cloud's bounding box.

    Their normals, if there are any, point anywhere; their mask is 0.
    """
    count, channels, points = split.inputs.shape
    replaced = random_orders((count, points), generator)[:, : round(severity * points)]
    index = torch.from_numpy(replaced)
    low = split.inputs[:, :3].amin(2, keepdim=True)
    high = split.inputs[:, :3].amax(2, keepdim=True)
    uniform = torch.from_numpy(generator.random((count, 3, index.shape[1]), dtype=np.float32))
    clutter = low + uniform * (high - low)
    if channels == 6:
        normals = unit_vectors((count, 3, index.shape[1]), generator)
        clutter = torch.cat([clutter, torch.from_numpy(normals)], 1)
    inputs = split.inputs.scatter(2, index[:, None].expand(-1, channels, -1), clutter)
    masks = None if split.masks is None else split.masks.scatter(1, index, 0)
    return TensorSplit(inputs, split.targets, masks)


CLOUD_LEVELS: Levels = {
    "jitter": (cloud_jitter, (0.03, 0.06, 0.12)),
    "dropped": (cloud_dropping, (0.5, 0.75, 0.875)),
    "rotation": (cloud_rotation, (15.0, 30.0, 60.0)),
    "clutter": (cloud_clutter, (0.1, 0.25, 0.5)),
}
"""The severities that all cloud tasks share; coordinates are about 1 in size."""


def take_points(split: TensorSplit, source: Tensor) -> TensorSplit:
    """Return clouds (and masks) whose point n is the old point `source` (B, N) int64."""
    inputs = split.inputs.gather(2, source[:, None].expand(-1, split.inputs.shape[1], -1))
    masks = None if split.masks is None else split.masks.gather(1, source)
    return TensorSplit(inputs, split.targets, masks)


def random_orders(shape: tuple[int, int], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return (B, N) int64, an independent permutation of 0 … N-1 in each row."""
    return generator.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)


def unit_vectors(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float32]:
    """Return uniformly distributed directions of the given shape (B, 3, …) float32."""
    vectors = generator.standard_normal(shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def rotation_matrices(
    axes: NDArray[np.float64], angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (B, 3, 3) rotations about `axes` (B, 3) by `angles` (B,) radians (Rodrigues)."""
    x, y, z = (axes / np.linalg.norm(axes, axis=1, keepdims=True)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    sine, cosine = np.sin(angles)[:, None, None], np.cos(angles)[:, None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * cross @ cross
