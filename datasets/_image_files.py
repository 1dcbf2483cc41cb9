"""Images that are read from files a batch at a time: what tasks of photographs share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Batch, Count, DataFiles, Facts, Recipe, Task, TrainingSplits, UserError

from ._holdout import cut_validation
from ._images import read_image, read_mask

Channels = tuple[float, float, float]
Spread = Annotated[float, pydantic.Field(gt=0)]
Part = Literal["train", "validation", "test"]
READERS = 8
"""Images that are read at a time."""


@dataclass(frozen=True)
class ImageFiles:
    """A split of image files, read when they are asked for; inputs (b, 3, size, size)."""

    name: str
    """The task, for messages."""
    folder: Path
    classes: tuple[str, ...]
    samples: list[tuple[str, int]]
    """Of every image, its name below the folder, and its class."""
    size: int
    mean: Channels
    std: Channels
    white: float | None = None
    masks: Sequence[str] | None = None
    """Of every image, the name of its mask, below the folder or whole."""
    background: int = 0
    """The number in masks that is not the object."""
    among: Tensor | None = None
    """The classes (k,) int64 that answers are taken from, of a test set of some classes; None: all."""

    @cached_property
    def targets(self) -> Tensor:
        return torch.tensor([target for _, target in self.samples])

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: Tensor) -> Batch:
        # Reading and decoding release the interpreter's lock; `map` keeps the order.
        with ThreadPoolExecutor(READERS) as pool:
            images, masks = zip(*pool.map(self._read, indices.tolist()), strict=True)
        targets = self.targets[indices]
        return Batch(
            torch.stack(images), targets, None if self.masks is None else torch.stack(masks)
        )

    def _read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return an image (3, size, size) float32, and its mask (size, size) uint8 where there is one."""
        from torchvision.transforms.v2 import InterpolationMode, functional

        side = [self.size, self.size]
        image = read_image(self.name, self.folder / self.samples[index][0], self.white)
        pixels = functional.pil_to_tensor(functional.resize(image, [self.size]))
        square = functional.center_crop(pixels, side).float()
        square = square.expand(3, -1, -1) if image.mode == "F" else square / 255
        inputs = functional.normalize(square, list(self.mean), list(self.std))
        if self.masks is None:
            return inputs, None
        inside = torch.from_numpy(
            read_mask(self.name, self.folder / self.masks[index], image.size, self.background)
        )
        nearest = functional.resize(inside[None], [self.size], InterpolationMode.NEAREST_EXACT)
        return inputs, functional.center_crop(nearest, side)[0]

    def checked(self) -> ImageFiles:
        """Return the split; raises UserError where a file is missing or a class is out of range."""
        names = [name for name, _ in self.samples]
        for name in (*names, *(self.masks or ())):
            if not (self.folder / name).is_file():
                raise UserError(
                    f"{self.name}: {(self.folder / name).absolute()} is missing; unpack the archive again"
                )
        low, high = min(map(int, self.targets), default=-1), max(map(int, self.targets), default=-1)
        if low < 0 or high >= len(self.classes):
            raise UserError(
                f"{self.name}: the labels in {self.folder.absolute()} go from {low} to {high}, the "
                f"{len(self.classes)} classes from 0 to {len(self.classes) - 1}; unpack the archive again"
            )
        return self

    def files(self) -> list[str]:
        """Return the names of all its files, below the folder."""
        return [*(name for name, _ in self.samples), *(self.masks or ())]


class ImageFilesTask(Task):
    """A task of image files; what differs is where `part` comes from."""

    modalities = {"image"}
    default_model = "resnet18"
    recipe = Recipe(epochs=90, batch_size=128, learning_rate=0.1, augmentation=("flip",))
    validates = False
    """Whether the data set has a validation part of its own."""

    size: Count = 224
    """Side of the square images, in pixels: resized along the shorter side, then the centre."""
    mean: Channels = (0.485, 0.456, 0.406)
    """A value a channel, of pixels in [0, 1]; ImageNet's by default."""
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)
    """As `mean`: what pixels are divided by once that is taken off."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates, where the data set has no part for it."""

    @abstractmethod
    def part(self, root: Path | None, part: Part) -> ImageFiles:
        """Return a part of the data below `root`; raises UserError where it cannot be read."""

    def tables(self) -> tuple[str, ...]:
        """Return the names of what it reads besides images, below the folder of the parts."""
        return ()

    @property
    def stream(self) -> str:
        """Name of the stream that cuts the validation part."""
        return self.name

    def facts(self, root: Path | None) -> Facts:
        train = self.part(root, "train")
        return Facts(
            modality="image",
            classes=train.classes,
            input_shape=(3, self.size, self.size),
            mean=self.mean,
            std=self.std,
            masks=train.masks is not None,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        pool = self.part(root, "train")
        if self.validates:
            return TrainingSplits(pool, self.part(root, "validation"))
        return cut_validation(pool, self.validation, self.stream, seed)

    def test(self, root: Path | None) -> ImageFiles:
        return self.part(root, "test")

    def data_files(self, root: Path | None) -> DataFiles:
        wanted: tuple[Part, ...] = ("train", *(("validation",) if self.validates else ()), "test")
        parts = [self.part(root, part) for part in wanted]
        names = dict.fromkeys(name for part in parts for name in part.files())
        return DataFiles(parts[0].folder, (*self.tables(), *names))
