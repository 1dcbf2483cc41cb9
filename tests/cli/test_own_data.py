"""A folder of one's own, from a first look to a run: as docs/data.md tells it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reldrop_bench.cli import main
from reldrop_bench.running.benchmark import DATA_VARIABLE


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write 12 + 6 pictures of two classes; the variable is as before behind the test."""
    monkeypatch.setenv(DATA_VARIABLE, "")
    random = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 6)):
        for shade, label in enumerate(("cat", "dog")):
            folder = tmp_path / "data" / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(100 * shade, 100 * shade + 150, (9, 9, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    output = capsys.readouterr()
    return int(str(stop.value.code)), output.out, output.err


def test_a_task_with_its_folder_is_checked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ("--set", "folder=pets", "--set", "size=8")
    code, stdout, _ = call(capsys, "check", "image-folder", "--data", str(data), *settings)
    assert code == 0, stdout
    for check in ("files_are_named", "batches_match_the_facts", "splits_are_disjoint"):
        assert any(line.split() == ["passed", check] for line in stdout.splitlines())
    assert " 0 failed" in stdout


def test_what_is_wrong_with_the_data_is_told(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data / "pets" / "train" / "cat" / "3.png"
    path.write_bytes(b"no picture")
    code, stdout, _ = call(
        capsys, "check", "image-folder", "--data", str(data), "--set", "folder=pets"
    )
    assert code == 1
    assert "cat/3.png is no image that can be read" in stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["--set", "folder"], "write NAME=VALUE"),
        (["--set", "folder=pets", "--set", "size=big"], "size = 'big' is not allowed"),
        (["--set", "fodler=pets"], "did you mean 'folder'?"),
        (["--set", "size=8"], "'folder' is required"),
        (["--data", "nowhere", "--set", "folder=pets"], "does not exist"),
    ],
)
def test_wrong_use_is_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], settings: list[str], told: str
) -> None:
    code, _, stderr = call(capsys, "check", "image-folder", *settings)
    assert code == 2
    assert told in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert not os.environ[DATA_VARIABLE]
