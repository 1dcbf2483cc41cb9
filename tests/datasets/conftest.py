"""Fixtures: data sets of a few samples in the formats that the real ones have on disk."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.running.probing import Bare
from reldrop_bench.running.training import train


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that writes a small CIFAR copy and lets torchvision expect its checksums.

    The checks themselves stay on: what is replaced is the list of files and sums of the real data.
    """

    def pickled(path: Path, content: dict[str, object]) -> str:
        path.write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()

    def write(name: str) -> Path:
        kind = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}[name]
        real = getattr(torchvision.datasets, kind)
        key = "labels" if name == "cifar10" else "fine_labels"
        classes = 10 if name == "cifar10" else 100
        folder = tmp_path / name / real.base_folder
        folder.mkdir(parents=True)
        generator = np.random.default_rng(0)

        def part(files: list[list[str]], repeats: int) -> list[list[str]]:
            sums = []
            for file, _ in files:
                labels = generator.permutation(np.repeat(np.arange(classes), repeats)).tolist()
                data = generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
                sums.append([file, pickled(folder / file, {"data": data, key: labels})])
            return sums

        names = [f"class {label}" for label in range(classes)]
        meta = {
            **real.meta,
            "md5": pickled(folder / real.meta["filename"], {real.meta["key"]: names}),
        }
        monkeypatch.setattr(real, "train_list", part(real.train_list, 2))
        monkeypatch.setattr(real, "test_list", part(real.test_list, 1))
        monkeypatch.setattr(real, "meta", meta)
        return folder

    return write


@pytest.fixture
def trains_one_step() -> Callable[[Task, Path | None], None]:
    """Return a function that reads every split of a task and trains on it for one step."""

    def trains(task: Task, root: Path | None) -> None:
        facts, test = task.facts(root), task.test(root)
        for split in (test, *task.splits(root, 0)):
            batch = split.batch(torch.arange(len(split)))
            assert batch.inputs.dtype == torch.float32
            assert batch.inputs.shape == (len(split), *facts.input_shape)
            assert batch.inputs.isfinite().all()
            assert torch.equal(batch.targets, split.targets)
            assert facts.masks == (batch.masks is not None)
            if batch.masks is not None:
                assert batch.masks.dtype == torch.uint8
                assert batch.masks.shape == (len(split), *facts.element_shape)
        # A list would be one entry for each of its values.
        given = {k: [v] if isinstance(v, list) else v for k, v in task.parameters().items()}
        spec = {
            "name": "one-step",
            "tasks": [{task.name: given}],
            "model": "small-cnn" if task.modality == "image" else "pointnet",
            "regularizers": ["none"],
            "seeds": 1,
            "recipe": {"epochs": 1, "batch_size": 4},
        }
        (cell,) = expand(load_spec(spec)).cells
        (row,) = train(cell, root, steps=1, fabric=Bare(torch.device("cpu"))).epochs.to_dict(
            "records"
        )
        assert row["train_loss"] > 0

    return trains


@pytest.fixture
def refuses() -> Callable[..., None]:
    """Return a function that has a task read everything, and asks for one line of an error in answer."""

    def refuses(task: Task, root: Path | None, *parts: str) -> None:
        def read() -> None:
            for split in (task.test(root), *task.splits(root, 0)):
                split.batch(torch.arange(len(split)))

        with pytest.raises(UserError) as error:
            read()
        message = str(error.value)
        assert message.startswith(f"{task.name}: ")
        assert "\n" not in message
        for part in parts:
            assert part in message

    return refuses


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection fail, so that a silent download shows."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tried to open a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
