"""Oxford Flowers 102 from a local copy in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

from reldrop_bench import Origin

from ._image_files import ImageFiles, ImageFilesTask, Part
from ._local_folder import local_folder
from ._torchvision import opened

SPLITS: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
CLASSES = 102


class Flowers102(ImageFilesTask):
    """8 189 photographs of flowers, 102 species (Nilsback & Zisserman, ICVGIP 2008).

    In DATA/flowers102/flowers-102: jpg, imagelabels.mat and setid.mat. The three parts are its own:
    10 images a class for training and for validation, the rest for tests.
    """

    name = "flowers102"
    origin = Origin(
        "102flowers.tgz unpacked, beside its two .mat files, in DATA/flowers102/flowers-102",
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102",
        counts={"train": 1_020, "test": 6_149},
    )
    validates = True
    synthetic = False

    def tables(self) -> tuple[str, ...]:
        return ("imagelabels.mat", "setid.mat")

    def part(self, root: Path | None, part: Part) -> ImageFiles:
        from torchvision import datasets

        advice = (
            "unpack 102flowers.tgz there, beside imagelabels.mat and setid.mat, of "
            "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
        )
        folder = local_folder(self.name, root, f"{self.name}/flowers-102", advice)
        found = opened(
            self.name,
            folder,
            lambda: datasets.Flowers102(folder.parent, SPLITS[part], download=False),
        )
        names = [Path(path).relative_to(folder).as_posix() for path in found._image_files]
        return ImageFiles(
            self.name,
            folder,
            tuple(f"flower {number}" for number in range(1, CLASSES + 1)),
            list(zip(names, found._labels, strict=True)),
            self.size,
            self.mean,
            self.std,
        ).checked()
