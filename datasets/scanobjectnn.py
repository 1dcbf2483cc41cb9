"""ScanObjectNN: objects cut from scans of rooms, with what lies around them, from a local copy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from reldrop_bench import DataFiles, Origin, TensorSplit, UserError

from ._cloud_task import CloudTask
from ._h5 import h5_clouds, unread_h5
from ._image_arrays import file_states
from ._local_folder import local_folder

CLASSES = (
    "bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow", "sink",
    "sofa", "toilet",
)  # fmt: skip
FILES = {
    "obj-only": "main_split_nobg/{}_objectdataset.h5",
    "obj-bg": "main_split/{}_objectdataset.h5",
    "pb-t50-rs": "main_split/{}_objectdataset_augmentedrot_scale75.h5",
}
COUNTS = {
    "obj-only": {"train": 2_309, "test": 581},
    "obj-bg": {"train": 2_309, "test": 581},
    "pb-t50-rs": {"train": 11_416, "test": 2_882},
}
ADVICE = "unpack h5_files.zip there, so that main_split and main_split_nobg lie in it"


class ScanObjectNN(CloudTask):
    """Real objects of 15 classes as clouds of 2048 points (Uy et al., ICCV 2019), in DATA/scanobjectnn.

    In DATA/scanobjectnn, or h5_files in it: main_split and main_split_nobg. Needs h5py, an extra. Masks: 1 on the
    object, 0 on what lies around it; `obj-only` has nothing around it and no masks. In `pb-t50-rs` an object has
    several perturbed copies, which may stand in training and validation: no file says whose they are.
    """

    name = "scanobjectnn"
    synthetic = False
    origin = Origin(
        "main_split and main_split_nobg of h5_files.zip in DATA/scanobjectnn",
        "https://hkust-vgd.github.io/scanobjectnn",
        "see its page",
        counts=COUNTS["pb-t50-rs"],
    )

    variant: Literal["obj-only", "obj-bg", "pb-t50-rs"] = "pb-t50-rs"
    """The object alone, with its background, or also moved by up to half its size, turned and scaled."""
    sampling: Literal["farthest", "uniform"] = "farthest"
    """How points are chosen: each farthest from those before it, or at random."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normals:
            raise UserError(f"{self.name}: its points have no normals; leave normals out")

    @property
    def masked(self) -> bool:
        return self.variant != "obj-only"

    def classes(self, root: Path | None) -> tuple[str, ...]:
        self.data_files(root)
        return CLASSES

    def part(self, root: Path | None, part: str) -> TensorSplit:
        found = h5_clouds(*self._kept(root, part))
        return TensorSplit(found["clouds"], found["targets"], found.get("masks"))

    def data_files(self, root: Path | None) -> DataFiles:
        folder = local_folder(self.name, root, self.name, ADVICE)
        if (folder / "h5_files").is_dir():
            folder /= "h5_files"
        names = tuple(FILES[self.variant].format(part) for part in ("training", "test"))
        file_states(self.name, folder, names, ADVICE)
        return DataFiles(folder, names)

    def unprepared(self, root: Path | None) -> str:
        texts = (unread_h5(*self._kept(root, part)) for part in ("train", "test"))
        return "; ".join(filter(None, texts))

    def published(self, root: Path | None) -> Mapping[str, int]:
        return COUNTS[self.variant]

    def _kept(
        self, root: Path | None, part: str
    ) -> tuple[str, DataFiles, Path, str, int, str, int, tuple[str, ...]]:
        """Return what `h5_clouds` and `unread_h5` are asked with."""
        files = self.data_files(root)
        chosen = files.only([files.names[("train", "test").index(part)]])
        beside = ("mask",) if self.masked else ()
        into = files.folder / "sampled"
        return self.name, chosen, into, part, self.points, self.sampling, len(CLASSES), beside
