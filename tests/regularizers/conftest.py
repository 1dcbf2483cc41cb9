"""A network with every state that explaining could disturb, and attributors of known answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.attributors.gradient import GradientTimesInput
from reldrop_bench.data import Batch, Facts
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.step import Step

IMAGE = Facts("image", ("a", "b", "c"), (3, 32, 32), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
CLOUD = Facts("cloud", ("a", "b", "c"), (3, 128), (0.0,) * 3, (1.0,) * 3)


class FirstChannel(Attributor):
    """Relevance is the input's first channel: a test chooses the map by choosing the input."""

    name = "first-channel"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return inputs[:, 0].clone()


def network(facts: Facts) -> nn.Module:
    image = facts.modality == "image"
    convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if image else (nn.Conv1d, nn.BatchNorm1d)
    pool = nn.AdaptiveAvgPool2d(1) if image else nn.AdaptiveMaxPool1d(1)
    first = convolution(facts.input_shape[0], 4, 1)
    return nn.Sequential(
        first, norm(4), nn.ReLU(), pool, nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)
    )


@pytest.fixture
def make_step() -> Callable[..., Step]:
    """Return a step for "image" or "cloud": `make_step(modality, seed=0, real=False)`."""

    def make(modality: str, seed: int = 0, real: bool = False) -> Step:
        facts = IMAGE if modality == "image" else CLOUD
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = network(facts)
        attributor = GradientTimesInput() if real else FirstChannel()
        return Step(model, facts, torch.Generator().manual_seed(seed), attributor)

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """Return a random batch: `make_batch(modality, count)`."""

    def make(modality: str, count: int, seed: int = 1) -> Batch:
        facts = IMAGE if modality == "image" else CLOUD
        g = torch.Generator().manual_seed(seed)
        inputs = torch.randn(count, *facts.input_shape, generator=g)
        return Batch(inputs, torch.randint(3, (count,), generator=g))

    return make
