"""Clouds and meshes of one's own in class folders, in every format that is read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets._clouds import choose, farthest
from reldrop_bench.plugins.datasets.cloud_folder import CloudFolder
from reldrop_bench.plugins.datasets.mesh_folder import MeshFolder

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
BOX = trimesh.creation.box((1, 2, 4))
TASK = CloudFolder(folder="solids", points=64, validation=0.3)
NORMALS = CloudFolder(folder="solids", points=64, validation=0.3, normals=True)


def write(folder: Path, solid: trimesh.Trimesh, count: int = 100) -> None:
    """Write a solid in every format, the clouds with as many points."""
    folder.mkdir(parents=True)
    for ending in ("off", "ply", "obj", "stl", "glb"):
        solid.export(folder / f"{ending}.{ending}")
    places, faces = trimesh.sample.sample_surface(solid, count, seed=0)[:2]
    cloud = np.concatenate([places + 50, solid.face_normals[faces]], 1)
    np.save(folder / "array.npy", cloud.astype(np.float32))
    np.savetxt(folder / "blanks.xyz", cloud, header="x y z nx ny nz")
    np.savetxt(folder / "commas.txt", cloud, delimiter=",", fmt="%.6f")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        write(tmp_path / "solids" / part / "box", BOX)
        write(tmp_path / "solids" / part / "ball", trimesh.creation.icosphere(2))
    return tmp_path


@pytest.mark.parametrize("task", [TASK, NORMALS], ids=["places", "normals"])
def test_every_format_is_read_alike(
    root: Path, task: CloudFolder, trains_one_step: Callable[..., None]
) -> None:
    trains_one_step(task, root)
    test = task.test(root)
    assert task.facts(root).classes == ("ball", "box")
    assert test.targets.tolist() == [0] * 8 + [1] * 8
    places = test.inputs[:, :3]
    assert places.mean(2).abs().max() < 1e-5
    assert torch.allclose(places.norm(dim=1).amax(1), torch.ones(()), atol=1e-5)
    extents = places[8:].amax(2) - places[8:].amin(2)
    # Whatever the format, the longest side of the box lies along the same axis.
    assert extents.argmax(1).tolist() == [2] * 8
    if task.normals:
        assert torch.allclose(test.inputs[:, 3:].norm(dim=1), torch.ones(()), atol=1e-4)
    assert len(task.data_files(root).names) == 32


def test_formats_of_the_same_numbers_are_the_same_cloud(root: Path) -> None:
    names = [name for name in NORMALS.data_files(root).names if name.startswith("test/box")]
    by_name = dict(zip(names, NORMALS.test(root).inputs[8:], strict=True))
    torch.testing.assert_close(
        by_name["test/box/blanks.xyz"], by_name["test/box/array.npy"], rtol=0, atol=1e-5
    )
    torch.testing.assert_close(
        by_name["test/box/commas.txt"], by_name["test/box/array.npy"], rtol=0, atol=1e-5
    )


def test_meshes_are_sampled_as_mesh_folder_samples_them(root: Path, tmp_path: Path) -> None:
    for path in root.glob("solids/*/*/*"):
        if path.suffix != ".off":
            path.unlink()
    ours = NORMALS.test(root).inputs
    theirs = MeshFolder(folder="solids", points=64, normals=True).test(root).inputs
    assert ours.shape == theirs.shape == (2, 6, 64)
    torch.testing.assert_close(ours.mean(2), theirs.mean(2), rtol=0, atol=0.3)


def test_kept_clouds_follow_what_they_depend_on(root: Path) -> None:
    assert "16 files of train are to be read" in TASK.unprepared(root)
    TASK.splits(root, 0)
    assert TASK.unprepared(root) == "16 files of test are to be read"
    assert "files of train" in NORMALS.unprepared(root)
    drawn = CloudFolder(folder="solids", points=64, sampling="uniform")
    assert "files of train" in drawn.unprepared(root)
    assert not torch.equal(drawn.test(root).inputs, TASK.test(root).inputs)


def test_farthest_points_are_farthest() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(3, 50, 3, generator=generator, dtype=torch.float64)
    found = farthest(places, 20)
    for cloud, order in zip(places, found, strict=True):
        assert order[0] == 0
        for number in range(1, 20):
            distance = torch.cdist(cloud, cloud[order[:number]]).amin(1)
            assert distance[order[number]] == distance.max()


@pytest.mark.parametrize("sampling", ["farthest", "uniform", "replacement"])
def test_points_are_chosen_as_named(sampling: str) -> None:
    places = torch.rand(2, 40, 3, generator=torch.Generator().manual_seed(1))
    few, many = (choose(places, count, sampling, np.random.default_rng(0)) for count in (30, 100))
    assert few.shape == (2, 30)
    assert many.shape == (2, 100)
    distinct = [len(order.unique()) for order in few]
    assert (distinct == [30, 30]) == (sampling != "replacement")
    if sampling == "farthest":
        assert many[0, 40:80].tolist() == many[0, :40].tolist()


TEXTS = {
    "columns.txt": ("1 2 3 4\n5 6 7 8\n", "it has 4 columns, not 3 or 6"),
    "nan.xyz": ("0 0 0\n1 nan 1\n", "point 2 is no finite number"),
    "empty.txt": ("# nothing\n", "it is empty"),
    "ragged.txt": ("0,0,0\n1,1\n", "no cloud that can be read"),
    "words.txt": ("a b c\n", "no cloud that can be read"),
    "place.txt": ("1 1 1\n1 1 1\n", "its points all lie in one place"),
    "faceless.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "it has no faces"),
    "nan.obj": ("v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", "a coordinate is no finite number"),
    "corner.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "no mesh that can be read"),
    "flat.off": ("OFF\n3 1 0\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n", "its faces have no area"),
}


@pytest.mark.parametrize("file", TEXTS)
def test_a_file_that_is_wrong_is_named(root: Path, refuses: Refuses, file: str) -> None:
    content, message = TEXTS[file]
    (root / "solids" / "test" / "box" / file).write_text(content)
    refuses(TASK, root, f"test/box/{file}", message)


def test_arrays_and_cut_files_are_refused(root: Path, refuses: Refuses) -> None:
    folder = root / "solids" / "test" / "box"
    whole = (folder / "array.npy").read_bytes()
    (folder / "array.npy").write_bytes(whole[:-100])
    refuses(TASK, root, "array.npy is no cloud that can be read")
    np.save(folder / "array.npy", np.array([{}]), allow_pickle=True)
    refuses(TASK, root, "array.npy is no cloud that can be read", "pickle")
    np.save(folder / "array.npy", np.zeros((5, 3, 2)))
    refuses(TASK, root, "it is no table of numbers")
    (folder / "array.npy").write_bytes(whole)
    for file in ("ply.ply", "glb.glb", "off.off"):
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: len(content) // 2])
        refuses(TASK, root, f"{file} is no mesh that can be read")
        (folder / file).write_bytes(content)


def test_mistakes_are_one_line(
    root: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses(TASK, None, "RELDROP_DATA")
    refuses(CloudFolder(folder="birds"), root, "birds/train is missing")
    box = root / "solids" / "test" / "box"
    (box / "three.txt").write_text("0 0 0\n1 1 1\n")
    refuses(NORMALS, root, "three.txt", "it has 3 columns, not 6")
    (box / "three.txt").rename(box / "three.pcd")
    refuses(TASK, root, "three.pcd is of a kind that is not read")
    (box / "three.pcd").unlink()
    find = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: None if name == "trimesh" else find(name),
        )
        with pytest.raises(UserError, match=r"pip install 'reldrop-bench\[shapes\]'"):
            TASK.facts(root)
    for file in box.iterdir():
        file.unlink()
    refuses(TASK, root, "no file of the class box")
