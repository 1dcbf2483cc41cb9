"""The small CNN: any small image in, logits out; batch norm right behind its convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError
from reldrop_bench.models.small_cnn import SmallCNN


def facts(channels: int, height: int, width: int, classes: int = 5) -> Facts:
    names = tuple(str(index) for index in range(classes))
    shape = (channels, height, width)
    return Facts("image", names, shape, mean=(0.0,) * channels, std=(1.0,) * channels)


@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (1, 24, 24), (3, 24, 24), (3, 32, 32), (1, 3, 9), (1, 1, 1)]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_logits_for_any_image(shape: tuple[int, int, int], batch: int) -> None:
    network = SmallCNN(width=4).build(facts(*shape)).eval()
    assert network(torch.randn(batch, *shape)).shape == (batch, 5)


@pytest.mark.parametrize("depth", [1, 2, 5, 7])
def test_depth_and_width_are_those_asked_for(depth: int) -> None:
    network = SmallCNN(width=6, depth=depth).build(facts(1, 8, 8))
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) == depth
    assert convolutions[0].out_channels == 6


def test_every_batch_norm_follows_a_convolution() -> None:
    layers = list(SmallCNN().build(facts(1, 24, 24)).children())
    behind = [layers[i - 1] for i, each in enumerate(layers) if isinstance(each, nn.BatchNorm2d)]
    assert len(behind) == 5
    assert all(isinstance(each, nn.Conv2d) for each in behind)


def test_weights_come_from_the_global_generator() -> None:
    torch.manual_seed(3)
    first = SmallCNN().build(facts(1, 8, 8)).state_dict()
    torch.manual_seed(3)
    second = SmallCNN().build(facts(1, 8, 8)).state_dict()
    third = SmallCNN().build(facts(1, 8, 8)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_it_learns() -> None:
    torch.manual_seed(0)
    network = SmallCNN(width=4).build(facts(1, 8, 8, classes=2))
    targets = torch.arange(64) % 2
    images = torch.randn(64, 1, 8, 8) + targets[:, None, None, None]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_a_width_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="width"):
        SmallCNN(width=0)
