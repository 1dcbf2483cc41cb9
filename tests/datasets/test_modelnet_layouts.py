"""ModelNet as clouds, in both layouts that are handed around, and its published corruptions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets import _modelnet_corruptions as corruptions
from reldrop_bench.plugins.datasets.modelnet import CLASSES_10, CLASSES_40, ModelNet10, ModelNet40

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
TASK = ModelNet40(points=16, validation=0.4)
TEN = ModelNet10(points=16, validation=0.4, normals=True)


def clouds(count: int, points: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return places and normals of ellipsoids, off centre."""
    normals = np.random.default_rng(0).standard_normal((count, points, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return (normals * [1, 2, 3] + 5).astype(np.float32), normals.astype(np.float32)


def resampled(root: Path, name: str, classes: tuple[str, ...]) -> Path:
    folder = root / name / "modelnet40_normal_resampled"
    folder.mkdir(parents=True)
    (folder / f"{name}_shape_names.txt").write_text("\n".join(classes) + "\n")
    for part, numbers in (("train", (1, 2)), ("test", (3,))):
        names = [f"{label}_{number:04}" for label in classes for number in numbers]
        (folder / f"{name}_{part}.txt").write_text("\n".join(names) + "\n")
        for one, place, normal in zip(names, *clouds(len(names)), strict=True):
            path = folder / one.rpartition("_")[0] / f"{one}.txt"
            path.parent.mkdir(exist_ok=True)
            np.savetxt(path, np.concatenate([place, normal], 1), fmt="%.6f", delimiter=",")
    return folder


def write_h5(path: Path, labels: np.ndarray, **changes: np.ndarray) -> None:
    places, normals = clouds(len(labels))
    arrays = {"data": places, "label": labels.astype(np.uint8)[:, None], "normal": normals}
    with h5py.File(path, "w") as file:
        for key, values in {**arrays, **changes}.items():
            file.create_dataset(key, data=values, compression="gzip")


def hdf5(root: Path) -> Path:
    folder = root / "modelnet40" / "modelnet40_ply_hdf5_2048"
    folder.mkdir(parents=True)
    (folder / "shape_names.txt").write_text("\n".join(CLASSES_40) + "\n")
    for part, files in (("train", 2), ("test", 1)):
        names = [f"ply_data_{part}{number}.h5" for number in range(files)]
        lines = [f"data/modelnet40_ply_hdf5_2048/{name}" for name in names]
        (folder / f"{part}_files.txt").write_text("\n".join(lines) + "\n")
        for name in names:
            write_h5(folder / name, np.arange(40)[::-1])
    return folder


def test_resampled_clouds_are_read_by_their_lists(
    tmp_path: Path, trains_one_step: Callable[..., None]
) -> None:
    resampled(tmp_path, "modelnet10", CLASSES_10)
    assert TEN.unprepared(tmp_path) == (
        "20 files of train are to be read; 10 files of test are to be read"
    )
    trains_one_step(TEN, tmp_path)
    assert TEN.unprepared(tmp_path) == ""
    test = TEN.test(tmp_path)
    assert test.targets.tolist() == list(range(10))
    assert torch.allclose(test.inputs[:, 3:].norm(dim=1), torch.ones(()), atol=1e-4)
    assert torch.allclose(test.inputs[:, :3].norm(dim=1).amax(1), torch.ones(()), atol=1e-5)
    assert len(TEN.data_files(tmp_path).names) == 33


def test_hdf5_clouds_are_read_in_the_order_of_the_files(
    tmp_path: Path, trains_one_step: Callable[..., None]
) -> None:
    hdf5(tmp_path)
    assert TASK.unprepared(tmp_path) == (
        "2 files of train are to be read; 1 file of test is to be read"
    )
    trains_one_step(TASK, tmp_path)
    assert TASK.test(tmp_path).targets.tolist() == list(range(40))[::-1]
    assert TASK.published(tmp_path) == {"train": 9_840, "test": 2_468}
    assert ModelNet40(points=30, normals=True).test(tmp_path).inputs.shape == (40, 6, 30)
    names = TASK.data_files(tmp_path).names
    assert names[-1] == "ply_data_test0.h5"
    assert len(names) == 6


def test_two_layouts_are_told_apart(tmp_path: Path, refuses: Refuses) -> None:
    hdf5(tmp_path)
    resampled(tmp_path, "modelnet40", CLASSES_40)
    refuses(TASK, tmp_path, "as normal-resampled and hdf5", "choose one, such as layout:")
    chosen = [
        ModelNet40(points=16, layout=one).test(tmp_path) for one in ("hdf5", "normal-resampled")
    ]
    assert [split.targets[0].item() for split in chosen] == [39, 0]
    refuses(ModelNet40(layout="raw"), tmp_path, "modelnet40/raw is missing")
    refuses(ModelNet10(layout="hdf5"), tmp_path, "no layout hdf5")


def test_damaged_resampled_copies_are_refused(tmp_path: Path, refuses: Refuses) -> None:
    folder = resampled(tmp_path, "modelnet10", CLASSES_10)
    table, file = folder / "modelnet10_test.txt", folder / "bed" / "bed_0003.txt"
    lines, content = table.read_text(), file.read_text()
    file.write_text(content[:100])
    refuses(TEN, tmp_path, "bed_0003.txt is no cloud that can be read")
    file.write_text("1,2,3\n4,5,6\n")
    refuses(TEN, tmp_path, "it has 3 columns, not 6")
    file.write_text("1,2,3,0,0,1\nnan,5,6,0,0,1\n")
    refuses(TEN, tmp_path, "point 2 is no finite number")
    file.unlink()
    refuses(TEN, tmp_path, "bed_0003.txt is missing")
    table.write_text(lines.replace("bed_0003\n", ""))
    refuses(TEN, tmp_path, "names no file of the class bed")
    table.write_text(lines + "spoon_0001\n")
    refuses(TEN, tmp_path, "'spoon_0001', which is of no class")
    table.unlink()
    refuses(TEN, tmp_path, "modelnet10_test.txt is missing")
    (folder / "modelnet10_shape_names.txt").write_text("bed\n")
    refuses(TEN, tmp_path, "has no table of its classes")


H5_FAULTS = {
    "labels": ({"label": np.full((40, 1), 40, np.uint8)}, "its labels go from 40 to 40"),
    "count": ({"label": np.zeros((39, 1), np.uint8)}, "40 clouds and 39 labels"),
    "columns": ({"data": np.ones((40, 24, 2))}, "not clouds × points × 3"),
    "nan": (
        {"data": np.full((40, 24, 3), np.nan)},
        "its array data holds what is no finite number",
    ),
    "place": ({"data": np.ones((40, 24, 3))}, "the points of cloud 1 all lie in one place"),
    "normals": ({"normal": np.ones((40, 2, 3))}, "its array normal has the shape (40, 2, 3)"),
    "text": ({"label": np.array([b"x"] * 40)}, "its array label holds no numbers"),
}


@pytest.mark.parametrize("fault", H5_FAULTS)
def test_wrong_arrays_are_refused(tmp_path: Path, refuses: Refuses, fault: str) -> None:
    changes, message = H5_FAULTS[fault]
    write_h5(hdf5(tmp_path) / "ply_data_test0.h5", np.arange(40), **changes)
    refuses(
        ModelNet40(points=16, normals=True), tmp_path, "ply_data_test0.h5 cannot be read", message
    )


def test_cut_and_missing_hdf5_files_are_refused(
    tmp_path: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hdf5(tmp_path) / "ply_data_test0.h5"
    path.write_bytes(path.read_bytes()[:-200])
    refuses(TASK, tmp_path, "ply_data_test0.h5 cannot be read", "truncated")
    path.unlink()
    refuses(TASK, tmp_path, "ply_data_test0.h5 is missing")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "h5py" else find(name)
    )
    write_h5(path, np.arange(40))
    with pytest.raises(UserError, match=r"pip install 'reldrop-bench\[h5\]'"):
        TASK.test(tmp_path)


@pytest.fixture
def corrupted(tmp_path: Path) -> Path:
    """Write both published benchmarks: places are their severity, every third cloud."""
    hdf5(tmp_path)
    for benchmark, files in corruptions.FILES.items():
        (tmp_path / benchmark).mkdir()
        for shift, file in files.items():
            path = tmp_path / benchmark / file
            data = clouds(40)[0] / 10 + int(shift.rpartition("/")[2])
            if path.suffix == ".npy":
                np.save(path, data)
            else:
                write_h5(path, np.arange(40), data=data[:, :20])
    np.save(tmp_path / "modelnet40-c" / "label.npy", np.arange(40)[:, None])
    return tmp_path


def test_published_corruptions_are_shifts_beside_the_harness_own(corrupted: Path) -> None:
    shifts = TASK.shifts(corrupted)
    assert len(shifts) - len(TEN.shifts(corrupted)) == 15 * 5 + 7 * 5
    assert "jitter/1" in shifts
    for name, points in (("modelnet40-c-gaussian/3", 24), ("modelnet-c-jitter/3", 20)):
        split = shifts[name]()
        assert split.inputs.shape == (40, 3, points)
        assert split.inputs.dtype == torch.float32
        torch.testing.assert_close(
            split.inputs, torch.from_numpy(clouds(40)[0][:, :points]).movedim(2, 1) / 10 + 3
        )
        assert split.targets.tolist() == list(range(40))
    files = TASK.data_files(corrupted)
    assert files.folder == corrupted
    assert "modelnet-c/jitter_2.h5" in files.names
    assert "modelnet40/modelnet40_ply_hdf5_2048/ply_data_test0.h5" in files.names
    assert len(files.names) == 6 + 76 + 35
    with_normals = ModelNet40(points=16, normals=True)
    assert not any(name.startswith("modelnet") for name in with_normals.shifts(corrupted))
    assert len(with_normals.data_files(corrupted).names) == 6


def test_raw_meshes_have_no_published_corruptions(corrupted: Path) -> None:
    for label in CLASSES_40:
        for part in ("train", "test"):
            path = corrupted / "modelnet40" / "raw" / label / part / f"{label}_0001.off"
            path.parent.mkdir(parents=True)
            path.write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    raw = ModelNet40(points=16, layout="raw")
    assert not any(name.startswith("modelnet") for name in raw.shifts(corrupted))
    assert len(raw.data_files(corrupted).names) == 80
    assert len(raw.test(corrupted)) == 40


def test_damaged_corruptions_are_refused(corrupted: Path) -> None:
    def refused(shift: str, *parts: str) -> None:
        with pytest.raises(UserError) as error:
            TASK.shifts(corrupted)[shift]()
        message = str(error.value)
        assert message.startswith("modelnet40: ")
        assert "\n" not in message
        assert all(part in message for part in parts), message

    path = corrupted / "modelnet40-c" / "data_shear_2.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    refused("modelnet40-c-shear/2", str(path), "damaged")
    np.save(path, clouds(39)[0])
    refused("modelnet40-c-shear/2", "other clouds than label.npy, 39 against 40")
    np.save(path, clouds(40)[0] * np.nan)
    refused("modelnet40-c-shear/2", "not finite")
    np.save(path, clouds(40)[0])
    np.save(path.parent / "label.npy", np.full(40, 40))
    refused("modelnet40-c-shear/2", "labels go from 40 to 40")
    cut = corrupted / "modelnet-c" / "rotate_4.h5"
    cut.write_bytes(cut.read_bytes()[:500])
    refused("modelnet-c-rotate/5", "rotate_4.h5 cannot be read")
    cut.unlink()
    refused("jitter/1", "rotate_4.h5 is missing", "or remove the folder")
