"""ShapeNetPart: 16 categories of models whose parts are known, from a local copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch

from reldrop_bench import DataFiles, Origin, TensorSplit, TrainingSplits, UserError
from reldrop_bench.errors import one_line

from ._cloud_task import CloudTask
from ._image_arrays import file_states
from ._local_folder import local_folder
from ._meshes import sampled, unread

FOLDER = "shapenetcore_partanno_segmentation_benchmark_v0_normal"
PARTS = ("train", "val", "test")
ADVICE = f"unpack {FOLDER}.zip in the folder shapenet (its own host does not always answer)"
AGAIN = "unpack the archive again"


class ShapeNet(CloudTask):
    """16881 models of 16 categories, with their parts (Yi et al., SIGGRAPH Asia 2016), in DATA/shapenet.

    In DATA/shapenet/shapenetcore_partanno_segmentation_benchmark_v0_normal: synsetoffset2category.txt,
    train_test_split and a folder a category. All three parts of the split are its own. Masks: the part that a point
    belongs to, from 1 on within its category; nothing is background.
    """

    name = "shapenet"
    origin = Origin(
        f"{FOLDER}.zip unpacked in DATA/shapenet",
        "https://shapenet.org",
        "for non-commercial research and education (its terms)",
        counts={"train": 12_137 + 1_870, "test": 2_874},
    )

    sampling: Literal["replacement", "uniform", "farthest"] = "replacement"
    """How points are chosen: at random with or without replacement, or each farthest from those before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation != CloudTask.validation:
            raise UserError(f"{self.name}: its validation part is its own; leave validation out")

    @property
    def masked(self) -> bool:
        return True

    def classes(self, root: Path | None) -> tuple[str, ...]:
        return tuple(self._categories(self._folder(root)))

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return TrainingSplits(self.part(root, "train"), self.part(root, "val"))

    def part(self, root: Path | None, part: str) -> TensorSplit:
        from torch_geometric.datasets import ShapeNet as Published

        folder = self._folder(root)
        categories, listed = list(self._categories(folder)), self._listed(folder, part)
        targets = torch.tensor([target for _, target in listed])
        clouds = sampled(*self._kept(folder, part))
        labels = [Published.seg_classes[category] for category in categories]
        first = torch.tensor([min(numbers) for numbers in labels])[targets, None]
        last = torch.tensor([max(numbers) for numbers in labels])[targets, None]
        found = clouds[:, 6]
        wrong = ((found != found.round()) | (found < first) | (found > last)).any(1)
        if wrong.any():
            at = int(wrong.int().argmax())
            raise UserError(
                f"{self.name}: {folder.absolute() / listed[at][0]} has a part that is none of "
                f"{categories[listed[at][1]]} ({int(first[at])} to {int(last[at])}); {AGAIN}"
            )
        masks = (found - first + 1).to(torch.uint8)
        return TensorSplit(clouds[:, : self.channels], targets, masks)

    def data_files(self, root: Path | None) -> DataFiles:
        folder = self._folder(root)
        tables = ("synsetoffset2category.txt", *map(_table, PARTS))
        clouds = (name for part in PARTS for name, _ in self._listed(folder, part))
        return DataFiles(folder, (*tables, *clouds))

    def unprepared(self, root: Path | None) -> str:
        folder = self._folder(root)
        return "; ".join(filter(None, (unread(*self._kept(folder, part)) for part in PARTS)))

    def _kept(self, folder: Path, part: str) -> tuple[str, DataFiles, Path, str, int, int, str]:
        """Return what `sampled` and `unread` are asked with: places, normals and the part, 7 numbers a point."""
        files = DataFiles(folder, tuple(name for name, _ in self._listed(folder, part)))
        return self.name, files, folder.parent / "sampled", part, self.points, 7, self.sampling

    def _folder(self, root: Path | None) -> Path:
        return local_folder(self.name, root, f"{self.name}/{FOLDER}", ADVICE)

    def _categories(self, folder: Path) -> dict[str, str]:
        """Return the folder of each category by its name."""
        from torch_geometric.datasets import ShapeNet as Published

        table = folder / "synsetoffset2category.txt"
        file_states(self.name, folder, [table.name], AGAIN)
        lines = table.read_text("utf-8", "replace").splitlines()
        if {tuple(line.split()) for line in lines if line.strip()} != {
            *Published.category_ids.items()
        }:
            raise UserError(
                f"{self.name}: {table.absolute()} does not name the 16 categories; {AGAIN}"
            )
        return dict(Published.category_ids)

    def _listed(self, folder: Path, part: str) -> list[tuple[str, int]]:
        """Return the files of a part by their name below `folder`, with their class."""
        table, ids = folder / _table(part), list(self._categories(folder).values())
        file_states(self.name, folder, [_table(part)], AGAIN)
        found = []
        try:
            for entry in json.loads(table.read_text("utf-8")):
                _, category, model = entry.split(
                    "/"
                )  # shape_data/02691156/1021a0914a7207aff927ed529ad90a11
                found.append((f"{category}/{model}.txt", ids.index(category)))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{self.name}: {table.absolute()} is no list of models ({one_line(error, 80)}); {AGAIN}"
            ) from None
        if missing := set(range(len(ids))) - {target for _, target in found}:
            raise UserError(
                f"{self.name}: {table.absolute()} names no model of the category {ids[min(missing)]}; {AGAIN}"
            )
        file_states(self.name, folder, [name for name, _ in found], AGAIN)
        return found


def _table(part: str) -> str:
    return f"train_test_split/shuffled_{part}_file_list.json"
