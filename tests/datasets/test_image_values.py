"""What the pixels of any image file are, and which files count.

Files are written byte by byte as their formats say (PNG: W3C, 2003; TIFF 6.0: Adobe, 1992; PGM: netpbm's
page), or held against Pillow and torchvision as they read 8-bit images; orientations are those of EXIF 2.32,
table 6, as operations of numpy.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets
from torchvision.transforms.v2 import functional

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.image_folder import ImageFolder

Pixels = NDArray[np.generic]
SIZE = 4
RAMP = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)


def png(pixels: Pixels) -> bytes:
    """Write grey or RGB of 8 or 16 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    depth, colour = 8 * pixels.dtype.itemsize, 2 if pixels.ndim == 3 else 0
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def tiff(pixels: Pixels, photometric: int | None = 1, bits: int = 0, data: bytes = b"") -> bytes:
    """Write one channel of whatever type, without compression.

    photometric: 0 for WhiteIsZero, 1 for BlackIsZero. bits, data: of a sample, and packed, where not as in numpy.
    """
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    bits = bits or 8 * pixels.dtype.itemsize
    data = data or pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    height, width = pixels.shape
    fields = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, None),
              (277, 1), (278, height), (279, len(data)), (339, kind)]  # fmt: skip
    fields = [field for field in fields if field != (262, None)]
    offset = 8 + 2 + 12 * len(fields) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, 4, 1, offset if value is None else value) for tag, value in fields
    )
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", 0) + data


def packed(pixels: Pixels) -> bytes:
    """Write samples of 12 bits, two in three bytes, the higher bits first (TIFF 6.0, FillOrder 1)."""
    return int("".join(f"{value:012b}" for value in pixels.flat), 2).to_bytes(pixels.size * 3 // 2)


def pgm(pixels: Pixels, white: int) -> bytes:
    return f"P5 {SIZE} {SIZE} {white}\n".encode() + pixels.astype(">u2").tobytes()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., torch.Tensor]:
    """Return a function that gives the pixels of one file, (3, 4, 4) in [0, 1]."""

    def read(content: bytes, ending: str, **parameters: object) -> torch.Tensor:
        path = tmp_path / "own" / "train" / "a" / f"1.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.iterdir():
            old.unlink()
        path.write_bytes(content)
        values = {"size": SIZE, "mean": (0.0,) * 3, "std": (1.0,) * 3, **parameters}
        task = ImageFolder.create({"folder": "own", **values})
        return task._images(tmp_path, "train").batch(torch.tensor([0])).inputs[0]

    return read


def grey(values: Pixels) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.float64)).float().expand(3, SIZE, SIZE)


@pytest.mark.parametrize("step", [1, 16, 4000])
def test_sixteen_bits_are_scaled_by_their_range(
    read: Callable[..., torch.Tensor], step: int
) -> None:
    pixels = (RAMP * step).astype(np.uint16)
    expected = grey(pixels / 65535)
    for content, ending in (
        (png(pixels), "png"),
        (tiff(pixels), "tif"),
        (pgm(pixels, 65535), "pgm"),
    ):
        assert torch.allclose(read(content, ending), expected, atol=1e-6), ending


def test_sixteen_bits_of_colour_are_those_of_eight(read: Callable[..., torch.Tensor]) -> None:
    pixels = np.stack([RAMP * 4000, RAMP[::-1] * 3000, RAMP.T * 1000], 2).astype(np.uint16)
    expected = torch.from_numpy(pixels / 65535).permute(2, 0, 1).float()
    assert (read(png(pixels), "png") - expected).abs().max() < 1 / 255


def test_a_range_of_its_own_is_scaled_by_that(read: Callable[..., torch.Tensor]) -> None:
    pixels = (RAMP * 200).astype(np.uint16)
    assert torch.allclose(read(pgm(pixels, 4095), "pgm"), grey(pixels / 4095), atol=1e-4)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("photometric", [0, None])
def test_where_white_is_zero_it_is_turned(
    read: Callable[..., torch.Tensor], kind: type[np.generic], photometric: int | None
) -> None:
    # TIFF 6.0, PhotometricInterpretation 0; Pillow takes it for granted where nothing is said.
    most = 1 if kind is np.float32 else np.iinfo(kind).max
    pixels = (RAMP / 15 * most).astype(kind)
    expected = grey(1 - pixels.astype(np.float64) / most)
    assert torch.allclose(read(tiff(pixels, photometric), "tif"), expected, atol=1e-6)
    black = grey(pixels.astype(np.float64) / most)
    assert torch.allclose(read(tiff(pixels), "tif"), black, atol=1e-6)


