"""Oxford-IIIT Pet from a local copy in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

from reldrop_bench import Origin

from ._image_files import ImageFiles, ImageFilesTask, Part
from ._local_folder import local_folder
from ._torchvision import opened

BACKGROUND = 2
"""In a trimap: 1 is the animal, 2 the background, 3 what lies between."""


class OxfordPet(ImageFilesTask):
    """7 349 photographs of cats and dogs, 37 breeds, with masks (Parkhi et al., CVPR 2012).

    In DATA/oxford-pet/oxford-iiit-pet: images and annotations. Training is its trainval part.
    Masks are the trimaps: the animal and its border.
    """

    name = "oxford-pet"
    origin = Origin(
        "images.tar.gz and annotations.tar.gz unpacked in DATA/oxford-pet/oxford-iiit-pet",
        "https://www.robots.ox.ac.uk/~vgg/data/pets",
        counts={"train": 3_680, "test": 3_669},
    )
    synthetic = False

    def tables(self) -> tuple[str, ...]:
        return ("annotations/trainval.txt", "annotations/test.txt")

    def part(self, root: Path | None, part: Part) -> ImageFiles:
        from torchvision.datasets import OxfordIIITPet

        advice = "unpack images.tar.gz and annotations.tar.gz of https://www.robots.ox.ac.uk/~vgg/data/pets there"
        folder = local_folder(self.name, root, f"{self.name}/oxford-iiit-pet", advice)
        split = "trainval" if part == "train" else "test"
        found = opened(
            self.name, folder, lambda: OxfordIIITPet(folder.parent, split, download=False)
        )
        names = [Path(path).stem for path in found._images]
        return ImageFiles(
            self.name,
            folder,
            tuple(found.classes),
            [(f"images/{n}.jpg", label) for n, label in zip(names, found._labels, strict=True)],
            self.size,
            self.mean,
            self.std,
            masks=[f"annotations/trimaps/{name}.png" for name in names],
            background=BACKGROUND,
        ).checked()
