"""ResNets: torchvision's networks, with a stem that leaves something of a small image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34, resnet50

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError
from reldrop_bench.models.resnet import ResNet, ResNet18, ResNet34, ResNet50


def facts(channels: int, side: int) -> Facts:
    shape = (channels, side, side)
    return Facts("image", ("a", "b", "c"), shape, mean=(0.0,) * channels, std=(1.0,) * channels)


@pytest.mark.parametrize(
    ("stem", "channels", "side", "feature_side"),
    [
        ("auto", 3, 32, 32),
        ("auto", 1, 8, 8),
        ("auto", 1, 63, 63),
        ("auto", 3, 64, 16),
        ("auto", 1, 64, 16),
        ("small", 3, 64, 64),
        ("imagenet", 3, 32, 8),
    ],
)
def test_stem_fits_the_image(stem: str, channels: int, side: int, feature_side: int) -> None:
    network = ResNet18.create({"stem": stem}).build(facts(channels, side)).eval()
    images = torch.randn(1, channels, side, side)
    assert network.maxpool(network.conv1(images)).shape[-1] == feature_side
    if side < 64:
        assert network(images).shape == (1, 3)


MODELS: list[tuple[type[ResNet], Callable[..., nn.Module]]] = [
    (ResNet18, resnet18),
    (ResNet34, resnet34),
    (ResNet50, resnet50),
]


@pytest.mark.parametrize(("model", "torchvisions"), MODELS)
def test_the_imagenet_stem_is_torchvisions_own_network(
    model: type[ResNet], torchvisions: Callable[..., nn.Module]
) -> None:
    network = model.create({"stem": "imagenet"}).build(facts(3, 224)).eval()
    reference = torchvisions(num_classes=3).eval()
    reference.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images), reference(images))


@pytest.mark.parametrize(("model", "torchvisions"), MODELS)
def test_the_small_stem_is_all_that_differs(
    model: type[ResNet], torchvisions: Callable[..., nn.Module]
) -> None:
    """Behind the stem, a small image goes through torchvision's blocks."""
    network = model().build(facts(1, 8)).eval()
    reference = torchvisions(num_classes=3).eval()
    stem = {"conv1.weight"}
    missing = reference.load_state_dict(
        {name: each for name, each in network.state_dict().items() if name not in stem},
        strict=False,
    )
    assert set(missing.missing_keys) == stem
    reference.conv1, reference.maxpool = network.conv1, nn.Identity()
    images = torch.randn(2, 1, 8, 8)
    assert network(images).shape == (2, 3)
    assert torch.equal(network(images), reference(images))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_new_stem_starts_as_torchvisions_would(channels: int) -> None:
    weight = ResNet18().build(facts(channels, 32)).conv1.weight
    assert isinstance(weight, nn.Parameter)
    # He initialisation over the fan out: a standard deviation of sqrt(2 / (3 * 3 * 64)).
    assert weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.15)


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(UserError, match="stem"):
        ResNet18.create({"stem": "large"})
