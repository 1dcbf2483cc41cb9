"""ScanObjectNN in its real format: HDF5 files of clouds, classes and masks, -1 for the background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.scanobjectnn import CLASSES, COUNTS, FILES, ScanObjectNN

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
TASK = ScanObjectNN(points=16, validation=0.4)


def write(path: Path, copies: int, **changes: np.ndarray) -> Path:
    """Write clouds of all classes: the object along the third axis, the background at 9 on the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator, count = np.random.default_rng(0), copies * len(CLASSES)
    mask = np.where(np.arange(32) % 4 == 0, -1, 7) * np.ones((count, 1), int)
    data = generator.uniform(0, 1, (count, 32, 3)) * [0.1, 0.1, 1]
    data[mask == -1, 0] += 9
    arrays = {"data": data, "label": np.tile(np.arange(len(CLASSES)), copies), "mask": mask}
    with h5py.File(path, "w") as file:
        for key, values in {**arrays, **changes}.items():
            kept = np.float32 if key == "data" and values.dtype.kind == "f" else values.dtype
            file.create_dataset(key, data=values.astype(kept))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in FILES.values():
        for part, copies in (("training", 2), ("test", 1)):
            write(tmp_path / "scanobjectnn" / file.format(part), copies)
    return tmp_path / "scanobjectnn"


@pytest.mark.parametrize("variant", FILES)
def test_each_variant_has_its_files_and_masks(
    folder: Path, tmp_path: Path, trains_one_step: Callable[..., None], variant: str
) -> None:
    task = ScanObjectNN(points=16, validation=0.4, variant=variant)
    assert task.unprepared(tmp_path) == (
        "1 file of train is to be read; 1 file of test is to be read"
    )
    trains_one_step(task, tmp_path)
    assert task.unprepared(tmp_path) == ""
    test = task.test(tmp_path)
    assert test.targets.tolist() == list(range(15))
    assert task.published(tmp_path) == COUNTS[variant]
    assert task.data_files(tmp_path).names == tuple(
        FILES[variant].format(part) for part in ("training", "test")
    )
    if variant == "obj-only":
        assert test.masks is None
    else:
        assert torch.equal(test.masks == 0, test.inputs[:, 0] > 0.2), "masks go with their points"
        assert set(test.masks.unique().tolist()) == {0, 1}


def test_the_folder_of_the_archive_may_lie_in_between(folder: Path, tmp_path: Path) -> None:
    before = TASK.test(tmp_path)
    files = TASK.data_files(tmp_path).names
    (folder / "h5_files").mkdir()
    for name in ("main_split", "main_split_nobg"):
        (folder / name).rename(folder / "h5_files" / name)
    assert torch.equal(TASK.test(tmp_path).inputs, before.inputs)
    assert TASK.data_files(tmp_path).names == files


FAULTS = {
    "labels": ({"label": np.full(15, 15)}, "its labels go from 15 to 15"),
    "count": ({"label": np.arange(14)}, "15 clouds and 14 labels"),
    "columns": ({"data": np.ones((15, 32, 4))}, "not clouds × points × 3"),
    "nan": (
        {"data": np.full((15, 32, 3), np.nan)},
        "its array data holds what is no finite number",
    ),
    "masks": ({"mask": np.zeros((15, 3))}, "its array mask has the shape (15, 3), not (15, 32)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_arrays_are_refused(
    folder: Path, tmp_path: Path, refuses: Refuses, fault: str
) -> None:
    changes, message = FAULTS[fault]
    path = write(folder / FILES["pb-t50-rs"].format("test"), 1, **changes)
    refuses(TASK, tmp_path, str(path), message)


def test_mistakes_are_one_line(folder: Path, tmp_path: Path, refuses: Refuses) -> None:
    refuses(TASK, None, "RELDROP_DATA", "h5_files.zip")
    path = folder / FILES["pb-t50-rs"].format("test")
    path.write_bytes(path.read_bytes()[:-100])
    refuses(TASK, tmp_path, f"{path.name} cannot be read", "truncated")
    with h5py.File(path, "w") as file:
        file.create_dataset("label", data=np.arange(15))
    refuses(TASK, tmp_path, f"{path.name} cannot be read", "data")
    path.unlink()
    refuses(TASK, tmp_path, f"{path.name} is missing")
    with pytest.raises(UserError, match=r"^scanobjectnn: its points have no normals; leave"):
        ScanObjectNN(normals=True)
