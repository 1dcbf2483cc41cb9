"""Clouds sampled from files of one mesh or one cloud each, and kept: reading them takes minutes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reldrop_bench import DataFiles, UserError
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.content import content_of
from reldrop_bench.seeding import global_seed, numpy_generator

from ._clouds import ENDINGS, choose, in_unit_sphere, read_cloud
from ._kept import kept, kept_file
from ._off import Mesh, read_off

if TYPE_CHECKING:
    from torch_geometric.data import Data

VERSION = 3
"""Part of the cache's name: raise it when the same meshes would give other clouds."""
COLUMNS = {3: (3, 6), 6: (6,), 7: (7,)}
"""By the channels that are wanted, how many columns a cloud's file may have."""


def sampled(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    channels: int = 6,
    sampling: str = "",
) -> Tensor:
    """Return clouds (N, channels, points) in the unit sphere: places, then normals, then what follows in the file.

    Meshes are sampled evenly over their area; clouds by `sampling` (see `choose`). They are kept in the folder
    `kept_in`, in a file whose name covers all that they depend on. name: of the task, for its random streams
    and its messages. sampling: "" where all files are meshes.

    Raises
    ------
    UserError
        A file that cannot be read; the message names it.
    """
    digest = content_of(files).digest
    return _sampled(name, files, kept_in, part, points, channels, sampling, digest)


def unread(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    channels: int = 6,
    sampling: str = "",
) -> str:
    """Say how many files are to be read before the first cloud is there; "" where they were."""
    label, depends = _kept_as(name, part, points, channels, sampling)
    file = kept_file(files, content_of(files).digest, kept_in, label, depends)
    what = "files" if sampling else "meshes"
    return "" if file.exists() else f"{len(files.names):,} {what} of {part} are to be read"


def _kept_as(
    name: str, part: str, points: int, channels: int, sampling: str
) -> tuple[str, list[object]]:
    more: list[object] = [channels, sampling] if sampling else []
    return f"{part}-{points}", [VERSION, name, *more]


@functools.lru_cache(maxsize=4)
def _sampled(
    name: str,
    files: DataFiles,
    kept_in: Path,
    part: str,
    points: int,
    channels: int,
    sampling: str,
    digest: str,
) -> Tensor:
    label, depends = _kept_as(name, part, points, channels, sampling)
    clouds = kept(
        name,
        files,
        digest,
        folder=kept_in,
        label=label,
        depends=depends,
        shapes={"clouds": (len(files.names), channels, points)},
        make=lambda: {"clouds": _sample(name, files, points, channels, sampling)},
    )
    return clouds["clouds"]


def _sample(name: str, files: DataFiles, points: int, channels: int, sampling: str) -> Tensor:
    """Sample every file; each has its own random stream, named by its name."""
    clouds = torch.empty(len(files.names), channels, points)
    for index, file in enumerate(files.names):
        path = files.folder / file
        whole = path.suffix.lower() in ENDINGS
        try:
            if whole:
                cloud = _of_cloud(path, points, channels, sampling, (name, points, file))
            else:
                cloud = _of_mesh(path, points, (name, points, file))[:, :channels]
            if not cloud.isfinite().all():
                raise ValueError("its points are no finite numbers")
        except Exception as error:  # noqa: BLE001 - whatever a library raises at what is no mesh
            reason = one_line(error, 160) or type(error).__name__
            raise UserError(
                f"{name}: {path} is no {'cloud' if whole else 'mesh'} that can be read ({reason}); mend it, "
                "or unpack it again"
            ) from None
        clouds[index] = cloud.T
    return clouds


def _of_cloud(
    path: Path, points: int, channels: int, sampling: str, stream: tuple[object, ...]
) -> Tensor:
    """Choose points of a cloud, (points, channels)."""
    values = read_cloud(path, COLUMNS[channels])
    places = torch.from_numpy(values[None, :, :3])
    values = values[choose(places, points, sampling, numpy_generator(*stream))[0].numpy()]
    cloud = np.concatenate([in_unit_sphere(values[:, :3]), values[:, 3:channels]], 1)
    return torch.from_numpy(cloud).float()


def _of_mesh(path: Path, points: int, stream: tuple[object, ...]) -> Tensor:
    """Sample a mesh evenly over its area, with normals: (points, 6)."""
    from torch_geometric.data import Data
    from torch_geometric.transforms import SamplePoints

    mesh = read_off(path) if path.suffix.lower() == ".off" else _read_mesh(path)
    if not mesh.area > 0:
        raise ValueError("its faces have no area")
    # Centred and scaled in double precision: single has no digits left for a small mesh that
    # lies far from the origin, as surveys have them.
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    within = (mesh.vertices - (low + high) / 2) / (high - low).max()
    data = Data(pos=torch.from_numpy(within).float(), face=torch.from_numpy(mesh.triangles).T)
    # SamplePoints draws from torch's global generator.
    with global_seed(*stream):
        return _unit_sphere(SamplePoints(points, include_normals=True)(data))


def _read_mesh(path: Path) -> Mesh:
    """Read a mesh of any format that trimesh knows; ValueError, or what trimesh raises, at what is none."""
    import trimesh

    read: Any = trimesh.load(path, force="mesh", process=False, skip_materials=True)
    vertices = np.asarray(read.vertices, np.float64)
    if not len(read.faces):
        raise ValueError("it has no faces")
    if not np.isfinite(vertices).all():
        raise ValueError("a coordinate is no finite number")
    return Mesh(vertices, np.asarray(read.faces, np.int64))


def _unit_sphere(data: Data) -> Tensor:
    """Centre positions and scale the farthest point to distance 1; with normals, (points, 6)."""
    centred = data.pos - data.pos.mean(0)
    return torch.cat([centred / centred.norm(dim=1).max(), data.normal], 1)
