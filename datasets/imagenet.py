"""ImageNet, and its common corruptions, from local folders named by class."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import torch

from reldrop_bench import DataFiles, Origin, Shifts, UserError

from ._common_corruptions import CORRUPTIONS, SEVERITIES
from ._image_files import ImageFiles, ImageFilesTask, Part
from ._images import ENDINGS, UNREAD
from ._local_folder import list_classes, local_folder, same_classes

SUBSETS = ("imagenet-a", "imagenet-r")


class ImageNet(ImageFilesTask):
    """1 281 167 + 50 000 photographs, 1000 classes (Russakovsky et al., IJCV 2015): ILSVRC 2012.

    In DATA/imagenet: train/CLASS/*.JPEG, and the labelled validation images, which are the test split
    here, as val/CLASS/*.JPEG. Validation is cut from training. Where DATA/imagenet-c is there (an
    archive's groups unpacked side by side: fog/1/CLASS/*.JPEG), its 15 corruptions are shifts `c-fog/1`
    to `c-fog/5` and so on (Hendrycks & Dietterich, arXiv 1903.12261). `imagenet-a` (arXiv 1907.07174) and
    `imagenet-r` (arXiv 2006.16241) are, where DATA/imagenet-a or DATA/imagenet-r hold their 200 classes:
    answers are taken from the logits of these alone.
    """

    name = "imagenet"
    synthetic = False
    origin = Origin(
        "the ILSVRC 2012 archives unpacked, a folder a class, in DATA/imagenet",
        "https://www.image-net.org",
        counts={"train": 1_281_167, "test": 50_000},
    )

    def part(self, root: Path | None, part: Part) -> ImageFiles:
        train = self._images(root, "imagenet/train")
        if part == "train":
            return train
        test = self._images(root, "imagenet/val")
        same_classes(self.name, train.classes, test.classes)
        return test

    def shifts(self, root: Path | None) -> Shifts:
        some = {name: functools.partial(self._some, root, name) for name in self._subsets(root)}
        return some | {
            f"c-{corruption}/{level}": functools.partial(self._corrupted, root, corruption, level)
            for corruption, level in self._there(root)
        }

    def data_files(self, root: Path | None) -> DataFiles:
        places = ["imagenet/train", "imagenet/val", *self._subsets(root)]
        places += [f"imagenet-c/{name}/{level}" for name, level in self._there(root)]
        found = {place: self._images(root, place) for place in places}
        names = [f"{place}/{name}" for place, images in found.items() for name in images.files()]
        return DataFiles(local_folder(self.name, root, ".", ""), tuple(names))

    def _there(self, root: Path | None) -> list[tuple[str, int]]:
        """Return all corruptions and severities, or none where their folder is not there."""
        if root is None or not (Path(root) / "imagenet-c").is_dir():
            return []
        return [(name, level) for name in CORRUPTIONS for level in range(1, SEVERITIES + 1)]

    def _subsets(self, root: Path | None) -> list[str]:
        return [name for name in SUBSETS if root is not None and (Path(root) / name).is_dir()]

    def _some(self, root: Path | None, name: str) -> ImageFiles:
        """Return a test set of some classes, with the numbers that training has for them."""
        classes, found = self._images(root, "imagenet/train").classes, self._images(root, name)
        if unknown := sorted(set(found.classes) - set(classes)):
            raise UserError(
                f"{self.name}: {found.folder.absolute()} has the folder {unknown[0]}, which imagenet/train has "
                "not; unpack the archive again"
            )
        numbers = [classes.index(label) for label in found.classes]
        samples = [(file, numbers[label]) for file, label in found.samples]
        return replace(found, classes=classes, samples=samples, among=torch.tensor(numbers))

    def _corrupted(self, root: Path | None, corruption: str, level: int) -> ImageFiles:
        test = self.part(root, "test")
        found = self._images(root, f"imagenet-c/{corruption}/{level}")
        if found.samples != test.samples:
            raise UserError(
                f"{self.name}: {found.folder.absolute()} does not hold the images of imagenet/val, each of its "
                "name; unpack the archive again"
            )
        return replace(test, folder=found.folder)

    def _images(self, root: Path | None, place: str) -> ImageFiles:
        advice = "unpack the archive there, a folder a class"
        folder = local_folder(self.name, root, place, advice)
        listed = list_classes(self.name, folder, ENDINGS, UNREAD)
        samples = [(name, label) for label, names in enumerate(listed.values()) for name in names]
        return ImageFiles(self.name, folder, tuple(listed), samples, self.size, self.mean, self.std)
