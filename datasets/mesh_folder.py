"""Any meshes in folders named by their class, as clouds of points."""

from __future__ import annotations

from pathlib import Path

import torch

from reldrop_bench import DataFiles, TensorSplit

from ._cloud_task import CloudTask
from ._local_folder import list_classes, local_folder, same_classes
from ._meshes import sampled, unread

ENDINGS: tuple[str, ...] = (".off",)
UNREAD: tuple[str, ...] = (
    ".obj", ".ply", ".stl", ".glb", ".gltf", ".3ds", ".dae", ".fbx", ".pcd", ".las", ".xyz",
)  # fmt: skip


class MeshFolder(CloudTask):
    """Your own meshes: DATA/FOLDER/train/CLASS/*.off and DATA/FOLDER/test/CLASS/*.off.

    Points are drawn evenly over each mesh's area, centred, and scaled into the unit sphere. Validation
    clouds are cut from the training ones.
    """

    name = "mesh-folder"
    endings = ENDINGS
    unread_endings = UNREAD

    folder: str
    """Where it lies, below the folder of local data."""
    test_folder: str = "test"
    """The folder beside train/ that holds the test data."""

    @property
    def stream(self) -> str:
        return f"{self.name} {self.folder}"

    @property
    def kept_channels(self) -> int:
        """Channels of the clouds that are kept: a mesh has normals, whether or not they are wanted."""
        return 6

    @property
    def points_by(self) -> str:
        """How points are chosen of files that are clouds; "" where all are meshes."""
        return ""

    def classes(self, root: Path | None) -> tuple[str, ...]:
        return tuple(self._listed(root, "train"))

    def part(self, root: Path | None, part: str) -> TensorSplit:
        if part == "test":
            part = self.test_folder
            same_classes(self.name, self._listed(root, "train"), self._listed(root, part))
        listed = list(self._listed(root, part).values())
        targets = [target for target, names in enumerate(listed) for _ in names]
        clouds = sampled(*self._kept(root, part))[:, : self.channels]
        return TensorSplit(clouds.contiguous(), torch.tensor(targets))

    def data_files(self, root: Path | None) -> DataFiles:
        parts = (self._files(root, part).names for part in ("train", self.test_folder))
        return DataFiles(self._folder(root), tuple(name for names in parts for name in names))

    def unprepared(self, root: Path | None) -> str:
        texts = (unread(*self._kept(root, part)) for part in ("train", self.test_folder))
        return "; ".join(filter(None, texts))

    def _kept(
        self, root: Path | None, part: str
    ) -> tuple[str, DataFiles, Path, str, int, int, str]:
        """Return what `sampled` and `unread` are asked with."""
        files, label = self._files(root, part), part.replace("/", "-")
        into = files.folder / "sampled"
        return self.name, files, into, label, self.points, self.kept_channels, self.points_by

    def _files(self, root: Path | None, part: str) -> DataFiles:
        listed = self._listed(root, part).values()
        names = tuple(f"{part}/{name}" for names in listed for name in names)
        return DataFiles(self._folder(root), names)

    def _folder(self, root: Path | None) -> Path:
        kinds = " ".join(f"*{ending}" for ending in self.endings)
        advice = f"put train/CLASS/* and test/CLASS/* there ({kinds})"
        return local_folder(self.name, root, self.folder, advice)

    def _listed(self, root: Path | None, part: str) -> dict[str, list[str]]:
        """Return by class the names of its files, below the part's folder."""
        advice = "make one folder a class there, with its files"
        folder = local_folder(self.name, root, f"{self.folder}/{part}", advice)
        return list_classes(self.name, folder, self.endings, self.unread_endings)
