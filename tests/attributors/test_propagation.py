"""Whole networks: sums, branches, pools, transforms and neighbourhoods as stock zennit has them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus
from reldrop_bench.kinds.model import Routing
from reldrop_bench.models.pointnet import PointNetwork, strongest
from reldrop_bench.models.pointnet import TransformNet as LearnedTransform

CLASSES = 3
RULES = {
    "epsilon": Rules(Epsilon(1e-3), Epsilon(1e-3), first=Flat()),
    "z-plus": Rules(ZPlus(), Epsilon(), first=Flat()),
    "gamma": Rules(Gamma(), Epsilon(), first=ZBox()),
    "alpha-beta": Rules(AlphaBeta(), Epsilon()),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "GELU": nn.GELU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
}


class Addition(nn.Module):
    """A sum of two activations, as a module that the reference can replace."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


def conv(inputs: int, outputs: int, kernel: int = 3, **settings: Any) -> nn.Sequential:
    """Make a convolution that keeps the places, with batch norm."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **settings)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


class Residual(nn.Module):
    """Two blocks, the second with a convolution in its shortcut; sums are `total` modules."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv(2, 4, bias=False), activation())
        self.within = nn.Sequential(*conv(4, 4, bias=False), activation(), *conv(4, 4))
        self.total = Addition()
        self.act = activation()
        self.strided = nn.Sequential(*conv(4, 6, stride=2), activation(), *conv(6, 6))
        self.shortcut = conv(4, 6, 1, stride=2)
        self.last_total = Addition()
        self.last_act = activation()
        self.head = head(6)

    def forward(self, images: Tensor) -> Tensor:
        values = self.stem(images)
        values = self.act(self.total(values, self.within(values)))
        values = self.last_total(self.shortcut(values), self.strided(values))
        return self.head(self.last_act(values))


class Branches(nn.Module):
    """Two layers that read the input, side by side with the pooled input, then one for all."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.narrow = nn.Sequential(*conv(2, 3, 1), activation())
        self.wide = nn.Sequential(*conv(2, 3, 3, bias=False), activation())
        self.pool = nn.AvgPool2d(3, 1, 1)
        self.joint = nn.Sequential(*conv(8, 6), activation(), nn.MaxPool2d(2))
        self.head = head(6)

    def forward(self, images: Tensor) -> Tensor:
        branches = [self.narrow(images), self.wide(images), self.pool(images)]
        return self.head(self.joint(torch.cat(branches, dim=1)))


class Shared(nn.Module):
    """A convolution whose output is read twice: by an activation, and by a sum as it is."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first = nn.Sequential(*conv(2, 4), nn.Tanh(), *conv(4, 4))
        self.act = activation()
        self.total = Addition()
        self.last = nn.Sequential(*conv(4, 4), nn.ReLU())
        self.head = head(4)

    def forward(self, images: Tensor) -> Tensor:
        values = self.first(images)
        # A copy, since an activation in place would change what the sum reads.
        return self.head(self.last(self.total(self.act(values.clone()), values)))


class Neighbours(Routing):
    """Each point's nearest ones, less the point itself: (B, C, N) → (B, C, N, k)."""

    def __init__(self, count: int = 4) -> None:
        super().__init__()
        self.count = count

    def forward(self, points: Tensor) -> Tensor:
        batch, channels, places = points.shape
        places_by_distance = torch.cdist(points.detach().mT, points.detach().mT).argsort(2)
        nearest = places_by_distance[:, :, : self.count].reshape(batch, 1, -1)
        found = points.gather(2, nearest.expand(-1, channels, -1))
        return found.view(batch, channels, places, self.count) - points.detach()[..., None]


