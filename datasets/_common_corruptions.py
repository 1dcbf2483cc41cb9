"""Common corruptions of CIFAR as they are published (Hendrycks & Dietterich, arXiv 1903.12261)."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from reldrop_bench import Shifts, UserError
from reldrop_bench.errors import one_line

from ._image_arrays import ByteImages

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate",
    "jpeg_compression",
)  # fmt: skip
"""The 15 that the mean corruption error is made of; the four others of the archive are not read."""
SEVERITIES = 5
FILES = ("labels.npy", *(f"{corruption}.npy" for corruption in CORRUPTIONS))


def common_corruptions(name: str, folder: Path, test: ByteImages) -> Shifts:
    """Return a shifted test set for each corruption and severity, as ``c-fog/1``, of task `name`.

    folder: one array a corruption, (5 N, H, W, C) uint8: all N test images at severity 1, then at 2 …

    Raises
    ------
    UserError
        When a set is made: a file is missing or damaged, or belongs to other test images.
    """
    return {
        f"c-{corruption}/{level}": functools.partial(_read, name, folder, corruption, level, test)
        for corruption in CORRUPTIONS
        for level in range(1, SEVERITIES + 1)
    }


def _read(name: str, folder: Path, corruption: str, level: int, test: ByteImages) -> ByteImages:
    images = _load(name, folder / f"{corruption}.npy")
    labels, count = _load(name, folder / "labels.npy"), len(test)
    height, width = test.images.shape[2:]
    whole = (SEVERITIES * count, height, width, test.images.shape[1])
    if images.shape != whole or images.dtype != np.uint8:
        raise UserError(
            f"{name}: {(folder / f'{corruption}.npy').absolute()} holds {images.dtype} {images.shape}, "
            f"not uint8 {whole}; unpack the archive again"
        )
    here = slice((level - 1) * count, level * count)
    if not np.array_equal(labels[here], test.targets.numpy()):
        raise UserError(
            f"{name}: {(folder / 'labels.npy').absolute()} holds other labels than the test split; unpack "
            f"the archive that belongs to {name}"
        )
    shifted = torch.from_numpy(np.array(images[here])).permute(0, 3, 1, 2).contiguous()
    return replace(test, images=shifted)


def _load(name: str, path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{name}: {path.absolute()} is missing or damaged ({one_line(error, 80)}); unpack the archive again"
        ) from None
