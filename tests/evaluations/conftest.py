"""A tiny task with four redundant cues, whose right answers can be told by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.task import Task

CUES, LABELS = 4, 4


class Glyphs(Task):
    """6x6 images; cue k of class c is one bright pixel, number c of a 2x2 square in quadrant k.

    There is a fifth class that no item has, so that a model can be wrong about every item.
    """

    name = "tiny-glyphs"
    modalities = {"image"}
    default_model = "none"
    recipe = Recipe()

    count: int = 120
    scale: int = 1
    """Side of a pixel: the image is 6 * scale wide."""

    def facts(self, root: Path | None) -> Facts:
        return Facts(
            modality="image",
            classes=tuple("abcde"),
            input_shape=(1, 6 * self.scale, 6 * self.scale),
            mean=(0.0,),
            std=(1.0,),
            masks=True,
            cues=CUES,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        raise AssertionError("evaluation opens no training data")

    def test(self, root: Path | None) -> TensorSplit:
        return self._make(())

    def shifts(self, root: Path | None) -> Shifts:
        subsets = [c for n in range(1, CUES + 1) for c in itertools.combinations(range(CUES), n)]
        return {
            "removed-" + "".join(map(str, cues)): partial(self._make, cues) for cues in subsets
        } | {"mirrored": self._mirrored}

    def _make(self, removed: tuple[int, ...]) -> TensorSplit:
        targets = torch.arange(self.count) % LABELS
        cues = nn.functional.one_hot(targets, LABELS).view(-1, 1, 2, 2)
        images, masks = torch.zeros(self.count, 6, 6), torch.zeros(6, 6, dtype=torch.uint8)
        for cue, (row, column) in enumerate(((0, 0), (0, 3), (3, 0), (3, 3))):
            place = (..., slice(row, row + 2), slice(column, column + 2))
            masks[place] = cue + 1
            if cue not in removed:
                images[place] = cues[:, 0].float()
        block = torch.ones(self.scale, self.scale)
        inputs = torch.kron(images, block).unsqueeze(1)
        parts = torch.kron(masks, block.to(torch.uint8)).expand(self.count, -1, -1).clone()
        return TensorSplit(inputs, targets, parts)

    def _mirrored(self) -> TensorSplit:
        clean = self._make(())
        return TensorSplit(clean.inputs.flip(-1), clean.targets, clean.masks)


class Clouds(Task):
    """Clouds of 20 points without masks, cues or shifts; the class is the sign of x."""

    name = "tiny-clouds"
    modalities = {"cloud"}
    default_model = "none"
    recipe = Recipe()

    def facts(self, root: Path | None) -> Facts:
        return Facts("cloud", ("left", "right"), (3, 20), (0.0,) * 3, (1.0,) * 3)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        raise AssertionError("evaluation opens no training data")

    def test(self, root: Path | None) -> TensorSplit:
        targets = torch.arange(30) % 2
        clouds = torch.randn(30, 3, 20, generator=torch.Generator().manual_seed(0))
        clouds[:, 0] += 10.0 * (2 * targets[:, None] - 1)
        return TensorSplit(clouds, targets)


class GradientTimesInput(Attributor):
    """The oracle: exact for a linear model."""

    name = "oracle"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        inputs = inputs.detach().requires_grad_()
        logit = model(inputs).gather(1, targets[:, None]).sum()
        return (torch.autograd.grad(logit, inputs)[0] * inputs).detach().sum(1)


class Nothing(Regularizer):
    """Changes nothing."""

    name = "nothing"


class CueReader(nn.Module):
    """Adds up the pixels of the class in the quadrants that it looks at; nothing there: class 4."""

    def __init__(self, cues: tuple[int, ...], scale: int = 1) -> None:
        super().__init__()
        weight = torch.zeros(5, 6, 6)
        for cue, label in itertools.product(cues, range(LABELS)):
            row, column = 3 * (cue // 2) + label // 2, 3 * (cue % 2) + label % 2
            weight[label, row, column] = 1
        self.linear = nn.Linear(36 * scale**2, 5)
        with torch.no_grad():
            self.linear.weight.copy_(torch.kron(weight, torch.ones(scale, scale)).flatten(1))
            self.linear.bias.copy_(torch.tensor([0.0, 0, 0, 0, 0.5]))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs.flatten(1))


@pytest.fixture
def glyphs() -> Callable[..., Task]:
    return Glyphs


@pytest.fixture
def clouds() -> Callable[..., Task]:
    return Clouds


@pytest.fixture
def cue_reader() -> Callable[..., nn.Module]:
    return CueReader


def make_context(model: nn.Module, task: Task | None = None, **fields: Any) -> Context:
    """Put a model into a context; keywords are the context's fields."""
    task = task or Glyphs()
    known = {
        "regularizer": Nothing(),
        "attributor": GradientTimesInput(),
        "training_attributor": fields.get("attributor", GradientTimesInput()),
        "seed": 0,
        "root": None,
    } | fields
    return Context(model=model.eval(), task=task, facts=task.facts(None), **known)


@pytest.fixture(scope="session")
def context_of() -> Callable[..., Context]:
    """Return `make_context`."""
    return make_context


@pytest.fixture
def measure() -> Callable[[Evaluation, Context], Any]:
    """Return a function that runs an evaluation and returns its rows."""

    def run(evaluation: Evaluation, context: Context) -> Any:
        record = Record()
        evaluation.evaluate(context, record)
        return record.frame()

    return run
