"""Any clouds and meshes in folders named by their class."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from reldrop_bench.errors import require_library

from . import _clouds
from .mesh_folder import MeshFolder

READ_BY_TRIMESH = (".ply", ".obj", ".stl", ".glb")


class CloudFolder(MeshFolder):
    """Your own clouds and meshes: DATA/FOLDER/train/CLASS/* and DATA/FOLDER/test/CLASS/*.

    Clouds are .npy, .txt and .xyz of 3 or 6 columns (places, normals); meshes are .off, and with the extra `shapes`
    .ply, .obj, .stl and .glb, drawn from evenly over their area. All are centred and scaled into the unit sphere.
    Validation clouds are cut from the training ones.
    """

    name = "cloud-folder"
    endings = (".off", *READ_BY_TRIMESH, *_clouds.ENDINGS)
    unread_endings = (
        ".gltf", ".3ds", ".dae", ".fbx", ".pcd", ".las", ".laz", ".pts", ".csv", ".npz", ".h5", ".mat",
    )  # fmt: skip

    sampling: Literal["farthest", "uniform"] = "farthest"
    """How points of a cloud are chosen: each farthest from those before it, or at random."""

    @property
    def kept_channels(self) -> int:
        return self.channels

    @property
    def points_by(self) -> str:
        return self.sampling

    def _listed(self, root: Path | None, part: str) -> dict[str, list[str]]:
        listed = super()._listed(root, part)
        if any(
            file.lower().endswith(READ_BY_TRIMESH) for files in listed.values() for file in files
        ):
            require_library(
                "trimesh", "shapes", f"the task {self.name}, for meshes other than .off,"
            )
        return listed
