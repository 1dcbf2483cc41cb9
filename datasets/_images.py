"""What the pixels of an image file are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reldrop_bench import UserError
from reldrop_bench.errors import one_line

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
UNREAD = (
    ".gif", ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".heif", ".svg", ".exr", ".hdr",
    ".npy", ".npz", ".dcm", ".nii",
)  # fmt: skip
"""Endings of images that are not read."""
ORIENTATION = 0x0112
SIXTEEN_BITS = 65535


def read_image(path: Path, white: float) -> Image.Image:
    """Return an image as it is to be seen: mode RGB, or F with grey in [0, 1] where 8 bits are too few.

    Turned as its EXIF orientation says; the first of several pictures; transparency is dropped.
    white: what floating-point pixels have where they are white.

    Raises
    ------
    UserError
        It cannot be read, or its numbers have no known range; the message names the file.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            file.load()
            image = file if _orientation(file) == 1 else ImageOps.exif_transpose(file)
            return _pixels(image, file.format or "", white)
    # A damaged file may raise almost anything: SyntaxError, struct.error, ValueError …
    except Exception as error:  # noqa: BLE001
        reason = one_line(error, 160) or type(error).__name__
        raise UserError(
            f"image-folder: {path} is no image that can be read ({reason}); replace or remove it"
        ) from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - metadata that cannot be read say nothing of the pixels
        return 1


def _pixels(image: Image.Image, kind: str, white: float) -> Image.Image:
    """Return mode RGB, or F in [0, 1]; raises ValueError where the range of numbers is not known."""
    from PIL import Image

    if image.mode.startswith("I"):
        # PNG and PPM have 16 bits at most; a TIFF of this mode has 32, or a sign.
        if image.mode == "I" and kind not in {"PNG", "PPM"}:
            raise ValueError("signed or 32-bit integers, whose white is not known: save 16 bits")
        values = np.asarray(image).astype(np.float32) / SIXTEEN_BITS
    elif image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= white):  # NaN too
            raise ValueError(
                f"its pixels go from {low:g} to {high:g}, not from 0 to {white:g}: the task's "
                "parameter white says what is white in images of floating-point numbers"
            )
        values = values / np.float32(white)
    else:
        return image.convert("RGB")
    return Image.fromarray(np.ascontiguousarray(values))
