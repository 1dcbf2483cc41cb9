"""What the pixels of an image file are."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
ORIENTATION, PHOTOMETRIC, BITS = 0x0112, 262, 258
"""Tags of TIFF 6.0: orientation, PhotometricInterpretation, BitsPerSample."""
SIXTEEN_BITS, TWELVE_BITS = 65535, 4095


def read_image(name: str, path: Path, white: float | None) -> Image.Image:
    """Return an image as it is to be seen: mode RGB, or F with grey in [0, 1] where 8 bits are too few.

    Turned as its EXIF orientation says; the first of several pictures; transparency is dropped.
    name: the task, for messages.
    white: what grey of 16 bits or of floats has where it is white; None where the type says it.

    Raises
    ------
    UserError
        It cannot be read, or its numbers have no known range; the message names the file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            sixteen = ";16" in repr(file.tile)  # how the numbers lie there, until they are loaded
            file.load()
            image = file if _orientation(file) == 1 else ImageOps.exif_transpose(file)
            if file.mode == "F" or file.mode.startswith("I"):
                return _grey(image, file, white)
            rgb = image.convert("RGB")
            if sixteen and 0 < np.asarray(rgb).max() <= TWELVE_BITS >> 8:
                _warn_of_dark(
                    "stretch them to the whole range, as others are read by their higher 8 bits"
                )
            return rgb
    # A damaged file may raise almost anything: SyntaxError, struct.error, ValueError …
    except Exception as error:  # noqa: BLE001
        unknown = isinstance(error, UnidentifiedImageError)  # its text is the file's name once more
        reason = "Pillow knows no such kind" if unknown else one_line(error, 160)
        raise UserError(
            f"{name}: {path} is no image that can be read ({reason or type(error).__name__}); "
            "replace or remove it, or save it as PNG"
        ) from None


def read_mask(name: str, path: Path, size: tuple[int, int], background: int) -> NDArray[np.uint8]:
    """Return (height, width) uint8: 1 where a mask's number, or any of its colours, is not `background`.

    Numbers are those of the file, indices of a palette included; transparency is dropped. size: (width,
    height) of the image that it belongs to.

    Raises
    ------
    UserError
        It cannot be read, or has another size; the message names the file.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = (
                file.convert("RGB" if file.mode == "RGBA" else "L") if "A" in file.mode else file
            )
            values = np.asarray(image)
    except Exception as error:  # noqa: BLE001 - as above
        raise UserError(
            f"{name}: {path} is no mask that can be read ({one_line(error, 160)}); replace it"
        ) from None
    if image.size != size:
        raise UserError(
            f"{name}: {path} has {image.width}×{image.height} pixels, its image {size[0]}×{size[1]}; "
            "a mask has the size of its image, as it is to be seen"
        )
    inside = values != background
    return (inside.any(2) if inside.ndim == 3 else inside).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - metadata that cannot be read say nothing of the pixels
        return 1


def _warn_of_dark(advice: str) -> None:
    # Without the file's name, so that it is told once.
    warnings.warn(
        f"pictures of 16 bits hold no number above {TWELVE_BITS}; where 12 bits are all that they have: {advice}",
        stacklevel=2,
    )


def _grey(image: Image.Image, file: Image.Image, white: float | None) -> Image.Image:
    """Return mode F in [0, 1]; raises ValueError where the range of numbers is not known."""
    from PIL import Image

    values = np.asarray(image).astype(np.float32)
    whole, tags = _white(file), getattr(file, "tag_v2", None)
    # Pillow stretches a PGM's own range to 16 bits.
    stated = whole if white is None or file.format == "PPM" else white
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= stated):  # NaN too
        raise ValueError(
            f"its pixels go from {low:g} to {high:g}, not from 0 to {stated:g}: the task's "
            "parameter white says what is white in grey images of 16 bits or of floating-point numbers"
        )
    if white is None and whole == SIXTEEN_BITS and file.format != "PPM" and 0 < high <= TWELVE_BITS:
        _warn_of_dark(
            f"state the task's parameter white: {TWELVE_BITS} ({SIXTEEN_BITS} where they are dark)"
        )
    values = values / np.float32(stated)
    # Pillow turns WhiteIsZero of up to 8 bits, and takes it for granted where nothing is said.
    if tags is not None and tags.get(PHOTOMETRIC, 0) == 0:
        values = 1 - values
    return Image.fromarray(np.ascontiguousarray(values))


def _white(file: Image.Image) -> int:
    """Return what is white by the type of a grey file's numbers."""
    if file.mode == "F":
        return 1
    # PNG and PPM have 16 bits at most; a TIFF of this mode has 32, or a sign.
    if file.mode == "I" and file.format not in {"PNG", "PPM"}:
        raise ValueError("signed or 32-bit integers, whose white is not known: save 16 bits")
    twelve = getattr(file, "tag_v2", {}).get(BITS) == (12,)
    return TWELVE_BITS if twelve else SIXTEEN_BITS
