"""Gaps and epochs to a target, from a log and splits that are written by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from reldrop_bench.data import Facts, TensorSplit, TrainingSplits
from reldrop_bench.evaluations.generalization import Generalization
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.task import Task


class Signs(Task):
    """The class is the sign of a pixel; a tenth of the training and a quarter of the test labels lie."""

    name = "signs"
    modalities = {"image"}
    default_model = "none"
    recipe = Recipe()

    def facts(self, root: Path | None) -> Facts:
        return Facts("image", ("minus", "plus"), (1, 1, 1), (0.0,), (1.0,))

    def _split(self, count: int, wrong: int) -> TensorSplit:
        targets = torch.arange(count) % 2
        inputs = (2.0 * targets - 1).view(-1, 1, 1, 1)
        targets = torch.where(torch.arange(count) < wrong, 1 - targets, targets)
        return TensorSplit(inputs, targets)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return TrainingSplits(self._split(40, 4), self._split(10, 0))

    def test(self, root: Path | None) -> TensorSplit:
        return self._split(40, 10)


def sign_reader() -> nn.Module:
    layer = nn.Linear(1, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer)


LOG = pd.DataFrame(
    {
        "epoch": [1, 2, 3, 4],
        "clean_train_accuracy": [0.5, 0.9, 1.0, 1.0],
        "validation_accuracy": [0.4, 0.8, 0.9, 0.85],
    }
)


def measured(context):
    record = Record()
    Generalization().evaluate(context, record)
    return record.frame(), {
        (note["split"], note["metric"]): note["reason"] for note in record.notes
    }


def test_the_final_gap_is_that_of_the_labels_that_lie(context_of):
    rows, _ = measured(context_of(sign_reader(), Signs(), recipe=Recipe(), epochs=LOG))
    found = rows[rows["table"] == "metric"].set_index("metric")["value"]
    assert found["train_accuracy"] == pytest.approx(0.9)
    assert found["accuracy_gap"] == pytest.approx(0.9 - 0.75)
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert found["train_loss"] == pytest.approx(0.9 * right + 0.1 * wrong)
    assert found["loss_gap"] == pytest.approx((0.25 - 0.1) * (wrong - right))


def test_the_log_gives_the_gap_over_epochs_and_the_epochs_to_a_target(context_of):
    rows, notes = measured(context_of(sign_reader(), Signs(), recipe=Recipe(), epochs=LOG))
    curve = rows[rows["table"] == "curve"]
    assert curve["x"].tolist() == [1, 2, 3, 4]
    assert curve["value"].tolist() == pytest.approx([0.1, 0.1, 0.1, 0.15])
    found = rows[rows["split"] == "validation"].set_index("metric")["value"]
    assert found["epochs_to_0.5"] == 2
    assert found["epochs_to_0.8"] == 2
    assert found["epochs_to_0.9"] == 3
    assert found["best_validation_epoch"] == 3
    assert "epochs_to_0.95" not in found
    assert notes["validation", "epochs_to_0.95"] == "never reached in 4 epochs (best 0.900)"


def test_what_is_not_known_is_noted(context_of):
    rows, notes = measured(context_of(sign_reader(), Signs()))
    assert rows.empty
    assert "not known what the model was trained on" in notes["test", "accuracy_gap"]
    log = LOG.assign(validation_accuracy=math.nan)
    rows, notes = measured(context_of(sign_reader(), Signs(), recipe=Recipe(), epochs=log))
    assert set(rows["split"]) == {"test"}
    assert notes["validation", "accuracy_gap"] == "the task has no validation items"
