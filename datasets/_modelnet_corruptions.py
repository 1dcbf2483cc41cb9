"""Published corruptions of ModelNet40's test clouds: ModelNet40-C and ModelNet-C."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch

from reldrop_bench import DataFiles, Shifts, TensorSplit, UserError
from reldrop_bench.errors import one_line

from ._h5 import read_h5
from ._image_arrays import file_states

SEVERITIES = range(1, 6)
MODELNET40_C = (
    "background", "cutout", "density", "density_inc", "distortion", "distortion_rbf", "distortion_rbf_inv",
    "gaussian", "impulse", "lidar", "occlusion", "rotation", "shear", "uniform", "upsampling",
)  # fmt: skip
"""Sun et al., arXiv 2201.12296: arrays of clouds, and one of their labels."""
MODELNET_C = (
    "scale", "jitter", "rotate", "dropout_global", "dropout_local", "add_global", "add_local",
)  # fmt: skip
"""Ren et al., arXiv 2202.03377: a file for each corruption and level, counted from 0."""
FILES = {
    "modelnet40-c": {
        f"{kind}/{level}": f"data_{kind}_{level}.npy"
        for kind in MODELNET40_C
        for level in SEVERITIES
    },
    "modelnet-c": {
        f"{kind}/{level}": f"{kind}_{level - 1}.h5" for kind in MODELNET_C for level in SEVERITIES
    },
}
"""By folder below the one of local data, and by shift, its file."""
ADVICE = "unpack the archive again, or remove the folder"


def published_files(name: str, root: Path | None) -> list[str]:
    """Return the corrupted files below `root`, of those folders that are there.

    Raises
    ------
    UserError
        A folder lacks one of its files.
    """
    found = []
    for benchmark, files in FILES.items():
        if root is not None and (root / benchmark).is_dir():
            labels = ["label.npy"] if benchmark == "modelnet40-c" else []
            names = [*labels, *files.values()]
            file_states(name, root / benchmark, names, ADVICE)
            found += [f"{benchmark}/{file}" for file in names]
    return found


def published_shifts(name: str, root: Path, classes: int) -> Shifts:
    """Return a shifted test set for each file that is there, such as ``modelnet-c-jitter/3``.

    Clouds are as they were published, with as many points as they have. They stand in an order of their own.

    Raises
    ------
    UserError
        When a set is made: a file is damaged, or holds something else.
    """
    there = published_files(name, root)
    return {
        f"{benchmark}-{shift}": functools.partial(_read, name, root / benchmark / file, classes)
        for benchmark, files in FILES.items()
        for shift, file in files.items()
        if f"{benchmark}/{file}" in there
    }


def _read(name: str, path: Path, classes: int) -> TensorSplit:
    if path.suffix == ".h5":
        read = read_h5(name, path, classes)
        data, labels = read["data"], read["label"]
    else:
        data, labels = _load(name, path), _load(name, path.parent / "label.npy").reshape(-1)
        fault = ""
        if data.ndim != 3 or data.shape[2] != 3 or not np.isfinite(data).all():
            fault = f"{data.shape}, not finite clouds × points × 3"
        elif len(data) != len(labels):
            fault = f"other clouds than label.npy, {len(data)} against {len(labels)}"
        elif not np.isin(labels, np.arange(classes)).all():
            fault = f"clouds whose labels go from {labels.min()} to {labels.max()}, not 0 to {classes - 1}"
        if fault:
            raise UserError(f"{name}: {path.absolute()} holds {fault}; {ADVICE}")
    clouds = torch.from_numpy(data.transpose(0, 2, 1).astype(np.float32, order="C"))
    return TensorSplit(clouds, torch.from_numpy(labels.astype(np.int64)))


def _load(name: str, path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
        if values.dtype.kind not in "fiu" or not values.size:
            raise ValueError("no numbers")
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise UserError(
            f"{name}: {path.absolute()} is missing or damaged ({one_line(error, 80)}); {ADVICE}"
        ) from None
    return values


def beside(name: str, root: Path | None, files: DataFiles) -> DataFiles:
    """Return `files`, which lie below `root`, and the corrupted ones; all named below `root`."""
    if root is None or not (more := published_files(name, root)):
        return files
    below = files.folder.relative_to(root).as_posix()
    return DataFiles(root, (*(f"{below}/{file}" for file in files.names), *more))
