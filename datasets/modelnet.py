"""ModelNet10 and ModelNet40: clouds sampled from a local copy of the meshes."""

import functools
import hashlib
import os
import warnings
from pathlib import Path
from typing import Annotated

import pydantic
import torch
from torch import Tensor

from reldrop_bench import Facts, Recipe, Shifts, Task, TensorSplit, TrainingSplits, UserError
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted
from reldrop_bench.errors import one_line
from reldrop_bench.seeding import global_seed

from ._holdout import cut_validation
from ._local_folder import local_folder

# fmt: off
CLASSES_10: tuple[str, ...] = (
    "bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table",
    "toilet",
)
CLASSES_40: tuple[str, ...] = (
    "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair",
    "cone", "cup", "curtain", "desk", "door", "dresser", "flower_pot", "glass_box", "guitar",
    "keyboard", "lamp", "laptop", "mantel", "monitor", "night_stand", "person", "piano",
    "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table", "tent",
    "toilet", "tv_stand", "vase", "wardrobe", "xbox",
)
# fmt: on


class ModelNet(Task):
    """What both ModelNet tasks share (Wu et al. 2015); the concrete ones give name and classes."""

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
    categories = CLASSES_40

    points: Annotated[int, pydantic.Field(ge=8)] = 1024
    """Points a cloud."""
    normals: bool = False
    """Whether points have normals: 6 channels instead of 3."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.1
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        self._raw(root)
        channels = 6 if self.normals else 3
        return Facts(
            modality="cloud",
            classes=self.categories,
            input_shape=(channels, self.points),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(self._split(root, "train"), self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return self._split(root, "test")

    def shifts(self, root: Path | None) -> Shifts:
        return corrupted(lambda: self.test(root), self.name, CLOUD_LEVELS)

    def _split(self, root: Path | None, part: str) -> TensorSplit:
        clouds, targets = _clouds(self.name, self._raw(root), self.categories, part, self.points)
        return TensorSplit(clouds if self.normals else clouds[:, :3], targets)

    def _raw(self, root: Path | None) -> Path:
        number = self.name.removeprefix("modelnet")
        advice = (
            f"unpack ModelNet{number}.zip and name its folder raw, so that "
            f"raw/{self.categories[0]}/train/*.off exists (where there is a network, "
            "torch_geometric.datasets.ModelNet downloads it)"
        )
        raw = local_folder(self.name, root, f"{self.name}/raw", advice)
        missing = [category for category in self.categories if not (raw / category).is_dir()]
        if missing:
            raise UserError(
                f"{self.name}: {raw.absolute()} has no folder {', '.join(missing[:5])}"
                f"{' …' if len(missing) > 5 else ''}; {advice}"
            )
        return raw


class ModelNet10(ModelNet):
    """3991 + 908 household CAD models of 10 classes, in DATA/modelnet10/raw/CLASS/train/*.off."""

    name = "modelnet10"
    categories = CLASSES_10


class ModelNet40(ModelNet):
    """9843 + 2468 CAD models of 40 classes, in DATA/modelnet40/raw/CLASS/train/*.off."""

    name = "modelnet40"
    categories = CLASSES_40


@functools.lru_cache(maxsize=4)
def _clouds(
    name: str, raw: Path, categories: tuple[str, ...], part: str, points: int
) -> tuple[Tensor, Tensor]:
    """Return clouds with normals (N, 6, points) and targets (N,), from a cache beside `raw`.

    Reading the meshes takes minutes, so the sampled clouds are kept in ``sampled/``, in a file
    whose name covers all that they depend on.
    """
    from filelock import FileLock
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    files = [_meshes(name, raw / category / part, category) for category in categories]
    listing = [(path.name, path.stat().st_size) for paths in files for path in paths]
    digest = hashlib.sha256(repr((categories, listing)).encode()).hexdigest()[:12]
    cache = raw.parent / "sampled" / f"{part}-{points}-{digest}.safetensors"
    try:
        cache.parent.mkdir(exist_ok=True)
        with FileLock(f"{cache}.lock"):
            if not cache.is_file():
                clouds, targets = _sample(name, raw, files, points)
                unfinished = cache.with_suffix(".tmp")
                save_file({"clouds": clouds, "targets": targets}, unfinished)
                os.replace(unfinished, cache)
    except (OSError, SafetensorError) as error:
        warnings.warn(
            f"{name}: {cache} cannot be written ({one_line(error, 120)}); "
            "the meshes are read again each time",
            stacklevel=2,
        )
        return _sample(name, raw, files, points)
    stored = load_file(cache)
    return stored["clouds"], stored["targets"]


def _meshes(name: str, folder: Path, category: str) -> list[Path]:
    paths = sorted(folder.glob(f"{category}_*.off"))
    if not paths:
        raise UserError(
            f"{name}: {folder.absolute()} holds no file {category}_*.off; unpack the archive again"
        )
    return paths


def _sample(name: str, raw: Path, files: list[list[Path]], points: int) -> tuple[Tensor, Tensor]:
    """Sample every mesh evenly over its area and fit the cloud into the unit sphere.

    Each mesh has its own random stream, named by its path below `raw`.
    """
    from torch_geometric.io import read_off
    from torch_geometric.transforms import SamplePoints

    sampler = SamplePoints(points, include_normals=True)
    clouds, targets = [], []
    for target, paths in enumerate(files):
        for path in paths:
            try:
                # SamplePoints draws from torch's global generator.
                with global_seed(name, points, path.relative_to(raw).as_posix()):
                    data = sampler(read_off(str(path)))
                    cloud = torch.cat([_unit_sphere(data.pos), data.normal], 1)
            # A damaged mesh fails anywhere in the parser or the sampler.
            except Exception as error:  # noqa: BLE001
                raise UserError(
                    f"{name}: {path} is no mesh that can be read ({one_line(error, 120)}); "
                    "unpack it again"
                ) from None
            clouds.append(cloud.T.contiguous())
            targets.append(target)
    return torch.stack(clouds), torch.tensor(targets)


def _unit_sphere(positions: Tensor) -> Tensor:
    """Centre positions (N, 3) and scale the farthest point to distance 1."""
    centred = positions - positions.mean(0)
    return centred / centred.norm(dim=1).max()
