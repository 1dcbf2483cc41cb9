"""Data sets of torchvision, each in the format that the real one has on disk, read by torchvision itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from torchvision import datasets

from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.datasets.dtd import Dtd
from reldrop_bench.plugins.datasets.flowers102 import Flowers102
from reldrop_bench.plugins.datasets.oxford_pet import OxfordPet
from reldrop_bench.plugins.datasets.stl10 import Stl10
from reldrop_bench.plugins.datasets.svhn import Svhn

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
Patch = pytest.MonkeyPatch
SIZE = 16
TASKS = [Svhn(), Stl10(size=SIZE), OxfordPet(size=SIZE), Flowers102(size=SIZE), Dtd(size=SIZE)]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 26, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def svhn(root: Path, patch: Patch, counts: tuple[int, int] = (40, 40), zero: int = 10) -> Path:
    """MATLAB files: X (32, 32, 3, N) uint8, y (N, 1) with 10 for the digit 0."""
    folder, listed = root / "svhn", dict(datasets.SVHN.split_list)
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        labels = np.arange(counts[1])[:, None] % 10
        pixels = generator.integers(0, 256, (32, 32, 3, counts[0]), np.uint8)
        path = folder / f"{split}_32x32.mat"
        scipy.io.savemat(path, {"X": pixels, "y": np.where(labels == 0, zero, labels).astype("u1")})
        listed[split] = [*listed[split][:2], md5(path)]
    patch.setattr(datasets.SVHN, "split_list", listed)
    return folder


def stl10(root: Path, patch: Patch, labels: int = 20, lowest: int = 1) -> Path:
    """Bytes: images column by column, a channel after the other; labels from 1."""
    folder = root / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        generator.integers(0, 256, (20, 3, 96, 96), np.uint8).tofile(folder / f"{part}_X.bin")
        (np.arange(labels) % 10 + lowest).astype(np.uint8).tofile(folder / f"{part}_y.bin")
    (folder / "unlabeled_X.bin").write_bytes(b"")
    for name in ("train_list", "test_list"):
        sums = [[file, md5(folder / file)] for file, _ in getattr(datasets.STL10, name)]
        patch.setattr(datasets.STL10, name, sums)
    return folder


def oxford_pet(root: Path, patch: Patch, label: int = 2) -> Path:
    """Lists of "NAME CLASS SPECIES BREED", classes from 1; trimaps of 1, 2 and 3."""
    folder = root / "oxford-pet" / "oxford-iiit-pet"
    (folder / "annotations" / "trimaps").mkdir(parents=True)
    trimap = np.full((20, 26), 2, np.uint8)
    trimap[5:15, 8:18], trimap[4, 8:18] = 1, 3
    for part in ("trainval", "test"):
        lines = []
        for name, number in (("Abyssinian", 1), ("american_bulldog", label)):
            for index in range(10):
                image = f"{name}_{part}{index}"
                picture(folder / "images" / f"{image}.jpg", index)
                Image.fromarray(trimap).save(folder / "annotations" / "trimaps" / f"{image}.png")
                lines.append(f"{image} {number} 1 1\n")
        (folder / "annotations" / f"{part}.txt").write_text("".join(lines))
    return folder


def flowers102(root: Path, patch: Patch, highest: int = 102) -> Path:
    """MATLAB files: labels (1, N) from 1, and the numbers of the images of each part, from 1."""
    folder, each = root / "flowers102" / "flowers-102", 20
    for number in range(1, 3 * each + 1):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", number)
    labels = np.tile([1, highest], 3 * each // 2)[None]
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels})
    numbers = np.arange(1, 3 * each + 1)[None]
    parts = {
        name: numbers[:, i * each :][:, :each] for i, name in enumerate(("trnid", "valid", "tstid"))
    }
    scipy.io.savemat(folder / "setid.mat", parts)
    sums = dict(datasets.Flowers102._file_dict)
    sums |= {key: (sums[key][0], md5(folder / sums[key][0])) for key in ("label", "setid")}
    patch.setattr(datasets.Flowers102, "_file_dict", sums)
    return folder


def dtd(root: Path, patch: Patch) -> Path:
    """Lists of "CLASS/NAME" for each part of each partition."""
    folder = root / "dtd" / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for part in ("train", "val", "test"):
        names = [f"{name}/{name}_{part}{n}.jpg" for name in ("banded", "woven") for n in range(8)]
        for index, name in enumerate(names):
            picture(folder / "images" / name, index)
        (folder / "labels" / f"{part}1.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


WRITERS: dict[str, Callable[[Path, Patch], Path]] = {
    "svhn": svhn, "stl10": stl10, "oxford-pet": oxford_pet, "flowers102": flowers102, "dtd": dtd,
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_it_is_read_and_trained_on(
    task: Task, tmp_path: Path, monkeypatch: Patch, trains_one_step: Callable[..., None]
) -> None:
    folder = WRITERS[task.name](tmp_path, monkeypatch)
    trains_one_step(task, tmp_path)
    files = task.data_files(tmp_path)
    if files is not None:  # else checksums stand for the content
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert set(files.names) == there


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_missing_folder_is_named(task: Task, tmp_path: Path, refuses: Refuses) -> None:
    refuses(task, None, "RELDROP_DATA")
    refuses(task, tmp_path, str(tmp_path / task.name), "missing")


DAMAGED = {
    "svhn": "test_32x32.mat",
    "stl10": "train_X.bin",
    "oxford-pet": "annotations/trainval.txt",
    "flowers102": "setid.mat",
    "dtd": "labels/test1.txt",
}


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_missing_or_truncated_file_is_one_line(
    task: Task, gone: bool, tmp_path: Path, monkeypatch: Patch, refuses: Refuses
) -> None:
    path = WRITERS[task.name](tmp_path, monkeypatch) / DAMAGED[task.name]
    path.unlink() if gone else path.write_bytes(path.read_bytes()[:-9])
    refuses(task, tmp_path, str(tmp_path / task.name), "unpack the archive again")


@pytest.mark.parametrize("task", TASKS[2:], ids=lambda task: task.name)
def test_a_missing_or_truncated_image_is_named(
    task: Task, tmp_path: Path, monkeypatch: Patch, refuses: Refuses
) -> None:
    path = sorted(WRITERS[task.name](tmp_path, monkeypatch).rglob("*.jpg"))[3]
    path.write_bytes(path.read_bytes()[:100])
    refuses(task, tmp_path, str(path))
    path.unlink()
    refuses(task, tmp_path, f"{path} is missing")


def test_labels_and_counts_that_cannot_be(
    tmp_path: Path, monkeypatch: Patch, refuses: Refuses
) -> None:
    svhn(tmp_path, monkeypatch, zero=11)
    refuses(Svhn(), tmp_path, "go from 1 to 11, the 10 classes from 0 to 9")
    stl10(tmp_path, monkeypatch, lowest=0)
    refuses(Stl10(), tmp_path, "go from 0 to 255, the 10 classes")
    oxford_pet(tmp_path, monkeypatch, label=3)
    refuses(OxfordPet(), tmp_path, "go from 0 to 2, the 2 classes")
    flowers102(tmp_path, monkeypatch, highest=103)
    refuses(Flowers102(), tmp_path, "go from 0 to 102, the 102 classes")
    other = tmp_path / "other"
    other.mkdir()
    svhn(other, monkeypatch, counts=(40, 39))
    refuses(Svhn(), other, "40 training images and 39 labels")
    stl10(other, monkeypatch, labels=19)
    refuses(Stl10(), other, "20 training images and 19 labels")


def test_pixels_and_masks_are_those_of_torchvision(tmp_path: Path, monkeypatch: Patch) -> None:
    stl10(tmp_path, monkeypatch)
    reference = datasets.STL10(tmp_path / "stl10", "test")
    assert torch.equal(Stl10().test(tmp_path).images, torch.from_numpy(reference.data.copy()))
    oxford_pet(tmp_path, monkeypatch)
    task = OxfordPet(size=20, mean=(0, 0, 0), std=(1, 1, 1))
    batch = task.test(tmp_path).batch(torch.tensor([11]))
    pet = datasets.OxfordIIITPet(tmp_path / "oxford-pet", "test", ["category", "segmentation"])
    image, (label, trimap) = pet[11]
    assert batch.targets.item() == label == 1
    pixels = torch.from_numpy(np.asarray(image)[:, 3:23].copy()).permute(2, 0, 1)
    assert torch.equal((batch.inputs[0] * 255).round().byte(), pixels)
    assert batch.masks is not None
    assert torch.equal(batch.masks[0].bool(), torch.from_numpy(np.asarray(trimap)[:, 3:23] != 2))
