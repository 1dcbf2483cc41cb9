"""Tiny random data, networks and an attributor: what plugins are checked on."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.kinds.attributor import Attributor, logit_gradient
from reldrop_bench.kinds.model import Model
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.task import Task
from reldrop_bench.seeding import global_seed, torch_generator

CLASSES, CUES = 4, 2
SHAPES = {"image": (3, 16, 16), "cloud": (3, 48)}
TRAIN, VALIDATION, TEST = 20, 8, 24


def tiny_facts(modality: str, scale: int = 1) -> Facts:
    """Return facts that offer everything, masks and cues; `scale`: times the usual side or points."""
    channels, *places = SHAPES[modality]
    return Facts(
        modality=modality,
        classes=tuple(f"class-{label}" for label in range(CLASSES)),
        input_shape=(channels, *(scale * count for count in places)),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        masks=True,
        cues=CUES,
    )


def tiny_split(modality: str, part: str, count: int, scale: int = 1) -> TensorSplit:
    """Return `count` random samples of balanced classes with masks of two parts."""
    shape = tiny_facts(modality, scale).input_shape
    generator = torch_generator("contract", modality, part)
    inputs = torch.randn((count, *shape), generator=generator)
    masks = torch.zeros((count, *shape[1:]), dtype=torch.uint8)
    quarter = shape[-1] // 4
    masks[..., :quarter], masks[..., quarter : 2 * quarter] = 1, 2
    return TensorSplit(inputs, torch.arange(count) % CLASSES, masks)


def tiny_batch(modality: str, count: int = 8, scale: int = 1) -> Batch:
    """Return a batch of `count` random samples with masks."""
    return tiny_split(modality, "batch", count, scale).batch(torch.arange(count))


class _TinyTask(Task):
    default_model = ""
    recipe = Recipe(epochs=2, batch_size=8, learning_rate=0.05)

    def facts(self, root: Path | None) -> Facts:
        return tiny_facts(self.modality)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return TrainingSplits(
            tiny_split(self.modality, "train", TRAIN),
            tiny_split(self.modality, "validation", VALIDATION),
        )

    def test(self, root: Path | None) -> TensorSplit:
        return tiny_split(self.modality, "test", TEST)

    def shifts(self, root: Path | None) -> Shifts:
        return {"removed-0": self._shifted, "removed-01": self._shifted}

    def _shifted(self) -> TensorSplit:
        test = self.test(None)
        return TensorSplit(test.inputs * 0.5, test.targets, test.masks)


class TinyImages(_TinyTask):
    """Random images."""

    name = "contract-images"
    modalities = {"image"}


class TinyClouds(_TinyTask):
    """Random clouds."""

    name = "contract-clouds"
    modalities = {"cloud"}


TASKS: dict[str, Callable[[], Task]] = {"image": TinyImages, "cloud": TinyClouds}


class TinyNetwork(Model):
    """Two convolutions with batch norm, pooling, dropout and a linear layer."""

    name = "contract-network"

    def build(self, facts: Facts) -> nn.Module:
        channels, *places = facts.input_shape
        image = len(places) == 2
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if image else (nn.Conv1d, nn.BatchNorm1d)
        width = 3 if image else 1
        return nn.Sequential(
            convolution(channels, 6, width, padding="same", bias=False),
            norm(6),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if image else []),
            convolution(6, 8, width, padding="same", bias=False),
            norm(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1) if image else nn.AdaptiveMaxPool1d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(8, len(facts.classes)),
        )


def tiny_model(modality: str, model: Model | None = None, scale: int = 1) -> nn.Module:
    """Return a network (of a model's) whose batch norms have seen data; with gradients in place.

    It is in training mode.
    """
    with global_seed("contract", "weights"):
        network = (model or TinyNetwork()).build(tiny_facts(modality, scale))
        for _ in range(3):
            loss = network(tiny_batch(modality, scale=scale).inputs).square().sum()
        loss.backward()
    return network


class TinyAttributor(Attributor):
    """Gradient times input: the cheapest map that depends on everything."""

    name = "contract-gradient"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return (logit_gradient(model, inputs, targets) * inputs).sum(1)


class Plain(Regularizer):
    """Training as it is, to compare with."""

    name = "contract-plain"
