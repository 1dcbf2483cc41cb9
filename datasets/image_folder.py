"""Any images in folders named by their class, read a batch at a time."""

from __future__ import annotations

from pathlib import Path

from reldrop_bench import DataFiles, UserError

from ._image_files import ImageFiles, ImageFilesTask, Part, Spread
from ._images import ENDINGS, UNREAD
from ._local_folder import list_classes, local_folder, same_classes


class ImageFolder(ImageFilesTask):
    """Your own images: DATA/FOLDER/train/CLASS/*.png (or .jpg …) and DATA/FOLDER/test/CLASS/*.png.

    Images are turned as their EXIF orientation says, become RGB (grey ones of 16 bits, or of floats,
    keep their depth), are resized to `size` along the shorter side and cut to the centre square.
    Validation images are cut from the training ones; `test_folder: val` suits ImageNet's layout.
    With `masks: FOLDER`, the mask of train/cat/1.jpg is FOLDER/train/cat/1.jpg, or 1.png: the object
    is where it is not zero (the number in the file; of a palette the index).
    """

    name = "image-folder"

    folder: str
    """Where it lies, below the folder of local data."""
    test_folder: str = "test"
    """The folder beside train/ that holds the test images."""
    masks: str | None = None
    """The folder beside train/ that holds a mask for every image; None: there are none."""
    white: Spread | None = None
    """White in grey images of floats (1 where this is null) or of 16 bits (what their type holds)."""

    @property
    def stream(self) -> str:
        return f"{self.name} {self.folder}"

    def part(self, root: Path | None, part: Part) -> ImageFiles:
        images = self._images(root, "train" if part == "train" else self.test_folder)
        if part == "test":
            same_classes(self.name, self._images(root, "train").classes, images.classes)
        return images

    def data_files(self, root: Path | None) -> DataFiles:
        folder = local_folder(self.name, root, self.folder, "")
        parts = [(part, self._images(root, part)) for part in ("train", self.test_folder)]
        names = [f"{part}/{name}" for part, images in parts for name, _ in images.samples]
        masks = [name for _, images in parts for name in images.masks or ()]
        return DataFiles(folder, (*names, *(str(Path(name).relative_to(folder)) for name in masks)))

    def _images(self, root: Path | None, part: str) -> ImageFiles:
        advice = "make one folder a class there, with its images"
        path = local_folder(self.name, root, f"{self.folder}/{part}", advice)
        listed = list_classes(self.name, path, ENDINGS, UNREAD)
        samples = [(name, label) for label, names in enumerate(listed.values()) for name in names]
        masks = None
        if self.masks is not None:
            place = f"{self.folder}/{self.masks}/{part}"
            folder = local_folder(self.name, root, place, "make a mask for every image there")
            masks = [self._mask(folder / name) for name, _ in samples]
        return ImageFiles(
            self.name,
            path,
            tuple(listed),
            samples,
            self.size,
            self.mean,
            self.std,
            self.white,
            masks,
        )

    def _mask(self, path: Path) -> str:
        for file in (path, path.with_suffix(".png")):
            if file.is_file():
                return str(file)
        raise UserError(
            f"{self.name}: {path} is missing; every image needs a mask of its name there, or the same "
            "that ends in .png (or leave out the parameter masks)"
        )
