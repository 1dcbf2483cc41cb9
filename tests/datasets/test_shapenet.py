"""ShapeNetPart in its real layout: a text file a model, in folders by number, and lists of the split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch_geometric.datasets import ShapeNet as Published

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.shapenet import FOLDER, ShapeNet

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
TASK = ShapeNet(points=32)
LAST = "02691156/model-test-0.txt"
"""The airplane of the test split."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write one model of each category and part of the split, two for training, out of order."""
    folder = tmp_path / "shapenet" / FOLDER
    (folder / "train_test_split").mkdir(parents=True)
    lines = [f"{name}\t{number}" for name, number in Published.category_ids.items()]
    (folder / "synsetoffset2category.txt").write_text("\n".join(lines) + "\n")
    generator = np.random.default_rng(0)
    for part, count in (("train", 2), ("val", 1), ("test", 1)):
        names = []
        for category, number in list(Published.category_ids.items())[::-1]:
            (folder / number).mkdir(exist_ok=True)
            for index in range(count):
                normals = generator.standard_normal((20, 3))
                normals /= np.linalg.norm(normals, axis=1, keepdims=True)
                parts = np.resize(Published.seg_classes[category], 20)[:, None]
                table = np.concatenate([normals * [1, 2, 3] + 7, normals, parts], 1)
                np.savetxt(folder / number / f"model-{part}-{index}.txt", table, fmt="%.6f")
                names.append(f"shape_data/{number}/model-{part}-{index}")
        path = folder / "train_test_split" / f"shuffled_{part}_file_list.json"
        path.write_text(json.dumps(names))
    return folder


@pytest.mark.parametrize("normals", [False, True])
def test_splits_are_its_own_and_masks_are_parts(
    folder: Path, tmp_path: Path, trains_one_step: Callable[..., None], normals: bool
) -> None:
    task = ShapeNet(points=32, normals=normals)
    assert "32 files of train are to be read; 16 files of val" in task.unprepared(tmp_path)
    trains_one_step(task, tmp_path)
    assert task.unprepared(tmp_path) == ""
    (train, validation), test = task.splits(tmp_path, 0), task.test(tmp_path)
    assert (len(train), len(validation), len(test)) == (32, 16, 16)
    assert test.targets.tolist() == list(range(16))[::-1]
    assert task.facts(tmp_path).classes[0] == "Airplane"
    for cloud, mask, target in zip(test.inputs, test.masks, test.targets.tolist(), strict=True):
        assert cloud[:3].norm(dim=0).max() == pytest.approx(1, abs=1e-5)
        parts = list(Published.seg_classes.values())[target]
        assert set(mask.tolist()) <= set(range(1, len(parts) + 1))
    assert int(test.masks.max()) == 6, "a motorbike has the most"
    assert len(task.data_files(tmp_path).names) == 4 + 64


def test_points_are_drawn_as_asked(folder: Path, tmp_path: Path) -> None:
    counts = {}
    for sampling in ("replacement", "uniform", "farthest"):
        clouds = ShapeNet(points=16, sampling=sampling).test(tmp_path).inputs
        counts[sampling] = [len(cloud.T.unique(dim=0)) for cloud in clouds]
    assert set(counts["uniform"]) == set(counts["farthest"]) == {16}
    assert max(counts["replacement"]) < 16


def test_damaged_files_are_refused(folder: Path, tmp_path: Path, refuses: Refuses) -> None:
    path = folder / LAST
    content = path.read_text()
    for wrong, message in (
        (content[:101], "no cloud that can be read"),
        ("1 2 3 4 5 6\n", "it has 6 columns, not 7"),
        (content.replace("7", "nan", 1), "no cloud that can be read"),
        ("", "it is empty"),
        (content.replace(" 2.000000\n", " 4.000000\n"), "a part that is none of Airplane (0 to 3)"),
    ):
        path.write_text(wrong)
        refuses(TASK, tmp_path, LAST, message)
    path.unlink()
    refuses(TASK, tmp_path, f"{LAST} is missing")


def test_damaged_lists_are_refused(folder: Path, tmp_path: Path, refuses: Refuses) -> None:
    refuses(TASK, None, "RELDROP_DATA")
    refuses(TASK, tmp_path / "nowhere", FOLDER, "is missing")
    table = folder / "train_test_split" / "shuffled_test_file_list.json"
    content = table.read_text()
    for wrong, message in (
        (content[:-10], "is no list of models"),
        ('["shape_data/00000000/x"]', "is no list of models"),
        ("[1]", "is no list of models"),
        ('["shape_data/02691156/model-test-0"]', "names no model of the category 02773838"),
    ):
        table.write_text(wrong)
        refuses(TASK, tmp_path, "shuffled_test_file_list.json", message)
    table.unlink()
    refuses(TASK, tmp_path, "shuffled_test_file_list.json is missing")
    with pytest.raises(UserError, match=r"^shapenet: its validation part is its own; leave"):
        ShapeNet(validation=0.2)
    (folder / "synsetoffset2category.txt").write_text("Airplane\t02691156\n")
    refuses(TASK, tmp_path, "does not name the 16 categories")
