"""ModelNet10 and ModelNet40: clouds sampled from a local copy of the meshes."""

from pathlib import Path
from typing import Annotated

import pydantic
import torch

from reldrop_bench import (
    DataFiles,
    Facts,
    Origin,
    Shifts,
    Task,
    TensorSplit,
    TrainingSplits,
    UserError,
)
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted

from ._cloud_task import CloudTask
from ._holdout import cut_validation
from ._local_folder import local_folder
from ._meshes import sampled, unread

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


PAGE = "https://modelnet.cs.princeton.edu"
TERMS = "for academic use (its page)"


class ModelNet(Task):
    """What both ModelNet tasks share (Wu et al. 2015); the concrete ones give name and classes."""

    modalities = {"cloud"}
    default_model = "pointnet"
    recipe = CloudTask.recipe
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

    def data_files(self, root: Path | None) -> DataFiles:
        raw = self._raw(root)
        parts = (self._listed(raw, part) for part in ("train", "test"))
        return DataFiles(raw, tuple(name for part in parts for name in part))

    def unprepared(self, root: Path | None) -> str:
        raw = self._raw(root)
        parts = (
            (part, DataFiles(raw, tuple(self._listed(raw, part)))) for part in ("train", "test")
        )
        folder = raw.parent / "sampled"
        texts = (unread(self.name, meshes, folder, part, self.points) for part, meshes in parts)
        return "; ".join(filter(None, texts))

    def _split(self, root: Path | None, part: str) -> TensorSplit:
        raw = self._raw(root)
        listed = self._listed(raw, part)
        targets = tuple(listed.values())
        meshes = DataFiles(raw, tuple(listed))
        clouds = sampled(self.name, meshes, raw.parent / "sampled", part, self.points)
        return TensorSplit(clouds if self.normals else clouds[:, :3], torch.tensor(targets))

    def _listed(self, raw: Path, part: str) -> dict[str, int]:
        """Return the meshes of a part by their name below `raw`, with their class."""
        listed = {}
        for target, category in enumerate(self.categories):
            paths = sorted((raw / category / part).glob(f"{category}_*.off"))
            if not paths:
                raise UserError(
                    f"{self.name}: {(raw / category / part).absolute()} holds no file "
                    f"{category}_*.off; unpack the archive again"
                )
            listed.update(
                dict.fromkeys((path.relative_to(raw).as_posix() for path in paths), target)
            )
        return listed

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
    origin = Origin(
        "ModelNet10.zip unpacked, its folder named raw, in DATA/modelnet10",
        PAGE,
        TERMS,
        counts={"train": 3_991, "test": 908},
    )
    categories = CLASSES_10


class ModelNet40(ModelNet):
    """9843 + 2468 CAD models of 40 classes, in DATA/modelnet40/raw/CLASS/train/*.off."""

    name = "modelnet40"
    origin = Origin(
        "ModelNet40.zip unpacked, its folder named raw, in DATA/modelnet40",
        PAGE,
        TERMS,
        counts={"train": 9_843, "test": 2_468},
    )
    categories = CLASSES_40
