"""CIFAR in its real format on disk."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.cifar import Cifar, Cifar10, Cifar100

pytestmark = pytest.mark.usefixtures("no_network")


@pytest.mark.parametrize(
    ("task", "classes", "train"), [(Cifar10(), 10, 100), (Cifar100(), 100, 200)]
)
def test_splits_and_facts(
    task: Cifar, classes: int, train: int, cifar: Callable[[str], Path], tmp_path: Path
) -> None:
    cifar(task.name)
    facts, splits, test = task.facts(tmp_path), task.splits(tmp_path, 0), task.test(tmp_path)
    assert facts.input_shape == (3, 32, 32)
    assert facts.classes == tuple(f"class {label}" for label in range(classes))
    assert len(splits.train) + len(splits.validation) == train
    assert set(splits.train.indices.tolist()).isdisjoint(splits.validation.indices.tolist())
    assert len(splits.validation.targets.unique()) == classes
    assert len(test) == classes
    other = task.splits(tmp_path, 1)
    assert not torch.equal(other.validation.indices, splits.validation.indices)


def test_batches_are_normalised_and_rows_are_red_green_blue(
    cifar: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = cifar("cifar10")
    task = Cifar10()
    facts, pool = task.facts(tmp_path), task.splits(tmp_path, 0).train.whole
    batch = pool.batch(torch.arange(len(pool)))
    assert batch.inputs.dtype == torch.float32
    assert torch.allclose(batch.inputs.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(batch.inputs.std((0, 2, 3)), torch.ones(3), atol=1e-3)
    original = pickle.loads((folder / "data_batch_1").read_bytes())
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (facts.mean, facts.std))
    pixels = (pool.batch(torch.tensor([3, 0])).inputs * std + mean) * 255
    expected = torch.from_numpy(original["data"][[3, 0]]).view(2, 3, 32, 32)
    assert torch.equal(pixels.round().byte(), expected)
    assert pool.targets[:20].tolist() == original["labels"]


def test_shifts_line_up_and_grow(cifar: Callable[[str], Path], tmp_path: Path) -> None:
    cifar("cifar10")
    test = Cifar10().test(tmp_path)
    clean = test.batch(torch.arange(len(test)))
    shifts = Cifar10().shifts(tmp_path)
    for kind in ("noise", "blur", "occlusion"):
        distances = []
        for level in (1, 2, 3):
            split = shifts[f"{kind}/{level}"]()
            assert torch.equal(split.targets, test.targets)
            shifted = split.batch(torch.arange(len(split))).inputs
            distances.append((shifted - clean.inputs).abs().mean().item())
        assert distances == sorted(distances)


def test_no_root_names_the_option_and_the_variable() -> None:
    with pytest.raises(
        UserError, match=r"--data DIR or set RELDROP_DATA.*cifar10/cifar-10-batch"
    ) as error:
        Cifar10().facts(None)
    assert "\n" not in str(error.value)


def test_a_missing_folder_says_where_and_from_where(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        Cifar100().splits(tmp_path, 0)
    message = str(error.value)
    assert str(tmp_path / "cifar100" / "cifar-100-python") in message
    assert "cifar-100-python.tar.gz" in message
    assert "\n" not in message


@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
@pytest.mark.parametrize("remove", [True, False])
def test_a_missing_or_changed_file_is_found_before_it_is_unpickled(
    file: str, remove: bool, cifar: Callable[[str], Path], tmp_path: Path
) -> None:
    path = cifar("cifar10") / file
    if remove:
        path.unlink()
    else:
        path.write_bytes(b"cos\nabort\n(tR.")  # a pickle that ends the process
    with pytest.raises(UserError, match=r"missing or damaged.*unpack the archive again"):
        Cifar10().test(tmp_path)
