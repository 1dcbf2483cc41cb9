"""MedMNIST in its real format, read by its own library: an npz of three parts, labels in a column."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reldrop_bench.plugins.datasets.medmnist import MedMnist

pytestmark = pytest.mark.usefixtures("no_network")
Refuses = Callable[..., None]
TASK = MedMnist(dataset="breastmnist")


def write(
    root: Path, file: str = "breastmnist", channels: tuple[int, ...] = (), **changes: np.ndarray
) -> Path:
    folder, generator = root / "medmnist", np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    for part, count in (("train", 20), ("val", 6), ("test", 8)):
        arrays[f"{part}_images"] = generator.integers(0, 256, (count, 28, 28, *channels), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 2
    np.savez(folder / f"{file}.npz", **(arrays | changes))
    return folder / f"{file}.npz"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library makes a folder in the user's home when it is imported."""
    monkeypatch.setenv("HOME", str(tmp_path))


def test_all_three_parts_are_its_own(tmp_path: Path, trains_one_step: Callable[..., None]) -> None:
    path = write(tmp_path)
    trains_one_step(TASK, tmp_path)
    train, validation = TASK.splits(tmp_path, 0)
    assert (len(train), len(validation), len(TASK.test(tmp_path))) == (20, 6, 8)
    assert TASK.facts(tmp_path).classes == ("malignant", "normal, benign")
    with np.load(path) as arrays:
        assert torch.equal(validation.images[:, 0], torch.from_numpy(arrays["val_images"]))
    assert TASK.data_files(tmp_path).names == ("breastmnist.npz",)


def test_colours_are_channels(tmp_path: Path) -> None:
    write(tmp_path, "pathmnist", (3,))
    assert MedMnist().facts(tmp_path).input_shape == (3, 28, 28)


def test_what_cannot_be_read_is_one_line(tmp_path: Path, refuses: Refuses) -> None:
    refuses(TASK, None, "RELDROP_DATA")
    refuses(TASK, tmp_path, "medmnist is missing", "breastmnist.npz")
    path = write(tmp_path)
    refuses(MedMnist(dataset="breastmnist", size=64), tmp_path, "breastmnist_64.npz is missing")
    path.write_bytes(path.read_bytes()[:-100])
    refuses(TASK, tmp_path, "missing or damaged")
    write(tmp_path, train_labels=np.full((20, 1), 2, np.uint8))
    refuses(TASK, tmp_path, "go from 2 to 2, the 2 classes from 0 to 1")
    write(tmp_path, val_labels=np.zeros((5, 1), np.uint8))
    refuses(TASK, tmp_path, "6 validation images and 5 labels")
    write(tmp_path, test_labels=np.array([[{}]] * 8))
    refuses(TASK, tmp_path, "missing or damaged", "pickle")


def test_without_the_library_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: Refuses
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "medmnist" else find(name)
    )
    write(tmp_path)
    refuses_with = "pip install 'reldrop-bench[medmnist]'"
    with pytest.raises(Exception, match="medmnist") as error:
        TASK.facts(tmp_path)
    assert refuses_with in str(error.value)
