"""Clouds in HDF5 files: arrays of places, classes, and normals or masks beside them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reldrop_bench import DataFiles, UserError
from reldrop_bench.errors import one_line, require_library
from reldrop_bench.kinds.content import content_of
from reldrop_bench.seeding import numpy_generator
from reldrop_bench.statistics.wording import by_number, counted

from ._clouds import choose, in_unit_sphere
from ._kept import Tensors, kept, kept_file

VERSION = 1
"""Part of the cache's name: raise it when the same files would give other clouds."""
ADVICE = "unpack the archive again"


def read_h5(
    name: str, path: Path, classes: int, beside: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """Return "data" (n, P, 3) float64 and "label" (n,) int64 of a file, and what lies `beside` them.

    beside: "normal" (n, P, 3), "mask" (n, P), both as they are. name: of the task.

    Raises
    ------
    UserError
        h5py is not installed; the file is missing, damaged, or holds something else.
    """
    require_library("h5py", "h5", f"{path.name} of the task {name}")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = {key: np.asarray(file[key][()]) for key in ("data", "label", *beside)}
        fault = _fault(found, classes)
    # A cut file may raise almost anything.
    except Exception as error:  # noqa: BLE001
        fault = one_line(error, 160) or type(error).__name__
    if fault:
        raise UserError(f"{name}: {path.absolute()} cannot be read ({fault}); {ADVICE}")
    found["data"] = found["data"].astype(np.float64)
    found["label"] = found["label"].reshape(-1).astype(np.int64)
    return found


def _fault(found: dict[str, NDArray[Any]], classes: int) -> str:
    """Say what is wrong with arrays, "" where nothing is."""
    for key, values in found.items():
        if values.dtype.kind not in "fiu":
            return f"its array {key} holds no numbers"
        if not np.isfinite(values).all():
            return f"its array {key} holds what is no finite number"
    data, label = found["data"], found["label"]
    if data.ndim != 3 or data.shape[2] != 3 or not data.size:
        return f"its array data has the shape {data.shape}, not clouds × points × 3"
    if label.size != len(data):
        return f"it holds {counted(len(data), 'cloud')} and {counted(label.size, 'label')}"
    for key, shape in (("normal", data.shape), ("mask", data.shape[:2])):
        if key in found and found[key].shape != shape:
            return f"its array {key} has the shape {found[key].shape}, not {shape}"
    if label.min() < 0 or label.max() >= classes:
        return f"its labels go from {label.min()} to {label.max()}, the classes from 0 to {classes - 1}"
    flat = (data == data[:, :1]).all((1, 2))
    return (
        f"the points of cloud {int(flat.argmax()) + 1} all lie in one place" if flat.any() else ""
    )


def h5_clouds(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    sampling: str,
    classes: int,
    beside: tuple[str, ...] = (),
) -> Tensors:
    """Return of all clouds of `files`: "clouds" (N, C, points) float32 in the unit sphere, "targets" (N,) int64.

    Points are chosen by `sampling` (see `choose`). With "normal" `beside`, C is 6; with "mask", there are "masks"
    (N, points) as well, uint8, 1 where the file has no -1. All are kept in `kept_in`, as `sampled` keeps its clouds.

    Raises
    ------
    UserError
        As `read_h5`.
    """
    digest = content_of(files).digest
    return _clouds(name, files, kept_in, part, points, sampling, classes, beside, digest)


def unread_h5(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    sampling: str,
    classes: int,
    beside: tuple[str, ...] = (),
) -> str:
    """Say how many files are to be read before the first cloud is there; "" where they were."""
    digest, depends = content_of(files).digest, [VERSION, name, sampling, classes, *beside]
    if kept_file(files, digest, kept_in, f"{part}-{points}", depends).exists():
        return ""
    count = len(files.names)
    return f"{counted(count, 'file')} of {part} {by_number(count, 'is', 'are')} to be read"


@functools.lru_cache(maxsize=4)
def _clouds(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    sampling: str,
    classes: int,
    beside: tuple[str, ...],
    digest: str,
) -> Tensors:
    count = sum(_count(name, files.folder / file) for file in files.names)
    shapes: dict[str, tuple[int, ...]] = {
        "clouds": (count, 6 if "normal" in beside else 3, points),
        "targets": (count,),
    }
    if "mask" in beside:
        shapes["masks"] = (count, points)

    def make() -> Tensors:
        parts = []
        for file in files.names:
            read = read_h5(name, files.folder / file, classes, beside)
            parts.append(_chosen(read, points, sampling, numpy_generator(name, points, file)))
        return {key: torch.cat([part[key] for part in parts]) for key in shapes}

    return kept(
        name,
        files,
        digest,
        folder=kept_in,
        label=f"{part}-{points}",
        depends=[VERSION, name, sampling, classes, *beside],
        shapes=shapes,
        make=make,
    )


def _count(name: str, path: Path) -> int:
    """Return how many clouds a file says that it holds."""
    require_library("h5py", "h5", f"{path.name} of the task {name}")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return len(file["label"])
    except Exception as error:  # noqa: BLE001 - as in read_h5
        raise UserError(
            f"{name}: {path.absolute()} cannot be read ({one_line(error, 160)}); {ADVICE}"
        ) from None


def _chosen(
    read: dict[str, NDArray[Any]], points: int, sampling: str, generator: np.random.Generator
) -> dict[str, Tensor]:
    index = choose(torch.from_numpy(read["data"]), points, sampling, generator).numpy()
    rows = np.arange(len(index))[:, None]
    values = in_unit_sphere(read["data"][rows, index])
    if "normal" in read:
        values = np.concatenate([values, read["normal"][rows, index]], 2)
    cloud = torch.from_numpy(values.transpose(0, 2, 1).astype(np.float32, order="C"))
    found = {"clouds": cloud, "targets": torch.from_numpy(read["label"])}
    if "mask" in read:
        found["masks"] = torch.from_numpy((read["mask"][rows, index] != -1).astype(np.uint8))
    return found
