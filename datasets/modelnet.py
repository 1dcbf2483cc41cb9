"""ModelNet10 and ModelNet40: clouds from a local copy, in each layout that is handed around."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from reldrop_bench import DataFiles, Origin, Shifts, TensorSplit, UserError

from ._cloud_task import CloudTask
from ._h5 import h5_clouds, unread_h5
from ._image_arrays import file_states
from ._local_folder import local_folder
from ._meshes import sampled, unread
from ._modelnet_corruptions import beside, published_shifts

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
LAYOUTS = {
    "raw": "raw",
    "normal-resampled": "modelnet40_normal_resampled",
    "hdf5": "modelnet40_ply_hdf5_2048",
}
"""Folders that a layout is told by: meshes; 10,000 points and normals a file; 2,048 points each, in a few files."""


class ModelNet(CloudTask):
    """What both ModelNet tasks share (Wu et al. 2015); the concrete ones give name and classes."""

    recipe = CloudTask.recipe
    categories = CLASSES_40
    layouts = tuple(LAYOUTS)

    layout: Literal["auto", "raw", "normal-resampled", "hdf5"] = "auto"
    """Which copy is read, where several lie there: raw meshes, or clouds that were sampled by others."""
    sampling: Literal["farthest", "uniform"] = "farthest"
    """How points of a cloud are chosen; meshes are sampled evenly over their area."""

    def classes(self, root: Path | None) -> tuple[str, ...]:
        self._laid_out(root)
        return self.categories

    def data_files(self, root: Path | None) -> DataFiles:
        layout, folder = self._laid_out(root)
        names = [name for part in ("train", "test") for name in self._names(layout, folder, part)]
        return DataFiles(folder, (*self._tables(layout), *names))

    def unprepared(self, root: Path | None) -> str:
        layout, folder = self._laid_out(root)
        ask: Any = unread_h5 if layout == "hdf5" else unread
        parts = ("train", "test")
        return "; ".join(filter(None, (ask(*self._kept(layout, folder, part)) for part in parts)))

    def part(self, root: Path | None, part: str) -> TensorSplit:
        layout, folder = self._laid_out(root)
        asked = self._kept(layout, folder, part)
        if layout == "hdf5":
            found = h5_clouds(*asked)
            clouds, targets = found["clouds"], found["targets"]
        else:
            clouds = sampled(*asked)
            targets = torch.tensor([target for _, target in self._listed(layout, folder, part)])
        return TensorSplit(clouds[:, : self.channels], targets)

    def _kept(self, layout: str, folder: Path, part: str) -> tuple[Any, ...]:
        """Return what `sampled` and `unread`, or `h5_clouds` and `unread_h5` are asked with."""
        files = DataFiles(folder, tuple(self._names(layout, folder, part)))
        asked = (self.name, files, folder.parent / "sampled", part, self.points)
        if layout == "hdf5":
            beside = ("normal",) if self.normals else ()
            return *asked, self.sampling, len(self.categories), beside
        return *asked, 6, "" if layout == "raw" else self.sampling

    def _names(self, layout: str, folder: Path, part: str) -> list[str]:
        if layout == "hdf5":
            names = [Path(line).name for line in self._lines(folder / f"{part}_files.txt")]
            file_states(self.name, folder, names, "unpack the archive again")
            return names
        return [name for name, _ in self._listed(layout, folder, part)]

    def _tables(self, layout: str) -> tuple[str, ...]:
        """Return the lists of a layout, below its folder."""
        if layout == "hdf5":
            return "shape_names.txt", "train_files.txt", "test_files.txt"
        parts = ("shape_names", "train", "test") if layout == "normal-resampled" else ()
        return tuple(f"{self.name}_{part}.txt" for part in parts)

    def _listed(self, layout: str, folder: Path, part: str) -> list[tuple[str, int]]:
        """Return the files of a part, one a cloud, by their name below `folder`, with their class."""
        if layout == "raw":
            return self._meshes(folder, part)
        table, found = folder / f"{self.name}_{part}.txt", []
        for line in self._lines(table):
            label = line.rpartition("_")[0]
            if label not in self.categories:
                raise UserError(
                    f"{self.name}: {table.absolute()} names {line[:40]!r}, which is of no class; "
                    "unpack the archive again"
                )
            found.append((f"{label}/{line}.txt", self.categories.index(label)))
        missing = set(self.categories) - {self.categories[target] for _, target in found}
        if missing:
            raise UserError(
                f"{self.name}: {table.absolute()} names no file of the class {min(missing)}; unpack the archive again"
            )
        file_states(self.name, folder, [name for name, _ in found], "unpack the archive again")
        return found

    def _meshes(self, raw: Path, part: str) -> list[tuple[str, int]]:
        listed = []
        for target, category in enumerate(self.categories):
            paths = sorted((raw / category / part).glob(f"{category}_*.off"))
            if not paths:
                raise UserError(
                    f"{self.name}: {(raw / category / part).absolute()} holds no file "
                    f"{category}_*.off; unpack the archive again"
                )
            listed += [(path.relative_to(raw).as_posix(), target) for path in paths]
        return listed

    def _lines(self, table: Path) -> list[str]:
        file_states(self.name, table.parent, [table.name], "unpack the archive again")
        text = table.read_text("utf-8", "replace")
        if not (lines := [line.strip() for line in text.splitlines() if line.strip()]):
            raise UserError(f"{self.name}: {table.absolute()} is empty; unpack the archive again")
        return lines

    def _laid_out(self, root: Path | None) -> tuple[str, Path]:
        """Return the layout that is read, and its folder."""
        layout: str = self.layout
        if layout not in ("auto", *self.layouts):
            raise UserError(f"{self.name}: there is no layout {layout} of it; leave layout out")
        if layout == "auto":
            own = None if root is None else Path(root) / self.name
            there = [
                one for one in self.layouts if own is not None and (own / LAYOUTS[one]).is_dir()
            ]
            if len(there) > 1:
                raise UserError(
                    f"{self.name}: {own} holds it as {' and '.join(there)}; choose one, such as layout: {there[0]}"
                )
            layout = there[0] if there else "raw"
        folder = local_folder(
            self.name, root, f"{self.name}/{LAYOUTS[layout]}", self._advice(layout)
        )
        if layout == "raw":
            missing = [one for one in self.categories if not (folder / one).is_dir()]
        else:
            named = self._lines(folder / self._tables(layout)[0])
            missing = [] if tuple(named) == self.categories else ["table of its classes"]
        if missing:
            raise UserError(
                f"{self.name}: {folder.absolute()} has no {'folder ' if layout == 'raw' else ''}"
                f"{', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}; {self._advice(layout)}"
            )
        return layout, folder

    def _advice(self, layout: str) -> str:
        if layout != "raw":
            return f"unpack {LAYOUTS[layout]}.zip there"
        number = self.name.removeprefix("modelnet")
        return (
            f"unpack ModelNet{number}.zip and name its folder raw, so that "
            f"raw/{self.categories[0]}/train/*.off exists (where there is a network, "
            "torch_geometric.datasets.ModelNet downloads it)"
        )


class ModelNet10(ModelNet):
    """3991 + 908 household CAD models of 10 classes, in DATA/modelnet10/raw/CLASS/train/*.off.

    Or in DATA/modelnet10/modelnet40_normal_resampled, as clouds (Qi et al., arXiv 1706.02413).
    """

    name = "modelnet10"
    origin = Origin(
        "ModelNet10.zip unpacked, its folder named raw, in DATA/modelnet10",
        PAGE,
        counts={"train": 3_991, "test": 908},
    )
    categories = CLASSES_10
    layouts = ("raw", "normal-resampled")


class ModelNet40(ModelNet):
    """9843 + 2468 CAD models of 40 classes, in DATA/modelnet40/raw/CLASS/train/*.off.

    Or as clouds (Qi et al., arXiv 1612.00593 and 1706.02413) in DATA/modelnet40/modelnet40_normal_resampled or
    DATA/modelnet40/modelnet40_ply_hdf5_2048 (h5py, an extra; 9840 of the 9843). Where DATA/modelnet40-c or
    DATA/modelnet-c is there, the published corruptions are shifts as well (`modelnet40-c-gaussian/1`,
    `modelnet-c-jitter/1` …); not of raw meshes, which stand along another axis, nor with normals, which they lack.
    """

    name = "modelnet40"
    origin = Origin(
        "ModelNet40.zip unpacked, its folder named raw, in DATA/modelnet40",
        PAGE,
        counts={"train": 9_843, "test": 2_468},
    )
    categories = CLASSES_40

    def shifts(self, root: Path | None) -> Shifts:
        own = super().shifts(root)
        if root is None or not self._corruptions_fit(root):
            return own
        return {**own, **published_shifts(self.name, Path(root), len(self.categories))}

    def data_files(self, root: Path | None) -> DataFiles:
        files = super().data_files(root)
        return beside(self.name, root, files) if self._corruptions_fit(root) else files

    def published(self, root: Path | None) -> Mapping[str, int]:
        counts = super().published(root)
        return {**counts, "train": 9_840} if self._laid_out(root)[0] == "hdf5" else counts

    def _corruptions_fit(self, root: Path | None) -> bool:
        return not self.normals and self._laid_out(root)[0] != "raw"
