"""CIFAR-10 and CIFAR-100 from a local copy in torchvision's layout."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Batch, Facts, Recipe, Shifts, Task, TrainingSplits, UserError
from reldrop_bench.corruptions import Levels, corrupted, image_blur, image_noise, image_occlusion
from reldrop_bench.errors import one_line

from ._holdout import cut_validation
from ._local_folder import local_folder

LEVELS: Levels = {
    "noise": (image_noise, (0.25, 0.5, 1.0)),
    "blur": (image_blur, (0.5, 1.0, 1.5)),
    "occlusion": (image_occlusion, (0.25, 0.5, 0.75)),
}


@dataclass(frozen=True)
class ByteImages:
    """A split of images (N, C, H, W) uint8, normalised a batch at a time; targets (N,) int64."""

    images: Tensor
    targets: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Tensor) -> Batch:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return Batch((self.images[indices].float() / 255 - mean) / std, self.targets[indices])


class Cifar(Task):
    """What both CIFAR tasks share (Krizhevsky 2009)."""

    modalities = {"image"}
    synthetic = False
    default_model = "resnet18"
    recipe = Recipe(epochs=200, batch_size=128, learning_rate=0.1, augmentation=("crop", "flip"))
    folder = ""
    """Folder of the unpacked archive, below DATA/NAME."""
    archive = ""

    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        data = self._data(root)
        return Facts(
            modality="image",
            classes=data.classes,
            input_shape=tuple(data.test.images.shape[1:]),
            mean=data.test.mean,
            std=data.test.std,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        pool = self._data(root).train
        return cut_validation(pool, self.validation, self.name, seed)

    def test(self, root: Path | None) -> ByteImages:
        return self._data(root).test

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, LEVELS)

    def data_files(self, root: Path | None) -> None:
        """Return None: torchvision lets no files through but those of one checksum."""

    def _data(self, root: Path | None) -> _Data:
        advice = (
            f"unpack https://www.cs.toronto.edu/~kriz/{self.archive} into the folder {self.name}"
        )
        folder = local_folder(self.name, root, f"{self.name}/{self.folder}", advice)
        return _load(self.name, folder)


class Cifar10(Cifar):
    """60 000 photographs of 32×32 pixels, 10 classes, in DATA/cifar10/cifar-10-batches-py."""

    name = "cifar10"
    folder = "cifar-10-batches-py"
    archive = "cifar-10-python.tar.gz"


class Cifar100(Cifar):
    """60 000 photographs of 32×32 pixels, 100 classes, in DATA/cifar100/cifar-100-python."""

    name = "cifar100"
    folder = "cifar-100-python"
    archive = "cifar-100-python.tar.gz"


class _Data(NamedTuple):
    train: ByteImages
    test: ByteImages
    classes: tuple[str, ...]


@functools.lru_cache(maxsize=2)
def _load(name: str, folder: Path) -> _Data:
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    # The files are pickles: torchvision compares their checksums before it opens any of them.
    try:
        train, test = (kind(folder.parent, train=training, download=False) for training in (1, 0))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{name}: a file in {folder.absolute()} is missing or damaged "
            f"({one_line(error, 60)}); unpack the archive again"
        ) from None
    images = torch.from_numpy(train.data).permute(0, 3, 1, 2).contiguous()
    # From counts of the 256 values a channel: exact, and without a float copy of all images.
    counts = torch.stack([torch.bincount(images[:, c].flatten(), minlength=256) for c in range(3)])
    shares = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    means = shares @ values
    mean = tuple(means.tolist())
    std = tuple((shares @ values**2 - means**2).sqrt().tolist())
    return _Data(
        ByteImages(images, torch.tensor(train.targets), mean, std),
        ByteImages(
            torch.from_numpy(test.data).permute(0, 3, 1, 2).contiguous(),
            torch.tensor(test.targets),
            mean,
            std,
        ),
        tuple(train.classes),
    )
