"""Any meshes in folders named by their class, as clouds of points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pydantic
import torch

from reldrop_bench import (
    DataFiles,
    Facts,
    Shifts,
    Task,
    TensorSplit,
    TrainingSplits,
)
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted

from ._holdout import cut_validation
from ._local_folder import list_classes, local_folder, same_classes
from ._meshes import RECIPE, sampled, unread

ENDINGS = (".off",)
UNREAD = (".obj", ".ply", ".stl", ".glb", ".gltf", ".3ds", ".dae", ".fbx", ".pcd", ".las", ".xyz")


class MeshFolder(Task):
    """Your own meshes: DATA/FOLDER/train/CLASS/*.off and DATA/FOLDER/test/CLASS/*.off.

    Points are drawn evenly over each mesh's area, centred, and scaled into the unit sphere. Validation
    clouds are cut from the training ones.
    """

    name = "mesh-folder"
    modalities = {"cloud"}
    default_model = "pointnet"
    recipe = RECIPE

    folder: str
    """Where it lies, below the folder of local data."""
    test_folder: str = "test"
    """The folder beside train/ that holds the test meshes."""
    points: Annotated[int, pydantic.Field(ge=8)] = 1024
    """Points a cloud."""
    normals: bool = False
    """Whether points have normals: 6 channels instead of 3."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        channels = 6 if self.normals else 3
        return Facts(
            modality="cloud",
            classes=tuple(self._listed(root, "train")),
            input_shape=(channels, self.points),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        pool = self._split(root, "train")
        return cut_validation(pool, self.validation, f"{self.name} {self.folder}", seed)

    def test(self, root: Path | None) -> TensorSplit:
        same_classes(self.name, self._listed(root, "train"), self._listed(root, self.test_folder))
        return self._split(root, self.test_folder)

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), f"{self.name} {self.folder}", CLOUD_LEVELS)

    def data_files(self, root: Path | None) -> DataFiles:
        return DataFiles(
            self._folder(root),
            tuple(
                f"{part}/{name}"
                for part in ("train", self.test_folder)
                for names in self._listed(root, part).values()
                for name in names
            ),
        )

    def unprepared(self, root: Path | None) -> str:
        folder = self._folder(root)
        texts = (
            unread(
                self.name,
                self._meshes(root, part),
                folder / "sampled",
                part.replace("/", "-"),
                self.points,
            )
            for part in ("train", self.test_folder)
        )
        return "; ".join(filter(None, texts))

    def _meshes(self, root: Path | None, part: str) -> DataFiles:
        listed = self._listed(root, part).values()
        names = tuple(f"{part}/{name}" for names in listed for name in names)
        return DataFiles(self._folder(root), names)

    def _split(self, root: Path | None, part: str) -> TensorSplit:
        listed = list(self._listed(root, part).values())
        targets = [target for target, names in enumerate(listed) for _ in names]
        folder, meshes = self._folder(root), self._meshes(root, part)
        label = part.replace("/", "-")
        clouds = sampled(self.name, meshes, folder / "sampled", label, self.points)
        return TensorSplit(clouds if self.normals else clouds[:, :3], torch.tensor(targets))

    def _folder(self, root: Path | None) -> Path:
        advice = "put train/CLASS/*.off and test/CLASS/*.off there"
        return local_folder(self.name, root, self.folder, advice)

    def _listed(self, root: Path | None, part: str) -> dict[str, list[str]]:
        """Return by class the names of its meshes, below the part's folder."""
        advice = "make one folder a class there, with its meshes"
        folder = local_folder(self.name, root, f"{self.folder}/{part}", advice)
        return list_classes(self.name, folder, ENDINGS, UNREAD)
