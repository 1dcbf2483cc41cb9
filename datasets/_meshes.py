"""Clouds sampled from meshes, and the cache that keeps them: reading meshes takes minutes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reldrop_bench import DataFiles, Recipe, UserError
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.content import content_of
from reldrop_bench.seeding import global_seed

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


def sampled(name: str, meshes: DataFiles, kept: Path, part: str, points: int) -> Tensor:
    """Return clouds with normals, (N, 6, points): even over each mesh's area, in the unit sphere.

    They are kept in the folder `kept`, in a file whose name covers all that they depend on. name: of the
    task, for its random stream and its messages.

    Raises
    ------
    UserError
        A mesh that cannot be read; the message names it.
    """
    return _sampled(name, meshes, kept, part, points, content_of(meshes).digest)


@functools.lru_cache(maxsize=4)
def _sampled(
    name: str, meshes: DataFiles, kept: Path, part: str, points: int, digest: str
) -> Tensor:
    from filelock import FileLock

    key = hashlib.sha256(json.dumps([VERSION, name, meshes.names, digest]).encode()).hexdigest()
    cache = kept / f"{part}-{points}-{key[:12]}.safetensors"
    try:
        kept.mkdir(exist_ok=True)
        with FileLock(f"{cache}.lock"):
            clouds = _cached(name, cache, len(meshes.names), points) if cache.exists() else None
            if clouds is None:
                clouds = _sample(name, meshes, points)
                if (
                    content_of(meshes).digest != digest
                ):  # they would be kept under the name of others
                    raise UserError(
                        f"{name}: meshes of {meshes.folder} changed while they were read; run again"
                    )
                _keep(clouds, cache)
    except OSError as error:
        warnings.warn(
            f"{name}: {cache} cannot be written ({one_line(error, 120)}); "
            "the meshes are read again each time",
            stacklevel=2,
        )
        return _sample(name, meshes, points)
    return clouds


def _checksum(clouds: Tensor) -> str:
    return hashlib.sha256(clouds.numpy().tobytes()).hexdigest()


def _keep(clouds: Tensor, cache: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    unfinished = cache.with_suffix(".tmp")
    try:
        save_file({"clouds": clouds}, unfinished, {"sha256": _checksum(clouds)})
    except SafetensorError as error:  # a full disk
        raise OSError(str(error)) from None
    os.replace(unfinished, cache)


def _cached(name: str, cache: Path, count: int, points: int) -> Tensor | None:
    """Return what was kept; None, with a note, where it is not as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(cache, "pt") as file:
            clouds, metadata = file.get_tensor("clouds"), file.metadata() or {}
        if clouds.shape == (count, 6, points) and metadata.get("sha256") == _checksum(clouds):
            return clouds
        reason = "its content is not what was written"
    except (OSError, SafetensorError) as error:
        reason = one_line(error, 120)
    warnings.warn(
        f"{name}: {cache} was damaged ({reason}) and is made again from the meshes", stacklevel=2
    )
    return None


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