def test_tifffile_agrees_which_end_is_white(
    read: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile")
    pixels = (RAMP * 4000).astype(np.uint16)
    for photometric, expected in (
        ("miniswhite", 1 - pixels / 65535),
        ("minisblack", pixels / 65535),
    ):
        for order in "<>":
            path = tmp_path / "a.tif"
            tifffile.imwrite(path, pixels, photometric=photometric, byteorder=order)
            if (photometric, order) == ("miniswhite", ">"):  # Pillow has no mode for it
                with pytest.raises(UserError, match=r"1\.tif .*knows no such kind.*save it as PNG"):
                    read(path.read_bytes(), "tif")
            else:
                pixels_read = read(path.read_bytes(), "tif")
                assert torch.allclose(pixels_read, grey(expected), atol=1e-6)


def test_twelve_bits_are_scaled_by_theirs(read: Callable[..., torch.Tensor]) -> None:
    pixels = (RAMP * 273).astype(np.uint16)  # up to 4095
    with warnings.catch_warnings(action="error"):
        content = tiff(pixels, bits=12, data=packed(pixels))
        assert torch.allclose(read(content, "tif"), grey(pixels / 4095), atol=1e-6)
        # In 16 bits, where it is stated:
        for content, ending in ((tiff(pixels), "tif"), (png(pixels), "png")):
            assert torch.allclose(read(content, ending, white=4095), grey(pixels / 4095), atol=1e-6)
            assert torch.allclose(
                read(content, ending, white=65535), grey(pixels / 65535), atol=1e-6
            )
    turned = read(tiff(pixels, 0), "tif", white=4095)
    assert torch.allclose(turned, grey(1 - pixels / 4095), atol=1e-6)
    with pytest.raises(UserError, match=r"from 0 to 4096, not from 0 to 4095: .*white"):
        read(tiff(np.where(RAMP == 3, 4096, pixels).astype(np.uint16)), "tif", white=4095)


def test_twelve_bits_in_sixteen_are_told(read: Callable[..., torch.Tensor]) -> None:
    pixels = (RAMP * 273).astype(np.uint16)
    for content, ending in ((tiff(pixels), "tif"), (png(pixels), "png")):
        with pytest.warns(UserWarning, match="white: 4095"):
            read(content, ending)
    with pytest.warns(UserWarning, match="whole range"):
        read(png(np.stack([pixels] * 3, 2)), "png")
    with warnings.catch_warnings(action="error"):
        read(pgm(pixels, 4095), "pgm")  # which states its range
        read(pgm(pixels, 4095), "pgm", white=4095)
        for more in (pixels + 1, 0 * pixels):  # one that needs 13 bits, and a black one
            read(tiff(more), "tif")
            read(png(np.stack([more * 16] * 3, 2)), "png")


def test_floats_are_in_a_range_that_is_stated(read: Callable[..., torch.Tensor]) -> None:
    pixels = (RAMP / 15).astype(np.float32)
    assert torch.allclose(read(tiff(pixels), "tiff"), grey(pixels), atol=1e-6)
    large = read(tiff(pixels * 255), "tiff", white=255)
    assert torch.allclose(large, grey(pixels), atol=1e-6)
    # One that is nearly black: by its own numbers nobody could tell which range it has.
    dark = read(tiff(pixels), "tiff", white=255)
    assert torch.allclose(dark, grey(pixels / 255), atol=1e-7)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (tiff((RAMP * 10).astype(np.float32)), "from 0 to 150, not from 0 to 1: .*white"),
        (tiff((RAMP / 15 - 0.1).astype(np.float32)), "from -0.1 to 0.9"),
        (tiff(np.where(RAMP == 3, np.nan, 0).astype(np.float32)), "nan"),
        (tiff(RAMP.astype(np.int32)), "32-bit"),
        (tiff(RAMP.astype(np.int16)), "signed"),
        (tiff(RAMP.astype(np.uint32)), "32-bit"),
        (png(RAMP.astype(np.uint16))[:60], "no image that can be read"),
        (b"", "no image that can be read"),
    ],
    ids=["range", "below 0", "nan", "int32", "int16", "uint32", "truncated", "zero bytes"],
)
def test_what_has_no_known_white_is_refused_by_name(
    read: Callable[..., torch.Tensor], content: bytes, told: str
) -> None:
    with pytest.raises(UserError, match=told) as error:
        read(content, "tif")
    text = str(error.value)
    assert "own/train/a/1.tif" in text
    assert "()" not in text
    assert len(text.splitlines()) == 1


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda seen: seen,
    2: np.fliplr,
    3: lambda seen: np.rot90(seen, 2),
    4: np.flipud,
    5: lambda seen: seen.swapaxes(0, 1),
    6: lambda seen: np.rot90(seen, 1),
    7: lambda seen: np.rot90(seen, 2).swapaxes(0, 1),
    8: lambda seen: np.rot90(seen, -1),
}
"""How a camera stores what is seen, by EXIF orientation: 6 is stored turned to the left."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_images_stand_as_their_orientation_says(
    read: Callable[..., torch.Tensor], tmp_path: Path, orientation: int, ending: str
) -> None:
    seen = np.zeros((SIZE, SIZE, 3), np.uint8)
    seen[0], seen[0, 0] = 100, 250  # neither turn nor mirror leaves it as it is
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNS[orientation](seen))
    path = tmp_path / f"stored.{ending}"
    quality = {"quality": 100, "subsampling": 0} if ending == "jpg" else {}
    Image.fromarray(stored).save(path, exif=exif, **quality)
    pixels = read(path.read_bytes(), ending)
    expected = torch.from_numpy(seen).permute(2, 0, 1) / 255
    assert (pixels - expected).abs().max() < (0.1 if ending == "jpg" else 1e-6)


def test_sixteen_bits_are_turned_too(read: Callable[..., torch.Tensor], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = (RAMP * 4000).astype(np.uint16)
    Image.fromarray(np.ascontiguousarray(np.rot90(seen))).save(tmp_path / "a.png", exif=exif)
    pixels = read((tmp_path / "a.png").read_bytes(), "png")
    assert torch.allclose(pixels, grey(seen / 65535), atol=1e-6)


@pytest.mark.parametrize("exif", [b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\xff", b"\xff" * 40])
def test_damaged_metadata_change_no_pixel(
    read: Callable[..., torch.Tensor], tmp_path: Path, exif: bytes
) -> None:
    Image.fromarray(RAMP.astype(np.uint8) * 16).save(tmp_path / "a.png", exif=exif)
    pixels = read((tmp_path / "a.png").read_bytes(), "png")
    assert torch.allclose(pixels, grey(RAMP * 16 / 255), atol=1e-6)


# What 8 bits hold is what torchvision's folder gives, bit for bit.

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


def saved(mode: str, path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)
    ending = {"CMYK": "tif", "YCbCr": "jpg"}.get(mode, "png")
    image.save(path.with_suffix(f".{ending}"))
    return path.with_suffix(f".{ending}")


def test_eight_bits_are_those_of_torchvision(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "train"
    for label in ("b", "a", "a/deeper"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for mode in MODES:
            saved(mode, folder / label / mode)
    frames = [Image.fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (10, 200)]
    frames[0].save(folder / "a" / "two.png", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "a" / "two.tif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "a" / "two.webp", save_all=True, append_images=frames[1:])
    theirs = datasets.ImageFolder(folder)
    ours = ImageFolder(folder="own", size=6)._images(tmp_path, "train")
    assert ours.classes == tuple(theirs.classes)
    assert ours.targets.tolist() == theirs.targets
    assert [str(folder / name) for name, _ in ours.samples] == [path for path, _ in theirs.samples]
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for index, (image, _) in enumerate(theirs):
        pixels = functional.pil_to_tensor(functional.resize(image, [6]))
        square = functional.center_crop(pixels, [6, 6]).float() / 255
        expected = functional.normalize(square, mean, std)
        assert torch.equal(ours.batch(torch.tensor([index])).inputs[0], expected)


def test_what_systems_leave_behind_is_no_sample(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("a", "b"):
            folder = tmp_path / "own" / part / label
            folder.mkdir(parents=True)
            (folder / "1.png").write_bytes(png(RAMP.astype(np.uint8)))
    task = ImageFolder(folder="own", size=4)
    before, whole = task.facts(tmp_path), task.data_files(tmp_path)
    train = tmp_path / "own" / "train"
    for folder in (
        ".ipynb_checkpoints", "__MACOSX", "@eaDir", ".hidden", "a/.ipynb_checkpoints", "a/@eaDir", "b/__MACOSX",
    ):  # fmt: skip
        (train / folder).mkdir()
        (train / folder / "1-checkpoint.png").write_bytes(png(RAMP.astype(np.uint8)))
    for file in ("a/Thumbs.db", "a/.DS_Store", "a/._1.png", "b/notes.txt", "readme.md", "9.png"):
        (train / file).write_bytes(b"no image")
    assert task.facts(tmp_path) == before
    assert task.data_files(tmp_path) == whole
    assert whole.names == ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png")
    assert len(task._images(tmp_path, "train")) == 2


@pytest.mark.parametrize("name", ["2.gif", "2.HEIC", "deeper/2.avif", "2.npy"])
def test_an_image_of_a_kind_that_is_not_read_is_not_lost_in_silence(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "own" / "train" / "a"
    (folder / "deeper").mkdir(parents=True)
    (folder / "1.png").write_bytes(png(RAMP.astype(np.uint8)))
    (folder / name).write_bytes(b"GIF89a")
    with pytest.raises(UserError, match="convert it") as error:
        ImageFolder(folder="own").facts(tmp_path)
    assert Path(name).name in str(error.value)
