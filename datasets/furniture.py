"""Furniture of Sweet Home 3D: real models, as clouds, made by several makers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
from torch import Tensor

from reldrop_bench import (
    DataFiles,
    Facts,
    Origin,
    Recipe,
    Shifts,
    Task,
    TensorSplit,
    TrainingSplits,
    UserError,
)
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted
from reldrop_bench.errors import require_library, suggest
from reldrop_bench.seeding import numpy_generator

from ._clouds import in_unit_sphere
from ._furniture import CLASSES, POOL, catalogue_files, load_furniture
from ._holdout import cut_validation, grouped_split
from ._packages import packaged_folder

TEST_SHARE = 0.3
"""Of the groups of each class, where the split is random."""
SCOPIA = "Scopia"


class Furniture(Task):
    """368 models of ten classes, Debian's sweethome3d-furniture: DATA/furniture/*.sh3f, or where it installs them.

    Points are drawn evenly over each surface, upright along the third axis, centred and in the unit sphere. Classes
    come from the catalogues' categories and names. Near-duplicates stay in one part of every split.
    """

    name = "furniture"
    origin = Origin(
        "*.sh3f in DATA/furniture, or Debian's package sweethome3d-furniture",
        "https://www.sweethome3d.com",
        "CC0 and CC-BY 3.0, by maker",
        120_000_000,
    )
    modalities = {"cloud"}
    synthetic = False
    default_model = "pointnet"
    recipe = Recipe(
        epochs=20,
        batch_size=32,
        optimizer="adam",
        learning_rate=3e-3,
        weight_decay=1e-4,
        augmentation=("scale-shift",),
    )

    points: Annotated[int, pydantic.Field(ge=8, le=POOL)] = 512
    """Points a cloud."""
    normals: bool = False
    """Whether points have normals: 6 channels instead of 3."""
    split: Literal["random", "maker"] = "random"
    """What the test data are: a random part, or models of makers that training does not see."""
    trained_on: str = SCOPIA
    """With `split: maker`, whose models train, all others' test; several makers are joined by "+"."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """The share of the training data that validates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split == "random" and self.trained_on != SCOPIA:
            raise UserError(
                f"{self.name}: trained_on = {self.trained_on} says nothing where the split is random; "
                "give split: maker as well"
            )

    def facts(self, root: Path | None) -> Facts:
        require_library("trimesh", "shapes", f"the task {self.name}")
        self.data_files(root)
        channels = 6 if self.normals else 3
        return Facts(
            modality="cloud",
            classes=CLASSES,
            input_shape=(channels, self.points),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        pool, groups, _ = self._parts(root)
        return cut_validation(pool, self.validation, self.name, seed, groups)

    def test(self, root: Path | None) -> TensorSplit:
        return self._parts(root)[2]

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, CLOUD_LEVELS)

    def data_files(self, root: Path | None) -> DataFiles:
        folder = packaged_folder(self.name, root, "sweethome3d/furniture", "sweethome3d-furniture")
        return catalogue_files(self.name, folder)

    def _parts(self, root: Path | None) -> tuple[TensorSplit, Tensor, TensorSplit]:
        """Return train and validation together, their groups, and the test split."""
        files = self.data_files(root)
        models, clouds, groups = load_furniture(self.name, files)
        targets = torch.tensor([CLASSES.index(model.label) for model in models], dtype=torch.int64)
        if self.split == "random":
            self._all_there(targets, files, "the catalogues hold")
            generator = numpy_generator(self.name, "test")
            training, test = grouped_split(targets, groups, TEST_SHARE, generator)
        else:
            training, test = self._by_maker([model.maker for model in models], groups)
        for indices, what in ((training, "the training data hold"), (test, "the test data hold")):
            self._all_there(targets[indices], files, what)
        return (
            TensorSplit(self._clouds(clouds[training]), targets[training]),
            groups[training],
            TensorSplit(self._clouds(clouds[test]), targets[test]),
        )

    def _by_maker(self, makers: list[str], groups: Tensor) -> tuple[Tensor, Tensor]:
        """Return who trains, without what has a near-duplicate among the others, and who tests."""
        chosen = self.trained_on.split("+")
        for maker in chosen:
            if maker not in makers:
                raise UserError(
                    f"{self.name}: trained_on names no maker: {maker!r}; {suggest(maker, makers)}"
                )
        tested = torch.tensor([maker not in chosen for maker in makers])
        trained = ~tested & ~torch.isin(groups, groups[tested])
        return torch.nonzero(trained)[:, 0], torch.nonzero(tested)[:, 0]

    def _all_there(self, targets: Tensor, files: DataFiles, what: str) -> None:
        missing = sorted(set(CLASSES) - {CLASSES[label] for label in targets.tolist()})
        if missing:
            advice = (
                "put all catalogues of the package there"
                if self.split == "random"
                else "train on other makers, or put all catalogues there"
            )
            raise UserError(
                f"{self.name}: {what} no model of the class {', '.join(missing[:5])} "
                f"({files.folder.absolute()}); {advice}"
            )

    def _clouds(self, pool: Tensor) -> Tensor:
        """Return clouds (N, C, points): the first points of each pool are a sample of the surface as well."""
        drawn = pool[:, :, : self.points].numpy()
        positions = in_unit_sphere(drawn[:, :3].transpose(0, 2, 1).astype(np.float64))
        places = torch.from_numpy(positions.transpose(0, 2, 1).astype(np.float32, order="C"))
        if not self.normals:
            return places
        return torch.cat([places, pool[:, 3:, : self.points]], 1)
