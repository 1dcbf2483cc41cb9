"""Handwritten digits of scikit-learn: real images without a download."""

import functools
import importlib.util
from pathlib import Path
from typing import Annotated

import numpy as np
import pydantic
import torch

from reldrop_bench import Facts, Recipe, Shifts, Task, TensorSplit, TrainingSplits
from reldrop_bench.corruptions import (
    Levels,
    corrupted,
    image_blur,
    image_noise,
    image_occlusion,
    image_translation,
)
from reldrop_bench.data import stratified_split
from reldrop_bench.seeding import numpy_generator

from ._holdout import cut_validation

LEVELS: Levels = {
    "noise": (image_noise, (0.4, 0.8, 1.2)),
    "blur": (image_blur, (0.5, 0.75, 1.0)),
    "shift": (image_translation, (1, 2)),
    "occlusion": (image_occlusion, (0.375, 0.5, 0.625)),
}


class Digits(Task):
    """1797 real handwritten digits of 8×8 grey pixels (sklearn.datasets.load_digits)."""

    name = "digits"
    modalities = {"image"}
    synthetic = False
    default_model = "small-cnn"
    recipe = Recipe(
        epochs=12, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        *_, mean, std = _load()
        return Facts(
            modality="image",
            classes=tuple(str(digit) for digit in range(10)),
            input_shape=(1, 8, 8),
            mean=(mean,),
            std=(std,),
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(_load()[0], self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return _load()[1]

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, LEVELS)


def _table() -> np.ndarray:
    """Return the table that scikit-learn holds, (1797, 65) float64: 64 pixels, and the class."""
    package = importlib.util.find_spec("sklearn")
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():  # read as `load_digits` does, which takes seconds to import
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.column_stack([digits.data, digits.target])


@functools.cache
def _load() -> tuple[TensorSplit, TensorSplit, float, float]:
    """Return train and validation together, the test split, and the former's mean and std."""
    table = torch.from_numpy(_table())
    images = table[:, :-1].reshape(-1, 8, 8).float()[:, None] / 16
    targets = table[:, -1].long()
    training, test = stratified_split(targets, 0.3, numpy_generator(Digits.name, "test"))
    mean, std = images[training].mean().item(), images[training].std().item()
    inputs = (images - mean) / std
    return (
        TensorSplit(inputs[training], targets[training]),
        TensorSplit(inputs[test], targets[test]),
        mean,
        std,
    )
