"""Any images in folders named by their class, such as ImageNet, read a batch at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Batch, Count, DataFiles, Facts, Recipe, Task, TrainingSplits

from ._holdout import cut_validation
from ._images import ENDINGS, UNREAD, read_image
from ._local_folder import list_classes, local_folder, same_classes

Channels = tuple[float, float, float]
Spread = Annotated[float, pydantic.Field(gt=0)]


READERS = 8
"""Images that are read at a time."""


class ImageFolder(Task):
    """Your own images: DATA/FOLDER/train/CLASS/*.png (or .jpg …) and DATA/FOLDER/test/CLASS/*.png.

    Images are turned as their EXIF orientation says, become RGB (grey ones of 16 bits, or of floats,
    keep their depth), are resized to `size` along the shorter side and cut to the centre square.
    Validation images are cut from the training ones; `test_folder: val` suits ImageNet's layout.
    """

    name = "image-folder"
    modalities = {"image"}
    default_model = "resnet18"
    recipe = Recipe(epochs=90, batch_size=128, learning_rate=0.1, augmentation=("flip",))

    folder: str
    """Where it lies, below the folder of local data."""
    size: Count = 224
    """Side of the square images, in pixels."""
    test_folder: str = "test"
    """The folder beside train/ that holds the test images."""
    mean: Channels = (0.485, 0.456, 0.406)
    """A value a channel, of pixels in [0, 1]; ImageNet's by default."""
    std: tuple[Spread, Spread, Spread] = (0.229, 0.224, 0.225)
    """As `mean`: what pixels are divided by once that is taken off."""
    white: Spread | None = None
    """White in grey images of floats (1 where this is null) or of 16 bits (what their type holds)."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        return Facts(
            modality="image",
            classes=self._images(root, "train").classes,
            input_shape=(3, self.size, self.size),
            mean=self.mean,
            std=self.std,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        pool = self._images(root, "train")
        return cut_validation(pool, self.validation, f"{self.name} {self.folder}", seed)

    def test(self, root: Path | None) -> ImageFiles:
        images = self._images(root, self.test_folder)
        same_classes(self.name, self._images(root, "train").classes, images.classes)
        return images

    def data_files(self, root: Path | None) -> DataFiles:
        names = [
            f"{part}/{name}"
            for part in ("train", self.test_folder)
            for name, _ in self._images(root, part).samples
        ]
        return DataFiles(local_folder(self.name, root, self.folder, ""), tuple(names))

    def _images(self, root: Path | None, part: str) -> ImageFiles:
        advice = "make one folder a class there, with its images"
        path = local_folder(self.name, root, f"{self.folder}/{part}", advice)
        listed = list_classes(self.name, path, ENDINGS, UNREAD)
        samples = [(name, label) for label, names in enumerate(listed.values()) for name in names]
        return ImageFiles(path, tuple(listed), samples, self.size, self.mean, self.std, self.white)


@dataclass(frozen=True)
class ImageFiles:
    """A split of image files, read when they are asked for; inputs (b, 3, size, size)."""

    folder: Path
    classes: tuple[str, ...]
    """Names of the classes: those of the folders."""
    samples: list[tuple[str, int]]
    """Of every image, its name below the folder, and its class."""
    size: int
    mean: Channels
    std: Channels
    white: float | None

    @cached_property
    def targets(self) -> Tensor:
        return torch.tensor([target for _, target in self.samples])

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: Tensor) -> Batch:
        chosen = [self.samples[index] for index in indices.tolist()]
        # Reading and decoding release the interpreter's lock; `map` keeps the order.
        with ThreadPoolExecutor(READERS) as pool:
            inputs = torch.stack(list(pool.map(self._read, [name for name, _ in chosen])))
        return Batch(inputs, torch.tensor([target for _, target in chosen]))

    def _read(self, name: str) -> Tensor:
        from torchvision.transforms.v2 import functional

        image = read_image(self.folder / name, self.white)
        pixels = functional.pil_to_tensor(functional.resize(image, [self.size]))
        square = functional.center_crop(pixels, [self.size, self.size]).float()
        square = square.expand(3, -1, -1) if image.mode == "F" else square / 255
        return functional.normalize(square, list(self.mean), list(self.std))
