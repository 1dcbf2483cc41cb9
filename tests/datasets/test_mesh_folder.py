"""Meshes of one's own in class folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import trimesh

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.mesh_folder import MeshFolder

SOLIDS = {
    "box": trimesh.creation.box((1, 2, 4)),
    "ball": trimesh.creation.icosphere(subdivisions=2),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, count in (("train", 10), ("test", 3)):
        for label, solid in SOLIDS.items():
            folder = tmp_path / "solids" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.off").write_text(solid.export(file_type="off"))
    return tmp_path


TASK = MeshFolder(folder="solids", points=256, normals=True, validation=0.2)


def test_splits_facts_and_shapes(root: Path) -> None:
    facts, splits, test = TASK.facts(root), TASK.splits(root, 0), TASK.test(root)
    assert facts.classes == ("ball", "box")
    assert facts.input_shape == (6, 256)
    assert (len(splits.train), len(splits.validation), len(test)) == (16, 4, 6)
    assert torch.bincount(splits.validation.targets).tolist() == [2, 2]
    assert test.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert MeshFolder(folder="solids", points=32).test(root).inputs.shape == (6, 3, 32)
    # On a ball all points are as far from the middle as its corners' radius, give or take its facets.
    assert test.inputs[:3, :3].norm(dim=1).min() > 0.8
    extents = test.inputs[3:, :3].amax(2) - test.inputs[3:, :3].amin(2)
    assert torch.allclose(extents / extents[:, :1], torch.tensor([1.0, 2.0, 4.0]), rtol=0.15)


def test_validation_follows_the_seed(root: Path) -> None:
    drawn = [TASK.splits(root, seed).validation.indices.tolist() for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(map(tuple, drawn))) > 1


def test_files_that_count_are_named_and_hidden_ones_left_out(root: Path) -> None:
    names = TASK.data_files(root).names
    assert len(names) == 26
    assert names[0] == "train/ball/0.off"
    hidden = root / "solids" / "train" / ".ipynb_checkpoints"
    shutil.copytree(root / "solids" / "train" / "box", hidden)
    (root / "solids" / "train" / "box" / "._1.off").write_text("no mesh")
    assert TASK.data_files(root).names == names
    assert TASK.facts(root).classes == ("ball", "box")


def test_mistakes_are_one_line(root: Path) -> None:
    with pytest.raises(UserError, match="RELDROP_DATA"):
        TASK.facts(None)
    with pytest.raises(UserError, match="birds/train is missing"):
        MeshFolder(folder="birds").facts(root)
    other = root / "solids" / "train" / "box" / "11.stl"
    other.write_text("solid")
    with pytest.raises(UserError, match=r"11\.stl is of a kind that is not read; convert it"):
        TASK.facts(root)
    other.unlink()
    (root / "solids" / "test" / "box").rename(root / "solids" / "test" / "cone")
    with pytest.raises(UserError, match="only one of them has box, cone"):
        TASK.test(root)
    (root / "solids" / "train" / "empty").mkdir()
    with pytest.raises(UserError, match=r"no file of the class empty.*\.off") as error:
        TASK.facts(root)
    assert "\n" not in str(error.value)
