"""Tasks that break their contract are caught, each with advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reldrop_bench.checking.tiny import TinyImages, tiny_facts, tiny_split
from reldrop_bench.data import Facts, Shifts, Split, TensorSplit, TrainingSplits
from reldrop_bench.errors import UserError

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
