"""Former task: say in one line what the data is, and where it comes from."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pydantic
import torch

from reldrop_bench.data import (
    Facts,
    Shifts,
    SubsetSplit,
    TensorSplit,
    TrainingSplits,
    stratified_split,
)
from reldrop_bench.plugin import NonNegative
from reldrop_bench.recipe import Recipe
from reldrop_bench.seeding import numpy_generator
from reldrop_bench.tasks import Task

SIZE = 16
CLASSES = ("horizontal", "vertical", "diagonal")


@dataclass(frozen=True)
class FormerTask(Task):
    """Noisy stripes in three directions on 16×16 pixels."""

    name: ClassVar[str] = "former-task"
    # One kind of input: "image", (C, H, W), or "cloud", (C, N).
    modalities: ClassVar = frozenset({"image"})
    # How it is trained where a spec does not say otherwise.
    default_model: ClassVar[str] = "small-cnn"
    recipe: ClassVar[Recipe] = Recipe(
        epochs=5, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    # Fields are parameters of the data; they are validated and belong to the cell's key.
    samples: Annotated[int, pydantic.Field(ge=30)] = 600
    noise: NonNegative = 1.0
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15

    def facts(self, root: Path | None) -> Facts:
        # `root` is the folder of local data sets (--data or RELDROP_DATA). A task that reads files
        # raises UserError here when they are missing, and says where to put them.
        mean, std = _moments(self)
        return Facts("image", CLASSES, (1, SIZE, SIZE), (mean,), (std,))

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        # Validation is cut from the training data: stratified, by seed, never from test data.
        pool = _split(self, "train")
        generator = numpy_generator(self.name, "validation", seed)
        train, validation = stratified_split(pool.targets, self.validation, generator)
        return TrainingSplits(SubsetSplit(pool, train), SubsetSplit(pool, validation))

    def test(self, root: Path | None) -> TensorSplit:
        # The same for every seed, so that models are compared on the same items.
        return _split(self, "test")

    def shifts(self, root: Path | None) -> Shifts:
        # Shifted test sets by name, each made only when asked for, item by item like `test`.
        return {"dark": functools.partial(_darker, self)}


def _draw(task: FormerTask, part: str) -> tuple[np.ndarray, np.ndarray]:
    # Random numbers come from named streams: the same data on every machine, in any order of calls.
    generator = numpy_generator(task.name, part)
    labels = generator.permutation(np.arange(task.samples) % len(CLASSES))
    phase = generator.uniform(0, 2 * np.pi, (task.samples, 1, 1))
    row, column = np.mgrid[:SIZE, :SIZE]
    along = np.stack([row, column, (row + column) / np.sqrt(2)])[labels]
    noise = generator.normal(0, task.noise, along.shape)
    return np.sin(along * np.pi / 3 + phase) + noise, labels


@functools.lru_cache(maxsize=2)
def _moments(task: FormerTask) -> tuple[float, float]:
    images, _ = _draw(task, "train")
    return float(images.mean()), float(images.std())


@functools.lru_cache(maxsize=4)
def _split(task: FormerTask, part: str) -> TensorSplit:
    # Inputs are normalised, so that 0 is the mean that occluded regions are filled with.
    images, labels = _draw(task, part)
    mean, std = _moments(task)
    inputs = torch.from_numpy(((images - mean) / std).astype(np.float32))[:, None]
    return TensorSplit(inputs, torch.from_numpy(labels))


def _darker(task: FormerTask) -> TensorSplit:
    test = _split(task, "test")
    return TensorSplit(test.inputs - 0.5, test.targets)
