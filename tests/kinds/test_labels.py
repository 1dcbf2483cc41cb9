"""Targets: one class a sample wherever they come in, or one line that says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import densenet121

from reldrop_bench import UserError, explain, regularizer
from reldrop_bench.data import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.kinds.attributor import NoLogitsError
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.labels import LabelError, check_split, class_labels
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.plugins.registry import create
from reldrop_bench.running.training import train

METHODS = [
    "lrp-epsilon-plus-flat",
    "lrp-epsilon-plus-flat@zennit",
    "gradient-x-input",
    "loss-gradient-x-input",
]
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FACTS = Facts("image", ("a", "b", "c"), (3, 8, 8), (0.0,) * 3, (1.0,) * 3)


def network(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
    )


WRONG: dict[str, tuple[Any, str]] = {
    "list": ([0, 1, 2, 0], "a tensor, not list: use torch.as_tensor"),
    "numpy": (np.array([0, 1, 2, 0]), "a tensor, not ndarray: use torch.as_tensor"),
    "negative": (torch.tensor([0, 1, -1, 0]), "class is -1; allowed: 0"),
    "ignored by the loss": (torch.tensor([0, 1, -100, 0]), "class is -100; allowed: 0"),
    "column": (torch.tensor([[0], [1], [2], [0]]), r"shape \(4, 1\), not \(4,\): use targets.squeeze"),
    "multi-hot": (torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]]), r"shape \(4, 3\).*argmax"),
    "too few": (torch.tensor([0, 1, 2]), r"4 inputs need as many target classes, not .* \(3,\)"),
    "fractions": (torch.tensor([0.0, 1.0, 2.0, 0.0]), "integers, not torch.float32: use targets.long"),
    "truth values": (torch.tensor([True, False, True, False]), "integers, not torch.bool"),
}  # fmt: skip
TOO_HIGH = {"too high": (torch.tensor([0, 1, 3, 0]), "class is 3; allowed: 0 to 2")}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("targets", "message"), (WRONG | TOO_HIGH).values(), ids=WRONG | TOO_HIGH)
def test_explain_refuses_wrong_targets(targets: Any, message: str, method: str) -> None:
    for batch_size in (None, 2):
        with pytest.raises(UserError, match=message) as refusal:
            explain(network(), IMAGES, targets, method, batch_size=batch_size)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["mixup", "reldrop-block", "cutout"])
@pytest.mark.parametrize(("targets", "message"), (WRONG | TOO_HIGH).values(), ids=WRONG | TOO_HIGH)
def test_apply_refuses_wrong_targets(targets: Any, message: str, name: str) -> None:
    if np.shape(targets) == (4, 3):
        message = "shares of classes"  # soft targets are allowed there
    with pytest.raises(UserError, match=message):
        regularizer(name).apply(network(), IMAGES, targets)


@pytest.mark.parametrize("kind", [torch.int32, torch.int16, torch.uint8], ids=str)
def test_any_integer_type_is_as_int64(kind: torch.dtype) -> None:
    targets = torch.tensor([0, 1, 2, 0])
    assert torch.equal(class_labels(targets.to(kind), 4, 3), targets)
    maps = [explain(network(), IMAGES, each) for each in (targets, targets.to(kind))]
    assert torch.equal(*maps)
    mixed = []
    for each in (targets, targets.to(kind)):
        torch.manual_seed(0)
        mixed.append(regularizer("mixup").apply(network(), IMAGES, each))
    assert torch.equal(mixed[0][1], mixed[1][1])


def test_soft_targets_go_through_apply() -> None:
    soft = torch.softmax(torch.randn(4, 3), 1)
    _, targets = regularizer("cutout").apply(network(), IMAGES, soft)
    assert torch.equal(targets, soft)


def test_one_hot_integers_give_the_loss_of_their_classes() -> None:
    model, classes = network(), torch.tensor([0, 1, 2, 0])
    images, targets = regularizer("cutout").apply(model, IMAGES, nn.functional.one_hot(classes, 3))
    cross_entropy = nn.functional.cross_entropy
    assert torch.allclose(
        cross_entropy(model(images), targets), cross_entropy(model(images), classes)
    )


class Returns(nn.Module):
    def __init__(self, outputs: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.model, self.outputs = network(), outputs

    def forward(self, images: Tensor) -> object:
        return self.outputs(self.model(images))


OUTPUTS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "tuple": (lambda logits: (logits, logits), "returns a tuple, not logits"),
    "dictionary": (lambda logits: {"out": logits}, "returns a dict, not logits"),
    "one logit": (lambda logits: logits[:, :1], "single logit"),
    "a logit without classes": (lambda logits: logits[:, 0], r"shape \(4,\) for 4 inputs"),
    "dense": (
        lambda logits: logits[:, :, None, None].expand(-1, -1, 5, 5),
        r"shape \(4, 3, 5, 5\)",
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("outputs", "message"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_a_model_without_logits_is_refused(
    outputs: Callable[[Tensor], object], message: str, method: str
) -> None:
    with pytest.raises(
        NoLogitsError, match=f"{method}: the model .*{message}.*wrap it in a module"
    ):
        explain(Returns(outputs), IMAGES, torch.tensor([0, 1, 2, 0]), method)


@pytest.mark.parametrize("method", METHODS)
def test_checkpointing_changes_no_map(method: str) -> None:
    """torchvision's memory-efficient DenseNet against the same weights without checkpoints."""
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([0, 2])
    maps = []
    for efficient in (False, True):
        torch.manual_seed(0)
        model = densenet121(num_classes=3, memory_efficient=efficient)
        maps.append(explain(model, images, targets, method))
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-3, atol=1e-6)


