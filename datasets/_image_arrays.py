"""Images that are held in memory as bytes: what tasks of small images share."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Batch, Facts, Shifts, Task, TrainingSplits, UserError
from reldrop_bench.corruptions import Levels, corrupted, image_blur, image_noise, image_occlusion
from reldrop_bench.statistics.wording import counted

from ._holdout import cut_validation

LEVELS: Levels = {
    "noise": (image_noise, (0.25, 0.5, 1.0)),
    "blur": (image_blur, (0.5, 1.0, 1.5)),
    "occlusion": (image_occlusion, (0.25, 0.5, 0.75)),
}
"""The severities that images of 28 to 96 pixels share."""
Pair = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 and targets (N,) int64."""
FileState = tuple[str, int, int]
"""Path, size, and time of modification in nanoseconds: what a cache of file contents goes by."""


@dataclass(frozen=True)
class ByteImages:
    """A split of images (N, C, H, W) uint8, normalised a batch at a time; targets (N,) int64."""

    images: Tensor
    targets: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Tensor) -> Batch:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        inputs = (self.images[indices].float() / 255 - mean) / std
        masks = None if self.masks is None else self.masks[indices]
        return Batch(inputs, self.targets[indices], masks)


class Data(NamedTuple):
    """What a task holds: images, normalised alike, and the names of the classes."""

    train: ByteImages
    test: ByteImages
    classes: tuple[str, ...]
    validation: ByteImages | None = None
    """Where the data set has a part for it; else it is cut from training."""


class ImageArrays(Task):
    """A task of images in memory; what differs is where `data` comes from."""

    modalities = {"image"}
    synthetic = False

    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates, where the data set has no part for it."""

    @abstractmethod
    def data(self, root: Path | None) -> Data:
        """Return the images below `root`; raises UserError where they cannot be read."""

    def facts(self, root: Path | None) -> Facts:
        data = self.data(root)
        return Facts(
            modality="image",
            classes=data.classes,
            input_shape=tuple(data.test.images.shape[1:]),
            mean=data.test.mean,
            std=data.test.std,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        data = self.data(root)
        if data.validation is not None:
            return TrainingSplits(data.train, data.validation)
        return cut_validation(data.train, self.validation, self.name, seed)

    def test(self, root: Path | None) -> ByteImages:
        return self.data(root).test

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, LEVELS)


def as_data(
    name: str,
    folder: Path,
    train: Pair,
    test: Pair,
    classes: Iterable[str],
    validation: Pair | None = None,
) -> Data:
    """Return what task `name` has read from `folder`, with the mean and deviation of training.

    Raises
    ------
    UserError
        Images and labels differ in number, or a label is no class.
    """
    names = tuple(classes)
    parts = {"training": train, "test": test}
    if validation is not None:
        parts["validation"] = validation
    for part, (images, targets) in parts.items():
        if len(images) != len(targets) or not len(images):
            raise UserError(
                f"{name}: {folder.absolute()} holds {counted(len(images), f'{part} image')} and "
                f"{counted(len(targets), 'label')}; "
                "get its files again"
            )
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= len(names):
            raise UserError(
                f"{name}: the {part} labels in {folder.absolute()} go from {low} to {high}, the "
                f"{len(names)} classes from 0 to {len(names) - 1}; get its files again"
            )
    mean, std = moments(train[0])
    first, second, *third = (ByteImages(*pair, mean, std) for pair in parts.values())
    return Data(first, second, names, *third)


def moments(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation a channel of images (N, C, H, W) uint8, in [0, 1]."""
    # From counts of the 256 values a channel: exact, and without a float copy of all images.
    channels = range(images.shape[1])
    counts = torch.stack([torch.bincount(images[:, c].flatten(), minlength=256) for c in channels])
    shares = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    means = shares @ values
    return tuple(means.tolist()), tuple((shares @ values**2 - means**2).sqrt().tolist())


def file_states(
    name: str, folder: Path, files: Iterable[str], advice: str
) -> tuple[FileState, ...]:
    """Return of each of `files` below `folder` what shows that it has not changed.

    Raises
    ------
    UserError
        One is not there; `advice` says how to get it.
    """
    states = []
    for file in files:
        path = folder / file
        if not path.is_file():
            raise UserError(f"{name}: {path.absolute()} is missing; {advice}")
        state = os.stat(path)
        states.append((str(path), state.st_size, state.st_mtime_ns))
    return tuple(states)
