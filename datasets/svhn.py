"""Street View House Numbers from a local copy in torchvision's layout."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from reldrop_bench import Origin, Recipe

from ._image_arrays import Data, ImageArrays, Pair, as_data
from ._local_folder import local_folder
from ._torchvision import opened


class Svhn(ImageArrays):
    """73 257 + 26 032 digits on house fronts of 32×32 pixels, 10 classes (Netzer et al. 2011).

    In DATA/svhn: train_32x32.mat and test_32x32.mat. The extra training images are not read. No flips:
    a mirrored digit is another sign.
    """

    name = "svhn"
    origin = Origin(
        "train_32x32.mat and test_32x32.mat in DATA/svhn",
        "http://ufldl.stanford.edu/housenumbers",
        counts={"train": 73_257, "test": 26_032},
    )
    default_model = "resnet18"
    recipe = Recipe(epochs=200, batch_size=128, learning_rate=0.1, augmentation=("crop",))

    def data_files(self, root: Path | None) -> None:
        """Return None: torchvision lets no files through but those of one checksum."""

    def data(self, root: Path | None) -> Data:
        advice = (
            "put train_32x32.mat and test_32x32.mat of http://ufldl.stanford.edu/housenumbers there"
        )
        return _load(local_folder(self.name, root, self.name, advice))


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> Data:
    from torchvision import datasets

    def part(split: str) -> Pair:
        found = opened(Svhn.name, folder, lambda: datasets.SVHN(folder, split, download=False))
        images = torch.from_numpy(found.data).contiguous()
        return images, torch.from_numpy(found.labels).long().reshape(-1)

    return as_data(Svhn.name, folder, part("train"), part("test"), map(str, range(10)))
