"""STL-10 from a local copy in torchvision's layout."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from reldrop_bench import Count, Origin, Recipe

from ._image_arrays import Data, ImageArrays, Pair, as_data
from ._local_folder import local_folder
from ._torchvision import opened

CLASSES = (
    "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
)  # fmt: skip
SIDE = 96


class Stl10(ImageArrays):
    """5 000 + 8 000 photographs of 96×96 pixels, 10 classes (Coates, Ng & Lee, AISTATS 2011).

    In DATA/stl10/stl10_binary. The ten folds are taken together; images without a label are not used,
    though torchvision wants their file to be there.
    """

    name = "stl10"
    origin = Origin(
        "stl10_binary.tar.gz unpacked in DATA/stl10",
        "https://cs.stanford.edu/~acoates/stl10",
        counts={"train": 5_000, "test": 8_000},
    )
    default_model = "resnet18"
    recipe = Recipe(epochs=200, batch_size=128, learning_rate=0.1, augmentation=("crop", "flip"))

    size: Count = SIDE
    """Side of the images, in pixels: other than 96, they are resized."""

    def data_files(self, root: Path | None) -> None:
        """Return None: torchvision lets no files through but those of one checksum."""

    def data(self, root: Path | None) -> Data:
        advice = (
            "unpack http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz into the folder stl10"
        )
        return _load(local_folder(self.name, root, f"{self.name}/stl10_binary", advice), self.size)


@functools.lru_cache(maxsize=1)
def _load(folder: Path, size: int) -> Data:
    from torchvision import datasets
    from torchvision.transforms.v2 import functional

    def part(split: str) -> Pair:
        found = opened(
            Stl10.name, folder, lambda: datasets.STL10(folder.parent, split, download=False)
        )
        images = torch.from_numpy(found.data).contiguous()
        # In parts: resizing makes floats of them.
        parts = [functional.resize(few, [size, size]) for few in images.split(500)]
        return torch.cat(parts), torch.from_numpy(found.labels).long()

    return as_data(Stl10.name, folder, part("train"), part("test"), CLASSES)
