"""ImageNet's folders, and those of ImageNet-C, with their real names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reldrop_bench.data import told_apart_among
from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets._common_corruptions import CORRUPTIONS
from reldrop_bench.plugins.datasets.imagenet import ImageNet

TASK = ImageNet(size=16)
CLASSES = ("n01440764", "n02123045")
CORRUPTED = [f"imagenet-c/{name}/{level}" for name in CORRUPTIONS for level in range(1, 6)]


def write(root: Path, place: str, names: list[str], shade: int) -> None:
    for label in CLASSES:
        folder = root / place / label
        folder.mkdir(parents=True)
        for index, name in enumerate(names):
            pixels = np.full((20, 24, 3), shade + index, np.uint8)
            Image.fromarray(pixels).save(folder / name.format(label), "JPEG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "imagenet/train", [f"{{}}_{n}.JPEG" for n in range(10)], 10)
    write(tmp_path, "imagenet/val", VALIDATION, 60)
    return tmp_path


VALIDATION = [f"ILSVRC2012_val_0000000{n}.JPEG" for n in (1, 2)]


def test_it_is_read_and_trained_on(root: Path, trains_one_step: Callable[..., None]) -> None:
    trains_one_step(TASK, root)
    assert TASK.facts(root).classes == CLASSES
    assert len(TASK.test(root)) == 4
    assert TASK.shifts(root) == {}
    assert len(TASK.data_files(root).names) == 24


def test_corrupted_images_line_up_with_the_test_split(root: Path) -> None:
    for place in CORRUPTED:
        write(root, place, VALIDATION, 100 + 20 * int(place[-1]))
    shifts, test = TASK.shifts(root), TASK.test(root)
    assert len(shifts) == 75
    split = shifts["c-fog/3"]()
    assert torch.equal(split.targets, test.targets)
    red = split.batch(torch.arange(4)).inputs[:, 0].mean((1, 2)) * 0.229 + 0.485
    assert torch.allclose(red * 255, torch.tensor([160.0, 161, 160, 161]), atol=1.5)
    assert f"imagenet-c/fog/3/{CLASSES[1]}/{VALIDATION[0]}" in TASK.data_files(root).names
    (root / "imagenet-c/fog/3" / CLASSES[0] / VALIDATION[1]).unlink()
    with pytest.raises(UserError, match=r"imagenet: .*fog/3 does not hold the images of"):
        shifts["c-fog/3"]()


def test_what_is_not_there_is_one_line(
    root: Path, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    refuses(TASK, None, "RELDROP_DATA")
    refuses(TASK, tmp_path / "no", "imagenet/train is missing")
    path = root / "imagenet/val" / CLASSES[1] / VALIDATION[0]
    path.write_bytes(path.read_bytes()[:200])
    refuses(TASK, root, str(path))
    for image in list(path.parent.iterdir()):
        image.unlink()
    refuses(TASK, root, f"no file of the class {CLASSES[1]}")
    path.parent.rmdir()
    refuses(TASK, root, f"only one of them has {CLASSES[1]}")


def test_of_some_classes_answers_are_taken_from_these_alone(root: Path) -> None:
    write(root, "imagenet-a", ["0.1_fly_2.jpg"], 90)
    for path in (root / "imagenet-a" / CLASSES[0]).iterdir():
        path.unlink()
    (root / "imagenet-a" / CLASSES[0]).rmdir()
    (root / "imagenet-a" / "README.txt").write_text("200 classes")
    (split,) = (make() for make in TASK.shifts(root).values())
    assert split.targets.tolist() == [1]
    assert told_apart_among(split).tolist() == [1]
    assert "imagenet-a/n02123045/0.1_fly_2.jpg" in TASK.data_files(root).names
    (root / "imagenet-a" / CLASSES[1]).rename(root / "imagenet-a" / "n09999999")
    with pytest.raises(UserError, match=r"imagenet: .*has the folder n09999999"):
        TASK.shifts(root)["imagenet-a"]()
