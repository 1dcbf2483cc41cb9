"""Fashion-MNIST in the format that it has on disk: idx, as its authors (and LeCun's page of MNIST) have it."""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import FashionMNIST as Reference

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.content import content_of
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.plugins.datasets import _packages
from reldrop_bench.plugins.datasets.fashion_mnist import FashionMnist
from reldrop_bench.running.probing import Bare
from reldrop_bench.running.training import train

pytestmark = pytest.mark.usefixtures("no_network")
Write = Callable[..., Path]
TASK = FashionMnist()


def idx(array: np.ndarray) -> bytes:
    """Write unsigned bytes: two zeros, type 8, dimensions, their sizes (big-endian), the bytes."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a small copy, packed or not, and hides the system's own."""
    monkeypatch.setattr(_packages, "SHARED", tmp_path / "share")

    def write(folder: str = "fashion-mnist", packed: bool = True) -> Path:
        generator = np.random.default_rng(0)
        place = tmp_path / folder
        place.mkdir(parents=True)
        for part, repeats in (("train", 4), ("t10k", 2)):
            labels = generator.permutation(np.arange(10).repeat(repeats))
            images = generator.integers(0, 256, (len(labels), 28, 28))
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                data, file = idx(array), f"{part}-{name}-ubyte"
                if packed:
                    (place / f"{file}.gz").write_bytes(gzip.compress(data))
                else:
                    (place / file).write_bytes(data)
        return place

    return write


def test_it_trains_on_a_packed_copy(
    write: Write, tmp_path: Path, trains_one_step: Callable[..., None]
) -> None:
    write()
    trains_one_step(TASK, tmp_path)
    facts = TASK.facts(tmp_path)
    assert facts.classes[0] == "t-shirt"
    assert facts.input_shape == (1, 28, 28)
    assert set(TASK.shifts(tmp_path)) == {
        f"{kind}/{level}" for kind in ("noise", "blur", "occlusion") for level in (1, 2, 3)
    }


def test_pixels_are_those_of_torchvision(write: Write, tmp_path: Path) -> None:
    write("fashion-mnist/FashionMNIST/raw", packed=False)
    facts = TASK.facts(tmp_path)
    for split, training in (
        (TASK.splits(tmp_path, 0).train.whole, True),
        (TASK.test(tmp_path), False),
    ):
        reference = Reference(tmp_path / "fashion-mnist", train=training)
        assert torch.equal(split.targets, reference.targets)
        inputs = split.batch(torch.arange(len(split))).inputs
        pixels = (inputs * facts.std[0] + facts.mean[0]) * 255
        assert torch.equal(pixels[:, 0].round().byte(), reference.data)


def test_the_systems_package_is_used_where_there_is_no_copy(write: Write, tmp_path: Path) -> None:
    folder = write("share/datasets/fashion-mnist")
    assert len(TASK.test(None)) == 20
    assert TASK.data_files(tmp_path).folder == folder


def test_fewer_samples_are_the_first_ones_of_every_class(write: Write, tmp_path: Path) -> None:
    write()
    whole = TASK.splits(tmp_path, 0).train.whole
    some = FashionMnist(train_samples=20).splits(tmp_path, 0).train.whole
    expected = [index for label in range(10) for index in (whole.targets == label).nonzero()[:2, 0]]
    assert torch.equal(some.images, whole.images[torch.stack(expected).sort().values])
    assert torch.bincount(some.targets).tolist() == [2] * 10
    assert len(FashionMnist(train_samples=20).test(tmp_path)) == 20
    with pytest.raises(UserError, match=r"asks for 5 images of every class.*fewer of t-shirt"):
        FashionMnist(train_samples=50).facts(tmp_path)
    with pytest.raises(UserError, match="train_samples = 25"):
        FashionMnist(train_samples=25)


def test_other_bytes_are_other_data_in_the_same_process(write: Write, tmp_path: Path) -> None:
    path = write(packed=False) / "train-images-idx3-ubyte"
    before, first = content_of(TASK.data_files(tmp_path)), TASK.facts(tmp_path).mean
    data = bytearray(path.read_bytes())
    data[-784:] = bytes([255]) * 784
    path.write_bytes(data)
    assert content_of(TASK.data_files(tmp_path)).digest != before.digest
    assert TASK.facts(tmp_path).mean != first


def test_what_is_not_there_is_named(
    write: Write, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    refuses(TASK, None, "apt-get install dataset-fashion-mnist")
    refuses(TASK, tmp_path, str(tmp_path / "fashion-mnist"), "apt-get install")
    (write() / "t10k-labels-idx1-ubyte.gz").unlink()
    refuses(TASK, tmp_path, "t10k-labels-idx1-ubyte is missing")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("length", [0, 3, 10, -5])
def test_a_truncated_file_is_named(
    packed: bool, length: int, write: Write, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    path = write(packed=packed) / ("train-images-idx3-ubyte" + ".gz" * packed)
    path.write_bytes(path.read_bytes()[:length])
    refuses(TASK, tmp_path, f"{path} is damaged")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(40) % 10 + 1, "labels in", ),
        (np.arange(30) % 10, "40 training images and 30 labels"),
        (np.zeros((40, 1)), "is damaged"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(
    labels: np.ndarray, message: str, write: Write, tmp_path: Path, refuses: Callable[..., None]
) -> None:
    (write(packed=False) / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    refuses(TASK, tmp_path, message)


@pytest.mark.slow
@pytest.mark.skipif(
    "CI" not in os.environ and not Path("/usr/share/datasets/fashion-mnist").is_dir(),
    reason="Debian's package dataset-fashion-mnist is not installed",
)
def test_the_real_images_are_learnt() -> None:
    """From 10,000 images at least 87.5 %: the recipe suits the task, and labels go with their images."""
    spec = {
        "name": "fashion",
        "tasks": [{"fashion-mnist": {"train_samples": 10000}}],
        "regularizers": ["none"],
        "seeds": 1,
    }
    (cell,) = expand(load_spec(spec)).cells
    model = train(cell, None, fabric=Bare(torch.device("cpu"))).model.eval()
    test = cell.task.plugin.test(None)
    with torch.inference_mode():
        parts = torch.arange(len(test)).split(500)
        predicted = torch.cat([model(test.batch(part).inputs).argmax(1) for part in parts])
    assert (predicted == test.targets).double().mean() > 0.875
