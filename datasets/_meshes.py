"""Clouds sampled from meshes in OFF files, and kept: reading meshes takes minutes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reldrop_bench import DataFiles, Recipe, UserError
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.content import content_of
from reldrop_bench.seeding import global_seed

from ._kept import kept, kept_file
from ._off import read_off

if TYPE_CHECKING:
    from torch_geometric.data import Data

RECIPE = Recipe(
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
"""How clouds of meshes are trained on by default."""
VERSION = 3
"""Part of the cache's name: raise it when the same meshes would give other clouds."""


def sampled(name: str, meshes: DataFiles, kept_in: Path, part: str, points: int) -> Tensor:
    """Return clouds with normals, (N, 6, points): even over each mesh's area, in the unit sphere.

    They are kept in the folder `kept_in`, in a file whose name covers all that they depend on. name: of the
    task, for its random stream and its messages.

    Raises
    ------
    UserError
        A mesh that cannot be read; the message names it.
    """
    return _sampled(name, meshes, kept_in, part, points, content_of(meshes).digest)


def unread(name: str, meshes: DataFiles, kept_in: Path, part: str, points: int) -> str:
    """Say how many meshes are to be read before the first cloud is there; "" where they were."""
    digest = content_of(meshes).digest
    file = kept_file(meshes, digest, kept_in, f"{part}-{points}", [VERSION, name])
    return "" if file.exists() else f"{len(meshes.names):,} meshes of {part} are to be read"


@functools.lru_cache(maxsize=4)
def _sampled(
    name: str, meshes: DataFiles, kept_in: Path, part: str, points: int, digest: str
) -> Tensor:
    clouds = kept(
        name,
        meshes,
        digest,
        folder=kept_in,
        label=f"{part}-{points}",
        depends=[VERSION, name],
        shapes={"clouds": (len(meshes.names), 6, points)},
        make=lambda: {"clouds": _sample(name, meshes, points)},
    )
    return clouds["clouds"]


def _sample(name: str, meshes: DataFiles, points: int) -> Tensor:
    """Sample every mesh evenly over its area; each has its own random stream, named by its name."""
    from torch_geometric.data import Data
    from torch_geometric.transforms import SamplePoints

    sampler = SamplePoints(points, include_normals=True)
    clouds = []
    for file in meshes.names:
        path = meshes.folder / file
        try:
            mesh = read_off(path)
            if not mesh.area > 0:
                raise ValueError("its faces have no area")
            # Centred and scaled in double precision: single has no digits left for a small mesh that
            # lies far from the origin, as surveys have them.
            low, high = mesh.vertices.min(0), mesh.vertices.max(0)
            within = (mesh.vertices - (low + high) / 2) / (high - low).max()
            positions = torch.from_numpy(within).float()
            data = Data(pos=positions, face=torch.from_numpy(mesh.triangles).T)
            # SamplePoints draws from torch's global generator.
            with global_seed(name, points, file):
                cloud = _unit_sphere(sampler(data))
            if not cloud.isfinite().all():
                raise ValueError("its points are no finite numbers")
        except (OSError, RuntimeError, ValueError) as error:
            reason = one_line(error, 160) or type(error).__name__
            raise UserError(
                f"{name}: {path} is no mesh that can be read ({reason}); mend it, or unpack it again"
            ) from None
        clouds.append(cloud.T.contiguous())
    return torch.stack(clouds)


def _unit_sphere(data: Data) -> Tensor:
    """Centre positions and scale the farthest point to distance 1; with normals, (points, 6)."""
    centred = data.pos - data.pos.mean(0)
    return torch.cat([centred / centred.norm(dim=1).max(), data.normal], 1)
