"""The networks that the speed scripts time, with made-up data for them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, Shifts, TrainingSplits
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.registry import create
from reldrop_bench.seeding import global_seed


@dataclass(frozen=True)
class Network:
    """A model, its parameters and the data that it is timed on."""

    model: str
    facts: Facts
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> str:
        return "x".join(map(str, self.facts.input_shape))


def images(side: int) -> Facts:
    return Facts("image", tuple("0123456789"), (3, side, side), (0.5,) * 3, (0.25,) * 3)


CLOUDS = Facts("cloud", tuple(map(str, range(40))), (3, 1024), (0.0,) * 3, (1.0,) * 3)
NETWORKS = {
    "small-cnn": Network("small-cnn", images(24)),
    "resnet18": Network("resnet18", images(32)),
    "resnet50": Network("resnet50", images(64)),
    "pointnet": Network("pointnet", CLOUDS),
    "pointnet-transforms": Network("pointnet", CLOUDS, {"transforms": True}),
}


def build(
    name: str, batch: int, device: torch.device | str = "cpu"
) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network, a batch for it and targets."""
    network = NETWORKS[name]
    shape = network.facts.input_shape
    with global_seed("speed"), torch.no_grad():
        model: nn.Module = create("models", network.model, network.parameters).build(network.facts)
        for parameter in model.parameters():  # those that start at zero would hide a part
            parameter.add_(0.01 * torch.randn_like(parameter))
        for _ in range(20):  # batch norm's statistics as of a network in training
            model.train()(torch.randn(16, *shape))
        inputs = torch.randn(batch, *shape)
        targets = torch.randint(len(network.facts.classes), (batch,))
    return model.to(device), inputs.to(device), targets.to(device)


@functools.cache
def random_inputs(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(512, *shape, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class RandomSplit:
    """A split of any length with masks, whose inputs are made when they are asked for."""

    facts: Facts
    count: int

    @property
    def targets(self) -> Tensor:
        return torch.arange(self.count) % len(self.facts.classes)

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Tensor) -> Batch:
        some = random_inputs(self.facts.input_shape)
        inputs = some[indices % len(some)]
        masks = (inputs[:, 0] > 0.5).to(torch.uint8)
        return Batch(inputs, indices % len(self.facts.classes), masks)


class RandomTask(Task):
    """Random inputs with a region of interest; it can be evaluated, not trained."""

    name = "random-inputs"
    default_model = "none"
    recipe = Recipe()

    split: Any = field(default=None, compare=False)

    def facts(self, root: Path | None) -> Facts:
        return self.split.facts

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        raise AssertionError("nothing is trained")

    def test(self, root: Path | None) -> RandomSplit:
        return self.split

    def shifts(self, root: Path | None) -> Shifts:
        return {}


def context_of(
    model: nn.Module,
    facts: Facts,
    count: int,
    method: str,
    progress: Callable[[str], None] = lambda stage: None,
) -> Context:
    """Return what evaluations are given: a model, `count` random samples, an attribution method."""
    facts = replace(facts, masks=True)
    attributor = create("attributors", method)
    context = Context(
        model=model.eval(),
        task=RandomTask(split=RandomSplit(facts, count)),
        facts=facts,
        root=None,
        regularizer=create("regularizers", "none"),
        attributor=attributor,
        training_attributor=attributor,
        seed=0,
        progress=progress,
    )
    context.companions = {"reference": lambda: context}
    return context