def test_label_error_is_a_value_error_too() -> None:
    assert issubclass(LabelError, ValueError)


@pytest.mark.parametrize(("targets", "message"), (WRONG | TOO_HIGH).values(), ids=WRONG | TOO_HIGH)
def test_a_split_with_wrong_targets_is_refused_by_name(targets: Tensor, message: str) -> None:
    split = TensorSplit(IMAGES[: len(targets)], targets)
    if len(targets) == 3:  # a split cannot know how many there should be
        assert check_split("task mine, train", split, 3) is split
        return
    with pytest.raises(LabelError, match=f"^task mine, train: .*{message}"):
        check_split("task mine, train", split, 3)
    with pytest.raises(LabelError, match="not int64"):
        check_split("task mine, train", TensorSplit(IMAGES, torch.tensor([0, 1, 2, 0]).int()), 3)


def test_training_refuses_a_task_with_wrong_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"name": "one", "tasks": ["digits"], "regularizers": ["none"], "seeds": 1}
    cell = expand(load_spec(spec)).cells[0]
    task = type(cell.task.plugin)
    usual = task.splits

    def from_one(self: Task, root: Path | None, seed: int) -> TrainingSplits:
        train, validation = usual(self, root, seed)
        indices = torch.arange(20)
        batch = train.batch(indices)
        return TrainingSplits(TensorSplit(batch.inputs, batch.targets - 1), validation)

    monkeypatch.setattr(task, "splits", from_one)
    with pytest.raises(
        LabelError, match="task digits, train: a target class is -1; allowed: 0 to 9"
    ):
        train(cell, None)


@pytest.mark.parametrize(("targets", "message"), WRONG.values(), ids=WRONG)
def test_a_shifted_set_with_wrong_targets_is_refused_by_name_when_it_is_opened(
    targets: Tensor, message: str
) -> None:
    class Shifted(Task):
        """A task whose shifted sets have other labels."""

        name = "shifted-labels"
        default_model = "small-cnn"
        recipe = Recipe()

        def facts(self, root: Path | None) -> Facts:
            return FACTS

        def splits(self, root: Path | None, seed: int) -> TrainingSplits:
            raise AssertionError("evaluation opens no training data")

        def test(self, root: Path | None) -> TensorSplit:
            return TensorSplit(IMAGES, torch.tensor([0, 1, 2, 0]))

        def shifts(self, root: Path | None) -> Shifts:
            wrong = TensorSplit(IMAGES[: len(targets)], targets)
            return {"right": lambda: self.test(root), "wrong": lambda: wrong}

    context = Context(
        model=network(),
        task=Shifted(),
        facts=FACTS,
        root=None,
        regularizer=regularizer("none"),
        attributor=create("attributors", METHODS[0]),
        training_attributor=create("attributors", METHODS[0]),
        seed=0,
    )
    assert len(context.shifts["right"]()) == 4
    if len(targets) == 3:  # a split cannot know how many there should be
        return
    with pytest.raises(LabelError, match=f"task shifted-labels, wrong: .*{message}"):
        context.shifts["wrong"]()
