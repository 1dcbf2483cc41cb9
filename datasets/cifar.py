"""CIFAR-10 and CIFAR-100 from a local copy in torchvision's layout."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch

from reldrop_bench import DataFiles, Origin, Recipe, Shifts, UserError
from reldrop_bench.errors import one_line

from ._common_corruptions import FILES, common_corruptions
from ._image_arrays import Data, ImageArrays, as_data, file_states
from ._local_folder import local_folder

PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
COUNTS = {"train": 50_000, "test": 10_000}


class Cifar(ImageArrays):
    """What both CIFAR tasks share (Krizhevsky 2009).

    Where DATA/NAME-c is there, the published corruptions are shifts as well (`c-fog/1` to `/5`).
    """

    default_model = "resnet18"
    recipe = Recipe(epochs=200, batch_size=128, learning_rate=0.1, augmentation=("crop", "flip"))
    folder = ""
    """Folder of the unpacked archive, below DATA/NAME."""
    archive = ""

    def shifts(self, root: Path | None) -> Shifts:
        folder = self._corrupted(root)
        if folder is None:
            return super().shifts(root)
        return {**super().shifts(root), **common_corruptions(self.name, folder, self.test(root))}

    def data_files(self, root: Path | None) -> DataFiles | None:
        """Return the corrupted test sets, if any: of the rest, torchvision lets one checksum through."""
        folder = self._corrupted(root)
        return None if folder is None else DataFiles(folder, FILES)

    def _corrupted(self, root: Path | None) -> Path | None:
        folder = None if root is None else Path(root) / f"{self.name}-c"
        if folder is None or not folder.is_dir():
            return None
        file_states(self.name, folder, FILES, "unpack the archive again, or remove the folder")
        return folder

    def fetch(self, root: Path) -> None:
        """Download the archive by torchvision, which compares its checksum."""
        _kind(self.name)(root / self.name, train=True, download=True)

    def data(self, root: Path | None) -> Data:
        advice = (
            f"unpack https://www.cs.toronto.edu/~kriz/{self.archive} into the folder {self.name}"
        )
        folder = local_folder(self.name, root, f"{self.name}/{self.folder}", advice)
        return _load(self.name, folder)


class Cifar10(Cifar):
    """60 000 photographs of 32×32 pixels, 10 classes, in DATA/cifar10/cifar-10-batches-py.

    The published corruptions, where DATA/cifar10-c holds them, are shifts `c-fog/1` to `c-fog/5` and so on.
    """

    name = "cifar10"
    origin = Origin("cifar-10-python.tar.gz unpacked in DATA/cifar10", PAGE, counts=COUNTS)
    folder = "cifar-10-batches-py"
    archive = "cifar-10-python.tar.gz"


class Cifar100(Cifar):
    """60 000 photographs of 32×32 pixels, 100 classes, in DATA/cifar100/cifar-100-python.

    The published corruptions, where DATA/cifar100-c holds them, are shifts `c-fog/1` to `c-fog/5` and so on.
    """

    name = "cifar100"
    origin = Origin("cifar-100-python.tar.gz unpacked in DATA/cifar100", PAGE, counts=COUNTS)
    folder = "cifar-100-python"
    archive = "cifar-100-python.tar.gz"


def _kind(name: str) -> Any:
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]


@functools.lru_cache(maxsize=2)
def _load(name: str, folder: Path) -> Data:
    kind = _kind(name)
    # The files are pickles: torchvision compares their checksums before it opens any of them.
    try:
        train, test = (kind(folder.parent, train=training, download=False) for training in (1, 0))
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"{name}: a file in {folder.absolute()} is missing or damaged "
            f"({one_line(error, 60)}); unpack the archive again"
        ) from None
    first, second = (
        (torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets))
        for part in (train, test)
    )
    return as_data(name, folder, first, second, train.classes)
