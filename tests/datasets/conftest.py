"""Fixtures: data sets of a few samples in the formats that the real ones have on disk."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision


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
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection fail, so that a silent download shows."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("tried to open a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
