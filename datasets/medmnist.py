"""MedMNIST: medical images of one class each, from local files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

import torch

from reldrop_bench import DataFiles, Origin, Recipe
from reldrop_bench.errors import require_library

from ._image_arrays import Data, FileState, ImageArrays, Pair, as_data, file_states
from ._local_folder import local_folder
from ._torchvision import opened

Name = Literal[
    "pathmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist", "breastmnist",
    "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist",
]  # fmt: skip
"""The flat ones that have one class an image: chestmnist has several, others are volumes."""


class MedMnist(ImageArrays):
    """Medical images from MedMNIST v2 (Yang et al., Scientific Data 2023), of 28 to 224 pixels.

    In DATA/medmnist: the file of the data set as it is published, such as pathmnist.npz or
    pathmnist_64.npz. All three parts are its own. Needs the library medmnist, an extra.
    """

    name = "medmnist"
    origin = Origin(
        "the .npz of the data set in DATA/medmnist",
        "https://zenodo.org/records/10519652",
        "CC BY 4.0, dermamnist CC BY-NC 4.0",
    )
    default_model = "resnet18"
    recipe = Recipe(
        epochs=100, batch_size=128, optimizer="adam", learning_rate=1e-3, weight_decay=0.0
    )

    dataset: Name = "pathmnist"
    """Which of the data sets."""
    size: Literal[28, 64, 128, 224] = 28
    """Side of the images, in pixels: each has a file of its own."""

    def data_files(self, root: Path | None) -> DataFiles:
        folder, ((path, *_),) = self._file(root)
        return DataFiles(folder, (Path(path).name,))

    def data(self, root: Path | None) -> Data:
        require_library("medmnist", "medmnist", f"the task {self.name}")
        return _load(*self._file(root), self.dataset, self.size)

    def _file(self, root: Path | None) -> tuple[Path, tuple[FileState, ...]]:
        file = f"{self.dataset}{'' if self.size == 28 else f'_{self.size}'}.npz"
        advice = f"put {file} of https://zenodo.org/records/10519652 there"
        folder = local_folder(self.name, root, self.name, advice)
        return folder, file_states(self.name, folder, [file], advice)


@functools.lru_cache(maxsize=1)
def _load(folder: Path, states: tuple[FileState, ...], dataset: str, size: int) -> Data:
    import medmnist

    info = medmnist.INFO[dataset]
    kind = getattr(medmnist, info["python_class"])

    def part(split: str) -> Pair:
        found = opened(
            MedMnist.name, folder, lambda: kind(split, root=str(folder), size=size, download=False)
        )
        images = torch.from_numpy(found.imgs)
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        return images, torch.from_numpy(found.labels).long().reshape(-1)

    train, validation, test = (part(split) for split in ("train", "val", "test"))
    names = (info["label"][str(number)] for number in range(len(info["label"])))
    return as_data(MedMnist.name, folder, train, test, names, validation)
