"""Tasks that break their contract are caught, each with advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reldrop_bench import DataFiles
from reldrop_bench.checking.tiny import TinyImages, tiny_facts, tiny_split
from reldrop_bench.data import Facts, Shifts, Split, TensorSplit, TrainingSplits
from reldrop_bench.errors import UserError
from reldrop_bench.running.benchmark import DATA_VARIABLE

Verdicts = Callable[[str, type[Any]], dict[str, str]]


class UnseededTask(TinyImages):
    """Its test split is another one each time."""

    default_model = "no-such-model"

    def test(self, root: Path | None) -> TensorSplit:
        split = tiny_split("image", "test", 24)
        return TensorSplit(split.inputs + torch.randn(()), split.targets, split.masks)


class LeakyTask(TinyImages):
    """Validation is a part of training, and the facts are wrong."""

    def facts(self, root: Path | None) -> Facts:
        return Facts("image", ("a", "b"), (3, 16, 16), (0.0,) * 3, (1.0,) * 3)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        whole = tiny_split("image", "train", 20)
        part = TensorSplit(whole.inputs[seed : seed + 8], whole.targets[seed : seed + 8])
        return TrainingSplits(whole, part)


class UnstratifiedTask(TinyImages):
    """Validation has one class alone, and a shift has fewer items."""

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        whole = tiny_split("image", "train", 80)
        chosen = torch.zeros(80, dtype=torch.bool)
        chosen[seed * 4 : 40 : 4] = True
        return TrainingSplits(_part(whole, ~chosen), _part(whole, chosen))

    def shifts(self, root: Path | None) -> Shifts:
        return {"short": self._short}

    def _short(self) -> Split:
        return tiny_split("image", "test", 12)


def _part(split: TensorSplit, chosen: Tensor) -> TensorSplit:
    assert split.masks is not None
    return TensorSplit(split.inputs[chosen], split.targets[chosen], split.masks[chosen])


class MissingTask(TinyImages):
    """Its data is not there."""

    def facts(self, root: Path | None) -> Facts:
        raise UserError("put the data into DIR/missing")


class ReadingTask(TinyImages):
    """It reads two files, and does not say so."""

    def test(self, root: Path | None) -> TensorSplit:
        assert root is not None
        for name in ("a.txt", "deeper/b.txt"):
            (root / "own" / name).read_text()
        return tiny_split("image", "test", 24)

    def shifts(self, root: Path | None) -> Shifts:
        return {}


class NamingTask(ReadingTask):
    """It names both."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        assert root is not None
        return DataFiles(root / "own", ("a.txt", "deeper/b.txt"))


class HalfNamingTask(ReadingTask):
    """It names one of them."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        assert root is not None
        return DataFiles(root / "own", ("a.txt",))


class PlacedTask(ReadingTask):
    """It names them by where they lie."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        assert root is not None
        return DataFiles(root, (str(root / "own" / "a.txt"),))


class AbsentFileTask(ReadingTask):
    """It names one that is not there."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        assert root is not None
        return DataFiles(root / "own", ("a.txt", "deeper/b.txt", "c.txt"))


class OneContentTask(ReadingTask):
    """It says that its files can hold one thing only."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        return None


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own" / "deeper").mkdir(parents=True)
    for name in ("a.txt", "deeper/b.txt"):
        (tmp_path / "own" / name).write_text("1")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    return tmp_path


def test_files_that_are_read_are_named(root: Path, failures: Verdicts) -> None:
    def verdict(cls: type[Any]) -> str:
        return failures("tasks", cls).get("files_are_named", "")

    assert "reads 2 files" in verdict(ReadingTask)
    assert "does not name, such as" in verdict(HalfNamingTask)
    assert "b.txt" in verdict(HalfNamingTask)
    assert "names are below its folder" in verdict(PlacedTask)
    assert "c.txt, which is no file" in verdict(AbsentFileTask)
    for right in (NamingTask, OneContentTask, TinyImages):
        assert verdict(right) == ""


def test_bad_tasks_are_caught(failures: Verdicts) -> None:
    unseeded = failures("tasks", UnseededTask)
    assert "torch" in unseeded["random_state_is_untouched"]
    assert "same for every seed" in unseeded["split_for_tests_is_fixed"]
    assert "no-such-model" in unseeded["protocol_is_stated"]
    leaky = failures("tasks", LeakyTask)
    assert "in train as well" in leaky["splits_are_disjoint"]
    assert "classes 0 … 3" in leaky["batches_match_the_facts"]
    assert "stratified_split" in failures("tasks", UnstratifiedTask)["validation_is_stratified"]


def test_tasks_that_cannot_be_checked_are_skipped_with_the_reason(skips: Verdicts) -> None:
    assert "DIR/missing" in skips("tasks", MissingTask)["splits_are_disjoint"]
    assert "12 items" in skips("tasks", UnstratifiedTask)["shifts_line_up"]


def test_the_contracts_own_facts_are_those_of_its_data() -> None:
    for scale in (1, 2):
        split = tiny_split("cloud", "train", 2, scale)
        assert tiny_facts("cloud", scale).input_shape == tuple(split.inputs.shape[1:])
