"""Point clouds sampled from the surfaces of simple solids, stretched, turned and cluttered."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from reldrop_bench import Facts, Recipe, Shifts, Task, TensorSplit, TrainingSplits, UserError
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted, rotation_matrices, unit_vectors
from reldrop_bench.errors import require_library
from reldrop_bench.seeding import derive_seed, numpy_generator

from ._holdout import cut_validation
from .cue_images import balanced_labels

if TYPE_CHECKING:
    import trimesh

SOLIDS = ("box", "cylinder", "cone", "sphere", "torus", "capsule", "annulus", "pyramid")
POOL = 8192
"""Surface points of each solid that its samples are drawn from."""
CANDIDATES = 4
"""Points drawn from the pool for each point kept, so that stretching leaves the density even."""


class Shapes(Task):
    """8 simple solids (trimesh.creation) as clouds with random stretch, rotation and clutter.

    Clouds are (3, N), or (6, N) with normals; the solid fills the unit sphere. Masks: 0 = clutter,
    1 = side, 2 and 3 = what faces up and down (lids, or the halves of round solids), 4 = bore.
    """

    name = "shapes"
    modalities = {"cloud"}
    synthetic = True
    default_model = "pointnet"
    recipe = Recipe(
        epochs=8, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    points: Annotated[int, pydantic.Field(ge=8)] = 256
    """Points a cloud."""
    normals: bool = False
    """Whether points have normals: 6 channels instead of 3."""
    clutter: Annotated[int, pydantic.Field(ge=0)] = 16
    """How many of the points are uniform in the unit ball instead."""
    rotation: Literal["none", "vertical", "full"] = "vertical"
    """Random turns: none, about the vertical axis, or about all."""
    stretch: Annotated[float, pydantic.Field(ge=1)] = 1.3
    """Each axis is scaled by a factor between 1/stretch and stretch, log-uniform."""
    samples: Annotated[int, pydantic.Field(ge=2 * len(SOLIDS))] = 1200
    """Training and validation clouds together."""
    test_samples: Annotated[int, pydantic.Field(ge=len(SOLIDS))] = 400
    """Test clouds."""
    generation_seed: int = 0
    """Another one makes other data of the same kind."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """The share of the training data that validates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clutter >= self.points:
            raise UserError(
                f"{self.name}: clutter = {self.clutter} leaves none of {self.points} points to "
                "the solid; give fewer clutter points or more points"
            )

    def facts(self, root: Path | None) -> Facts:
        require_library("trimesh", "shapes", f"the task {self.name}")
        channels = 6 if self.normals else 3
        return Facts(
            modality="cloud",
            classes=SOLIDS,
            input_shape=(channels, self.points),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            masks=True,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(_split(self, "train"), self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return _split(self, "test")

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, CLOUD_LEVELS)


class _Surface(NamedTuple):
    """Surface points of every solid: positions and normals (S, P, 3), part indices (S, P)."""

    positions: NDArray[np.float64]
    normals: NDArray[np.float64]
    parts: NDArray[np.uint8]


@functools.lru_cache(maxsize=4)
def _surface(generation_seed: int) -> _Surface:
    from trimesh.sample import sample_surface

    pools = []
    for solid, mesh in _meshes().items():
        seed = derive_seed(Shapes.name, generation_seed, "surface", solid) % 2**32
        positions, faces = sample_surface(mesh, POOL, seed=seed)[:2]
        normals = mesh.face_normals[faces]
        pools.append((positions - mesh.bounds.mean(0), normals, _parts(solid, positions, normals)))
    return _Surface(*(np.stack(arrays) for arrays in zip(*pools, strict=True)))


def _meshes() -> dict[str, trimesh.Trimesh]:
    from trimesh import creation

    meshes = {
        "box": creation.box((1.4, 1.4, 1.4)),
        "cylinder": creation.cylinder(radius=0.8, height=1.6),
        "cone": creation.cone(radius=0.9, height=1.6),
        "sphere": creation.icosphere(subdivisions=4),
        "torus": creation.torus(major_radius=0.7, minor_radius=0.25),
        "capsule": creation.capsule(height=1.2, radius=0.5, count=[32, 32]),
        "annulus": creation.annulus(r_min=0.5, r_max=0.8, height=1.2),
        "pyramid": creation.cone(radius=1.0, height=1.4, sections=4),
    }
    return {solid: meshes[solid] for solid in SOLIDS}


def _parts(
    solid: str, positions: NDArray[np.float64], normals: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Return the part index (P,) of surface points: side, up, down or bore."""
    flat = 0.99 if solid in {"box", "cylinder", "cone", "annulus", "pyramid"} else 0.01
    parts = 1 + (normals[:, 2] > flat) + 2 * (normals[:, 2] < -flat)
    if solid == "annulus":
        inward = (positions[:, :2] * normals[:, :2]).sum(1) < 0
        parts[inward & (parts == 1)] = 4
    return parts.astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _split(task: Shapes, part: str) -> TensorSplit:
    def stream(what: str) -> np.random.Generator:
        return numpy_generator(task.name, task.generation_seed, part, what)

    count = task.samples if part == "train" else task.test_samples
    kept = task.points - task.clutter
    surface = _surface(task.generation_seed)
    labels = balanced_labels(count, len(SOLIDS), stream("labels"))
    scale = np.exp(np.log(task.stretch) * stream("stretch").uniform(-1, 1, (count, 1, 3)))

    candidates = stream("points").integers(0, POOL, (count, CANDIDATES * kept))
    normals = surface.normals[labels[:, None], candidates] / scale
    # Stretching multiplies the area at a point by |det S| |S⁻¹ n|: the smallest of exponential
    # variables with these rates are a weighted sample without replacement (Efraimidis 2006).
    rates = np.linalg.norm(normals, axis=2)
    clocks = stream("density").standard_exponential(candidates.shape) / rates
    chosen = np.argpartition(clocks, kept - 1, axis=1)[:, :kept]
    taken = np.take_along_axis(candidates, chosen, 1)
    normals = np.take_along_axis(normals / rates[:, :, None], chosen[:, :, None], 1)
    positions = surface.positions[labels[:, None], taken] * scale
    positions /= np.linalg.norm(positions, axis=2).max(1)[:, None, None]

    turns = _rotations(task.rotation, count, stream("rotation")).swapaxes(1, 2)
    around = unit_vectors((count, 3, task.clutter), stream("clutter directions")).swapaxes(1, 2)
    radius = np.cbrt(stream("clutter radii").random((count, task.clutter, 1)))
    clouds = np.concatenate([positions @ turns, around * radius], 1)
    masks = np.zeros((count, task.points), np.uint8)
    masks[:, :kept] = surface.parts[labels[:, None], taken]
    if task.normals:
        anywhere = unit_vectors((count, 3, task.clutter), stream("clutter normals")).swapaxes(1, 2)
        clouds = np.concatenate([clouds, np.concatenate([normals @ turns, anywhere], 1)], 2)
    return TensorSplit(
        torch.from_numpy(clouds.swapaxes(1, 2).astype(np.float32, order="C")),
        torch.from_numpy(labels),
        torch.from_numpy(masks),
    )


def _rotations(kind: str, count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return (count, 3, 3) rotations: none, about the vertical (z), or uniform over all."""
    if kind == "none":
        return np.broadcast_to(np.eye(3), (count, 3, 3))
    if kind == "vertical":
        axes = np.broadcast_to(np.array([0.0, 0.0, 1.0]), (count, 3))
        return rotation_matrices(axes, generator.uniform(0, 2 * np.pi, count))
    # The Q of a Gaussian matrix is uniform once the signs are fixed (Mezzadri 2007).
    orthogonal, upper = np.linalg.qr(generator.standard_normal((count, 3, 3)))
    orthogonal = orthogonal * np.sign(np.diagonal(upper, axis1=1, axis2=2))[:, None, :]
    return orthogonal * np.linalg.det(orthogonal)[:, None, None]
