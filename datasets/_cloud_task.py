"""What tasks of clouds share: how many points, normals, a validation part, corruptions."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated

import pydantic

from reldrop_bench import Facts, Recipe, Shifts, Task, TensorSplit, TrainingSplits
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted

from ._holdout import cut_validation


class CloudTask(Task):
    """Clouds in the unit sphere, read by part; a concrete task gives its classes and its parts."""

    modalities = {"cloud"}
    default_model = "pointnet"
    recipe = Recipe(
        epochs=100,
        batch_size=32,
        optimizer="adam",
        learning_rate=1e-3,
        weight_decay=1e-4,
        schedule="step",
        decay=0.7,
        decay_epochs=20,
        augmentation=("scale-shift",),
    )

    points: Annotated[int, pydantic.Field(ge=8)] = 1024
    """Points a cloud."""
    normals: bool = False
    """Whether points have normals: 6 channels instead of 3."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates."""

    @abstractmethod
    def classes(self, root: Path | None) -> tuple[str, ...]:
        """Return the names of the classes; UserError where the data are not there."""

    @abstractmethod
    def part(self, root: Path | None, part: str) -> TensorSplit:
        """Return the "train" or "test" part: clouds (N, C, points) with C = 3 or 6; masks with `masked`."""

    @property
    def channels(self) -> int:
        """How many numbers a point has."""
        return 6 if self.normals else 3

    @property
    def masked(self) -> bool:
        """Whether its clouds have masks."""
        return False

    @property
    def stream(self) -> str:
        """What names its random streams."""
        return self.name

    def facts(self, root: Path | None) -> Facts:
        return Facts(
            modality="cloud",
            classes=self.classes(root),
            input_shape=(self.channels, self.points),
            mean=(0.0,) * self.channels,
            std=(1.0,) * self.channels,
            masks=self.masked,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(self.part(root, "train"), self.validation, self.stream, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return self.part(root, "test")

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.stream, CLOUD_LEVELS)
