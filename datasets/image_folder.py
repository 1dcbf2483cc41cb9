"""Any images in folders named by their class, such as ImageNet, read a batch at a time."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Batch, Count, Facts, Recipe, Task, TrainingSplits, UserError
from reldrop_bench.errors import one_line

from ._holdout import cut_validation
from ._local_folder import local_folder

if TYPE_CHECKING:
    from torchvision import datasets

Channels = tuple[float, float, float]
Spread = Annotated[float, pydantic.Field(gt=0)]


READERS = 8
"""Images that are read at a time."""


class ImageFolder(Task):
    """Your own images: DATA/FOLDER/train/CLASS/*.png (or .jpg …) and DATA/FOLDER/test/CLASS/*.png.

    Images become RGB, are resized to `size` along the shorter side and cut to the centre square.
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
        expected = self._images(root, "train").classes
        if images.classes != expected:
            different = sorted(set(images.classes) ^ set(expected))
            raise UserError(
                f"{self.name}: {self.folder}/train and {self.folder}/{self.test_folder} must have "
                f"the same classes; only one of them has {', '.join(different[:5])}"
            )
        return images

    def _images(self, root: Path | None, part: str) -> ImageFiles:
        advice = "make one folder a class there, with its images"
        path = local_folder(self.name, root, f"{self.folder}/{part}", advice)
        return ImageFiles(_listed(path), self.size, self.mean, self.std)


@dataclass(frozen=True)
class ImageFiles:
    """A split of image files, read when they are asked for; inputs (b, 3, size, size)."""

    listing: datasets.ImageFolder
    size: int
    mean: Channels
    std: Channels

    @property
    def targets(self) -> Tensor:
        return torch.tensor(self.listing.targets)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes: those of the folders."""
        return tuple(self.listing.classes)

    def __len__(self) -> int:
        return len(self.listing)

    def batch(self, indices: Tensor) -> Batch:
        chosen = [self.listing.samples[index] for index in indices.tolist()]
        # Reading and decoding release the interpreter's lock; `map` keeps the order.
        with ThreadPoolExecutor(READERS) as pool:
            inputs = torch.stack(list(pool.map(self._read, [path for path, _ in chosen])))
        return Batch(inputs, torch.tensor([target for _, target in chosen]))

    def _read(self, path: str) -> Tensor:
        from torchvision.transforms.v2 import functional

        try:
            image = self.listing.loader(path)
        # A damaged file may raise almost anything: SyntaxError, struct.error, ValueError …
        except Exception as error:  # noqa: BLE001
            raise UserError(
                f"image-folder: {path} is no image that can be read ({one_line(error, 120)}); "
                "replace or remove it"
            ) from None
        pixels = functional.pil_to_tensor(functional.resize(image, [self.size]))
        square = functional.center_crop(pixels, [self.size, self.size]).float() / 255
        return functional.normalize(square, list(self.mean), list(self.std))


@functools.lru_cache(maxsize=8)
def _listed(path: Path) -> datasets.ImageFolder:
    from torchvision import datasets

    try:
        return datasets.ImageFolder(path)
    except FileNotFoundError as error:
        raise UserError(
            f"image-folder: {path.absolute()}: {one_line(error, 200)}; "
            "each class is a folder that holds at least one image"
        ) from None
