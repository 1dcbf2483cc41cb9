"""CIFAR-10-C in its real format: an array a corruption, five severities behind each other, and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets._common_corruptions import CORRUPTIONS
from reldrop_bench.plugins.datasets.cifar import Cifar10

pytestmark = pytest.mark.usefixtures("no_network")
TASK = Cifar10()


@pytest.fixture
def folder(cifar: Callable[[str], Path], tmp_path: Path) -> Path:
    """Write CIFAR-10 with 10 test images, and corrupted ones whose pixels are all 40 · severity."""
    cifar("cifar10")
    place = tmp_path / "cifar10-c"
    place.mkdir()
    levels = np.arange(1, 6, dtype=np.uint8).repeat(10)[:, None, None, None] * 40
    for corruption in CORRUPTIONS:
        np.save(place / f"{corruption}.npy", np.broadcast_to(levels, (50, 32, 32, 3)))
    np.save(place / "labels.npy", np.tile(TASK.test(tmp_path).targets.numpy(), 5))
    return place


def test_each_corruption_and_severity_is_a_shift(folder: Path, tmp_path: Path) -> None:
    shifts, test, facts = TASK.shifts(tmp_path), TASK.test(tmp_path), TASK.facts(tmp_path)
    published = [name for name in shifts if name.startswith("c-")]
    assert len(published) == 15 * 5
    assert "noise/1" in shifts, "the harness's own keep their names"
    for level in (1, 5):
        split = shifts[f"c-fog/{level}"]()
        assert torch.equal(split.targets, test.targets)
        pixels = split.batch(torch.arange(10)).inputs[:, 0] * facts.std[0] + facts.mean[0]
        assert torch.allclose(pixels * 255, torch.tensor(40.0 * level), atol=1e-3)
    assert set(TASK.data_files(tmp_path).names) == {path.name for path in folder.iterdir()}


def test_without_the_folder_there_are_none(
    cifar: Callable[[str], Path], tmp_path: Path, trains_one_step: Callable[..., None]
) -> None:
    cifar("cifar10")
    assert len(TASK.shifts(tmp_path)) == 9
    assert TASK.data_files(tmp_path) is None
    trains_one_step(TASK, tmp_path)


def refused(root: Path, *parts: str) -> None:
    with pytest.raises(UserError) as error:
        TASK.shifts(root)["c-fog/2"]()
    message = str(error.value)
    assert message.startswith("cifar10: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_files_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "fog.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-5000])
    refused(tmp_path, str(path), "damaged")
    np.save(path, np.zeros((40, 32, 32, 3), np.uint8))
    refused(tmp_path, str(path), "(40, 32, 32, 3), not uint8 (50, 32, 32, 3)")
    np.save(path, np.array([{}] * 50), allow_pickle=True)
    refused(tmp_path, str(path), "damaged")
    path.unlink()
    refused(tmp_path, f"{path} is missing")
    path.write_bytes(data)
    np.save(folder / "labels.npy", np.full(50, 11))
    refused(tmp_path, "holds other labels than the test split")