class Neighbourhoods(nn.Module):
    """A small network of the PointNet++ kind: shared layers and maxima, over neighbours and points."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.group = Neighbours()
        self.local = nn.Sequential(*conv(3, 6, 1, bias=False), activation(), *conv(6, 6, 1))
        self.act = activation()
        self.points = nn.Sequential(nn.Conv1d(6, 8, 1, bias=False), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, CLASSES)

    def forward(self, points: Tensor) -> Tensor:
        around = torch.max(self.act(self.local(self.group(points))), dim=3).values
        return self.head(strongest(self.points(around)))


class Mixed(nn.Module):
    """Layers of all dimensions one after the other, with every kind of pool."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.places = nn.Sequential(
            nn.AvgPool2d(2, 1),  # before the first layer, which therefore does not read the input
            *conv(2, 6, groups=2),
            activation(),
            nn.MaxPool2d(3, 2, 1),
            *conv(6, 6, dilation=1, groups=3, bias=False),
            activation(),
            nn.Dropout2d(0.5),
            nn.AdaptiveMaxPool2d((3, 4)),
            nn.Flatten(2),
        )
        self.line = nn.Sequential(
            nn.Conv1d(6, 8, 3, stride=2, padding=1), nn.BatchNorm1d(8), activation()
        )
        self.dense = nn.Sequential(
            nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(16, 8, bias=False),
            nn.BatchNorm1d(8), activation(), nn.Linear(8, CLASSES),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.dense(self.line(self.places(images)))


class Early(nn.Module):
    """A sum and a ReLU before the first layer, whose rule has relevance for inputs of zero."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.bend, self.total, self.relu = nn.Tanh(), Addition(), nn.ReLU()
        self.layers = nn.Sequential(*conv(2, 4), activation(), *conv(4, 4), nn.ReLU())
        self.head = head(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.layers(self.relu(self.total(images, self.bend(images)))))


class Aligned(PointNetwork):
    """PointNet with transform nets whose matrices are far from the identity."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__(6, CLASSES, width=0.1, transforms=True, dropout=0.3)
        for module in self.modules():
            if isinstance(module, LearnedTransform):
                nn.init.normal_(module.offset.weight, std=0.5)
        self.first[2] = activation()


@dataclass(frozen=True)
class Network:
    """A network under test, and what the reference has to know of it."""

    build: Callable[[Callable[[], nn.Module]], nn.Module]
    shape: tuple[int, ...]
    first: tuple[str, ...]
    """The layers that read the input."""
    sums: tuple[str, ...] = ()


NETWORKS = {
    "residual": Network(Residual, (2, 7, 7), ("stem.0",), ("total", "last_total")),
    "branches": Network(Branches, (2, 6, 6), ("narrow.0", "wide.0")),
    "shared": Network(Shared, (2, 6, 6), ("first.0",), ("total",)),
    "early": Network(Early, (2, 6, 6), ("layers.0",), ("total",)),
    "neighbourhoods": Network(Neighbourhoods, (3, 12), ("local.0",)),
    "mixed": Network(Mixed, (2, 9, 10), ("places.1",)),
    "aligned": Network(Aligned, (6, 12), ("first.0",)),
}


def settle(network: nn.Module, shape: tuple[int, ...], steps: int) -> nn.Module:
    """Train for a few steps, and return the network in evaluation mode and double precision."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for step in range(steps):
        logits = network(torch.randn(6, *shape) + step)
        F.cross_entropy(logits, torch.arange(6) % CLASSES).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network.double().eval()


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
@given(
    activation=st.sampled_from(list(ACTIVATIONS)),
    steps=st.sampled_from([0, 3]),
    batch=st.integers(1, 3),
    inputs=st.sampled_from(["random", "negative", "non-negative", "constant", "zero"]),
    highest=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_networks_equal_stock_zennit(
    network: Network,
    rules: Rules,
    activation: str,
    steps: int,
    batch: int,
    inputs: str,
    highest: bool,
    seed: int,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    torch.manual_seed(seed)
    model = settle(network.build(ACTIVATIONS[activation]), network.shape, steps)
    noise = torch.randn(batch, *network.shape, dtype=torch.float64)
    values = {
        "random": noise,
        "negative": -noise.abs(),
        "non-negative": noise.relu(),
        "constant": torch.full_like(noise, 0.7),
        "zero": torch.zeros_like(noise),
    }[inputs]
    logits = model(values).detach()
    targets = logits.argmax(1) if highest else logits.argmin(1)
    relevance = propagate(rules, model, values, targets)
    expected = stock_zennit(rules, model, values, targets, network.first, network.sums)
    if inputs in ("constant", "zero"):
        # Places are alike, and rounding decides which of them a maximum takes.
        relevance, expected = relevance.flatten(1).sum(1), expected.flatten(1).sum(1)
    assert deviation(relevance, expected, logits.gather(1, targets[:, None])) < 1e-8


class Written(nn.Module):
    """One network, written in as many ways as there are of `relu`, `add`, `pool` and `flatten`."""

    def __init__(
        self,
        relu: Callable[[Tensor], Tensor] | None = None,
        add: Callable[[Tensor, Tensor], Tensor] | None = None,
        pool: Callable[[Tensor], Tensor] | None = None,
        average: Callable[[Tensor], Tensor] | None = None,
        flatten: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = conv(2, 4), conv(4, 4), conv(4, 4)
        self.linear = nn.Linear(4, CLASSES)
        self.relu, self.add = relu or nn.ReLU(), add or Addition()
        self.pool, self.average = pool or nn.MaxPool2d(2), average or nn.AdaptiveAvgPool2d(1)
        self.flatten = flatten or nn.Flatten()

    def forward(self, images: Tensor) -> Tensor:
        values = self.relu(self.first(images))
        values = self.pool(self.relu(self.add(values, self.second(values))))
        return self.linear(self.flatten(self.average(self.relu(self.third(values)))))


def in_place(first: Tensor, second: Tensor) -> Tensor:
    first += second
    return first


WAYS: dict[str, dict[str, Callable[..., Tensor]]] = {
    "F.relu": {"relu": F.relu},
    "F.relu in place": {"relu": lambda values: F.relu(values, inplace=True)},
    "torch.relu": {"relu": torch.relu},
    ".relu()": {"relu": lambda values: values.relu()},
    "torch.add": {"add": torch.add},
    "+=": {"add": lambda first, second: in_place(second, first)},
    "torch.add by keyword": {"add": lambda first, second: torch.add(first, other=second)},
    ".add()": {"add": lambda first, second: first.add(second)},
    "sum of a stack": {"add": lambda *terms: torch.stack(terms).sum(0)},
    "F.max_pool2d": {"pool": lambda values: F.max_pool2d(values, 2)},
    "F.avg_pool2d": {"average": lambda values: F.avg_pool2d(values, 3)},
    ".mean()": {"average": lambda values: values.mean((2, 3), keepdim=True)},
    "torch.mean": {"average": lambda values: torch.mean(values, (2, 3))},
    "F.adaptive_avg_pool2d": {"average": lambda values: F.adaptive_avg_pool2d(values, 1)},
    "torch.flatten": {"flatten": lambda values: torch.flatten(values, 1)},
    ".flatten()": {"flatten": lambda values: values.flatten(1)},
    ".view()": {"flatten": lambda values: values.view(values.size(0), -1)},
    ".reshape()": {"flatten": lambda values: values.reshape(values.shape[0], 4)},
    ".squeeze()": {"flatten": lambda values: values.squeeze(3).squeeze(2)},
    "a constant": {"flatten": lambda values: torch.flatten(2 * values / 2, 1)},
    "[:, :]": {"flatten": lambda values: values[:, :, 0, 0]},
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_function_is_what_its_module_is(
    way: dict[str, Callable[..., Tensor]], rules: Rules
) -> None:
    model, written = (settle(each, (2, 6, 6), 0) for each in (Written(), Written(**way)))
    images, targets = torch.randn(3, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2])
    torch.testing.assert_close(written(images), model(images))
    expected = propagate(rules, model, images, targets)
    relevance = propagate(rules, written, images, targets)
    torch.testing.assert_close(relevance, expected, rtol=1e-6, atol=1e-12)


class Repeated(nn.Module):
    """The same modules several times over, or copies of them."""

    def __init__(self, copies: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.tail = conv(2, 4), head(4)
        block = nn.Sequential(*conv(4, 4), nn.ReLU())
        self.blocks = nn.ModuleList([block, *[copy.deepcopy(block) if copies else block] * 1])

    def forward(self, images: Tensor) -> Tensor:
        values = F.gelu(self.first(images))
        for block in self.blocks:
            values = block(values)
        return self.tail(values)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
def test_modules_called_twice_are_as_their_copies(rules: Rules) -> None:
    once, twice = (settle(Repeated(copies), (2, 6, 6), 0) for copies in (True, False))
    images, targets = torch.randn(3, 2, 6, 6, dtype=torch.float64), torch.tensor([0, 1, 2])
    relevance = propagate(rules, twice, images, targets)
    assert torch.equal(relevance, propagate(rules, once, images, targets))


def test_a_sum_is_shared_in_proportion_and_broadcast() -> None:
    """Known answer: 1 + 3 and 1 - 2 share 4 and -1 as 1 : 3 and 1 : -2."""

    class Sum(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return (values[:, :, :1] + values[:, :, 1:]).flatten(1)

    values = torch.tensor([[[1.0, 3.0, -2.0]]]).expand(2, 1, 3)
    relevance = propagate(RULES["epsilon"], Sum(), values, torch.tensor([0, 1]))
    torch.testing.assert_close(relevance, torch.tensor([[1.0, 3.0, 0.0], [1.0, 0.0, -2.0]]))


class TwoStages(nn.Module):
    """Neighbours of points, then neighbours of their features, as in a dynamic graph network."""

    def __init__(self, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.near, self.far = Neighbours(), Neighbours(3)
        self.local = nn.Sequential(*conv(3, 6, 1), activation())
        self.wide = nn.Sequential(*conv(6, 8, 1), activation())
        self.last = nn.Sequential(nn.Conv1d(8, 8, 1), nn.ReLU())
        self.linear = nn.Linear(8, CLASSES)

    def forward(self, points: Tensor) -> Tensor:
        features = torch.max(self.local(self.near(points)), dim=3).values
        features = torch.max(self.wide(self.far(features)), dim=3).values
        return self.linear(strongest(self.last(features)))


class Behind(nn.Module):
    """Something that has values other than zero where the ReLU before it is zero."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first = nn.Sequential(*conv(2, 4), nn.Tanh(), *conv(4, 4), nn.ReLU())
        self.between = between
        self.last = nn.Sequential(*conv(4, 4), nn.ReLU())
        self.head = head(4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.last(self.between(self.first(images))))


class Plus(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + 0.5


BEHIND_RELU: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "grouping": (lambda: TwoStages(nn.ReLU), (3, 10)),
    "batch norm": (lambda: Behind(nn.BatchNorm2d(4)), (2, 6, 6)),
    "sigmoid": (lambda: Behind(nn.Sigmoid()), (2, 6, 6)),
    "softplus": (lambda: Behind(nn.Softplus()), (2, 6, 6)),
    "a constant": (lambda: Behind(Plus()), (2, 6, 6)),
    "tanh": (lambda: Behind(nn.Tanh()), (2, 6, 6)),
    "max-pool": (lambda: Behind(nn.MaxPool2d(3, 1, 1)), (2, 6, 6)),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize(("build", "shape"), BEHIND_RELU.values(), ids=BEHIND_RELU.keys())
def test_relevance_may_arrive_where_a_relu_is_zero(
    build: Callable[[], nn.Module],
    shape: tuple[int, ...],
    rules: Rules,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    torch.manual_seed(0)
    model = settle(build(), shape, 3)
    inputs, targets = torch.randn(4, *shape, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    relevance = propagate(rules, model, inputs, targets)
    expected = stock_zennit(rules, model, inputs, targets)
    assert deviation(relevance, expected, model(inputs).detach()) < 1e-8
