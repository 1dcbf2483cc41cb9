"""The Describable Textures Dataset from a local copy in torchvision's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pydantic

from reldrop_bench import Origin

from ._image_files import ImageFiles, ImageFilesTask, Part
from ._local_folder import local_folder, same_classes
from ._torchvision import opened

SPLITS: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}


class Dtd(ImageFilesTask):
    """5 640 pictures of textures, 47 classes (Cimpoi et al., CVPR 2014).

    In DATA/dtd/dtd/dtd: images and labels. The three parts are its own, of equal size, in one of its
    ten partitions.
    """

    name = "dtd"
    origin = Origin(
        "dtd-r1.0.1.tar.gz unpacked in DATA/dtd/dtd",
        "https://www.robots.ox.ac.uk/~vgg/data/dtd",
        counts={"train": 1_880, "test": 1_880},
    )
    synthetic = False
    validates = True

    partition: Annotated[int, pydantic.Field(ge=1, le=10)] = 1
    """Which of the ten partitions."""

    def tables(self) -> tuple[str, ...]:
        return tuple(f"labels/{split}{self.partition}.txt" for split in SPLITS.values())

    def part(self, root: Path | None, part: Part) -> ImageFiles:
        found = self._opened(root, part)
        folder = found._data_folder
        if part != "train":  # numbers are those of the names that a part has
            same_classes(self.name, self._opened(root, "train").classes, found.classes)
        names = [Path(path).relative_to(folder).as_posix() for path in found._image_files]
        samples = list(zip(names, found._labels, strict=True))
        return ImageFiles(
            self.name, folder, tuple(found.classes), samples, self.size, self.mean, self.std
        ).checked()

    def _opened(self, root: Path | None, part: Part) -> Any:
        from torchvision.datasets import DTD

        advice = "unpack https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz into dtd/dtd"
        folder = local_folder(self.name, root, f"{self.name}/dtd/dtd", advice)
        place, split = folder.parent.parent, SPLITS[part]
        return opened(self.name, folder, lambda: DTD(place, split, self.partition, download=False))
