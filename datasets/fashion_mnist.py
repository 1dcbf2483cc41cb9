"""Fashion-MNIST from Debian's package, or from a local copy in torchvision's layout."""

from __future__ import annotations

import functools
import gzip
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Annotated

import pydantic
import torch
from torch import Tensor

from reldrop_bench import DataFiles, Origin, Recipe, UserError
from reldrop_bench.errors import one_line

from ._image_arrays import Data, FileState, ImageArrays, as_data, file_states
from ._packages import packaged_folder

CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FILES = tuple(
    f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
)
ADVICE = (
    "get the four files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
    "t10k-labels-idx1-ubyte (as they are, or .gz)"
)


class FashionMnist(ImageArrays):
    """70 000 grey images of clothes of 28×28 pixels, 10 classes (Xiao et al., arXiv 1708.07747).

    From Debian's package dataset-fashion-mnist, or from DATA/fashion-mnist: the four idx files there,
    or in FashionMNIST/raw as torchvision has them, packed (.gz) or not. Training and test split are
    those of the files.
    """

    name = "fashion-mnist"
    origin = Origin(
        "the four idx files in DATA/fashion-mnist, or Debian's package dataset-fashion-mnist",
        "https://github.com/zalandoresearch/fashion-mnist",
        "MIT",
        31_000_000,
    )
    default_model = "small-cnn"
    recipe = Recipe(
        epochs=8, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    train_samples: Annotated[int, pydantic.Field(ge=20, multiple_of=10)] | None = None
    """Training and validation images together: the first ones of every class, equally many. None: all."""

    def data_files(self, root: Path | None) -> DataFiles:
        folder, states = self.files(root)
        return DataFiles(folder, tuple(Path(path).name for path, *_ in states))

    def data(self, root: Path | None) -> Data:
        return load(self.name, *self.files(root), self.train_samples)

    def files(self, root: Path | None) -> tuple[Path, tuple[FileState, ...]]:
        # Tasks that are made of these images read the same files.
        name, package = FashionMnist.name, "dataset-fashion-mnist"
        folder = packaged_folder(name, root, f"datasets/{name}", package)
        if (raw := folder / "FashionMNIST" / "raw").is_dir():
            folder = raw
        names = [f"{file}.gz" if (folder / f"{file}.gz").is_file() else file for file in FILES]
        return folder, file_states(self.name, folder, names, ADVICE)


@functools.lru_cache(maxsize=2)
def load(name: str, folder: Path, states: tuple[FileState, ...], train_samples: int | None) -> Data:
    images, targets, *test = (read_idx(name, Path(path)) for path, *_ in states)
    pairs = ((images[:, None], targets), (test[0][:, None], test[1]))
    data = as_data(name, folder, *pairs, classes=CLASSES)
    if train_samples is None:
        return data
    each = train_samples // len(CLASSES)
    members = [(targets == label).nonzero().flatten()[:each] for label in range(len(CLASSES))]
    if short := [CLASSES[label] for label, found in enumerate(members) if len(found) < each]:
        raise UserError(
            f"{name}: train_samples = {train_samples} asks for {each} images of every class, and there are "
            f"fewer of {short[0]}; ask for less, or leave it out for all"
        )
    chosen = torch.cat(members).sort().values
    return as_data(name, folder, (images[chosen, None], targets[chosen]), pairs[1], CLASSES)


def read_idx(name: str, path: Path) -> Tensor:
    """Return the images (N, H, W) uint8 or labels (N,) int64 of an idx file, packed or not.

    Raises
    ------
    UserError
        It is damaged, or holds something else than its name says; the message names it.
    """
    from torchvision.datasets import mnist

    read = mnist.read_image_file if "-images-" in path.name else mnist.read_label_file
    try:
        if path.suffix != ".gz":
            return read(str(path))
        # torchvision reads files by name, and none that are packed.
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder, path.stem)
            with gzip.open(path) as packed, unpacked.open("wb") as file:
                shutil.copyfileobj(packed, file)
            return read(str(unpacked))
    # An AssertionError is torchvision's answer to a wrong header, a RuntimeError that to a wrong length.
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        TypeError,
        AssertionError,
        RuntimeError,
    ) as error:
        raise UserError(
            f"{name}: {path.absolute()} is damaged ({one_line(error, 80) or 'no idx header'}); {ADVICE}"
        ) from None
