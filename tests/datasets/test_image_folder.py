"""Images in class folders."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.datasets.image_folder import ImageFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write pets/{train,test}/{cat,dog}/*.png of several sizes and modes; image n of a class is n."""
    for part, count in (("train", 10), ("test", 3)):
        for shade, label in enumerate(("cat", "dog")):
            folder = tmp_path / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.full((20 + number, 30, 3), 100 * shade + number, np.uint8)
                mode = "RGBA" if number % 3 == 1 else "L" if number % 3 == 2 else "RGB"
                Image.fromarray(pixels).convert(mode).save(folder / f"{number:02}.png")
    return tmp_path


TASK = ImageFolder(
    folder="pets", size=16, mean=(0.0, 0.5, 0.5), std=(1.0, 0.5, 0.25), validation=0.2
)


def test_splits_facts_and_pixels(root: Path) -> None:
    facts, splits, test = TASK.facts(root), TASK.splits(root, 0), TASK.test(root)
    assert facts.classes == ("cat", "dog")
    assert facts.input_shape == (3, 16, 16)
    assert (len(splits.train), len(splits.validation), len(test)) == (16, 4, 6)
    assert torch.bincount(splits.validation.targets).tolist() == [2, 2]
    batch = test.batch(torch.tensor([5, 0, 4]))
    assert batch.inputs.shape == (3, 3, 16, 16)
    assert batch.inputs.dtype == torch.float32
    assert batch.targets.tolist() == [1, 0, 1]
    shade = torch.tensor([102, 0, 101]) / 255
    expected = torch.stack([shade, (shade - 0.5) / 0.5, (shade - 0.5) / 0.25], 1)
    assert torch.allclose(batch.inputs.mean((2, 3)), expected, atol=1e-5)


def test_validation_follows_the_seed_and_the_test_split_does_not(root: Path) -> None:
    validation = [TASK.splits(root, seed).validation.indices.tolist() for seed in range(4)]
    assert validation[0] == TASK.splits(root, 0).validation.indices.tolist()
    assert len({tuple(indices) for indices in validation}) > 1


def test_another_folder_can_be_the_test_split(root: Path) -> None:
    (root / "pets" / "test").rename(root / "pets" / "val")
    assert len(ImageFolder(folder="pets", test_folder="val").test(root)) == 6


@pytest.mark.parametrize("content", [b"no image", b""])
def test_a_corrupt_image_is_named(root: Path, content: bytes) -> None:
    path = root / "pets" / "train" / "dog" / "03.png"
    path.write_bytes(content)
    pool = TASK.splits(root, 0).train.whole
    with pytest.raises(UserError) as error:
        pool.batch(torch.arange(len(pool)))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_image_is_named(root: Path) -> None:
    path = root / "pets" / "train" / "cat" / "00.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    pool = TASK.splits(root, 0).train.whole
    with pytest.raises(UserError, match=r"00\.png"):
        pool.batch(torch.tensor([0]))


def test_an_empty_class_is_named(root: Path) -> None:
    (root / "pets" / "train" / "emu").mkdir()
    with pytest.raises(UserError, match="emu") as error:
        TASK.facts(root)
    assert "\n" not in str(error.value)


def test_a_folder_without_classes_is_refused(root: Path) -> None:
    (root / "empty" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="each class is a folder"):
        ImageFolder(folder="empty").facts(root)


def test_different_classes_in_train_and_test_are_refused(root: Path) -> None:
    (root / "pets" / "test" / "cat").rename(root / "pets" / "test" / "emu")
    with pytest.raises(UserError, match="only one of them has cat, emu"):
        TASK.test(root)


def test_missing_folders_and_root(root: Path) -> None:
    with pytest.raises(UserError, match="RELDROP_DATA"):
        TASK.facts(None)
    with pytest.raises(UserError, match="birds/train is missing"):
        ImageFolder(folder="birds").facts(root)
    with pytest.raises(UserError, match="'folder' is required"):
        ImageFolder.create({})


def test_a_link_back_to_the_class_is_refused(root: Path) -> None:
    folder = root / "pets" / "train" / "cat"
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    with pytest.raises(UserError, match="loop is a link to a folder that was read already"):
        TASK.facts(root)


def test_what_is_no_file_is_refused_and_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pets" / "train" / "cat" / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png is no file that can be read"):
        TASK.facts(root)


def masked(root: Path) -> Path:
    """Write a mask for every image of pets: its left half."""
    for path in list((root / "pets").rglob("*.png")):
        with Image.open(path) as image:
            pixels = np.zeros(image.size[::-1], np.uint8)
        pixels[:, : pixels.shape[1] // 2] = 7
        mask = root / "pets" / "masks" / path.relative_to(root / "pets")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(mask)
    return root / "pets" / "masks"


def test_masks_lie_over_their_images(
    root: Path, trains_one_step: Callable[[Task, Path], None]
) -> None:
    masked(root)
    task = ImageFolder(folder="pets", size=16, masks="masks")
    trains_one_step(task, root)
    assert task.facts(root).masks
    masks = task.test(root).batch(torch.arange(6)).masks
    assert masks is not None
    # The square is cut from the centre, so that its left half is that of the image.
    assert (masks[:, :, :7] == 1).all()
    assert not masks[:, :, 9:].any()
    assert "masks/test/dog/01.png" in task.data_files(root).names
    assert len(task.data_files(root).names) == 2 * 26


def test_a_mask_may_be_a_png_beside_a_jpeg_and_numbers_of_a_palette_count(root: Path) -> None:
    folder = masked(root)
    image = root / "pets" / "train" / "cat" / "00.png"
    with Image.open(image) as opened:
        opened.convert("RGB").save(image.with_suffix(".jpg"))
    image.unlink()
    palette = Image.new("P", (30, 20), 0)
    palette.putpalette([9, 9, 9] * 256)
    palette.paste(1, (0, 0, 30, 20))
    palette.save(folder / "train" / "cat" / "00.png")
    pool = ImageFolder(folder="pets", size=16, masks="masks").splits(root, 0).train.whole
    assert pool.batch(torch.tensor([0])).masks.all()


def test_masks_that_do_not_fit_are_named(root: Path, refuses: Callable[..., None]) -> None:
    task = ImageFolder(folder="pets", size=16, masks="masks")
    refuses(task, root, "pets/masks/test is missing")
    mask = masked(root) / "train" / "dog" / "04.png"
    Image.new("L", (5, 5)).save(mask)
    refuses(task, root, f"{mask} has 5×5 pixels, its image 30×24")
    mask.write_bytes(mask.read_bytes()[:40])
    refuses(task, root, f"{mask} is no mask that can be read")
    mask.unlink()
    refuses(task, root, f"{mask} is missing")
