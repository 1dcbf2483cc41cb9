"""Networks that our rules do not reach: zennit explains them, says so, or the layer is named."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.operations import TraceError
from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import Epsilon, Flat, ZPlus
from reldrop_bench.attributors.lrp import (
    LRP,
    Alpha2Beta1LRP,
    EpsilonFlatLRP,
    EpsilonGammaBoxLRP,
    EpsilonPlusFlatLRP,
    RelevanceWarning,
    ZennitAlpha2Beta1LRP,
    ZennitEpsilonFlatLRP,
    ZennitEpsilonGammaBoxLRP,
    ZennitEpsilonPlusFlatLRP,
)
from reldrop_bench.kinds.attributor import UnexplainableError, explain_with

METHODS: list[tuple[LRP, LRP]] = [
    (EpsilonPlusFlatLRP(), ZennitEpsilonPlusFlatLRP()),
    (EpsilonFlatLRP(), ZennitEpsilonFlatLRP()),
    (EpsilonGammaBoxLRP(), ZennitEpsilonGammaBoxLRP()),
    (Alpha2Beta1LRP(), ZennitAlpha2Beta1LRP()),
]
SHAPE = (2, 6, 6)


def explain(attributor: LRP, model: nn.Module) -> Tensor:
    torch.manual_seed(1)
    images, targets = torch.randn(3, *SHAPE), torch.tensor([0, 2, 1])
    return explain_with(attributor, model, images, targets, torch.Generator())


class Network(nn.Module):
    """Two convolutions with batch norm, and something done between them by a `block`."""

    def __init__(self, block: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.block = nn.Identity() if block is None else block
        self.last = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        self(torch.randn(8, *SHAPE) + 1)  # running statistics

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.last(self.block(self.first(images))))


class Decides(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values if values.sum() > 1e9 else 2 * values


class ChangesInPlace(nn.Module):
    """The ReLU also changes what the pool reads, which no graph of the values shows."""

    def forward(self, values: Tensor) -> Tensor:
        shifted = values - 1
        positive = F.relu_(shifted)
        return positive + F.avg_pool2d(shifted, 3, 1, 1)


def with_hook() -> nn.Module:
    model = Network()
    model.last[0].register_forward_hook(lambda module, inputs, output: output)
    return model


def with_pre_hook() -> nn.Module:
    model = Network()
    model.last.register_forward_pre_hook(lambda module, inputs: inputs)
    return model


def with_another_forward() -> nn.Module:
    model = Network()
    convolution, usual = model.last[0], model.last[0].forward
    convolution.forward = lambda values: usual(values)
    return model


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "control flow": (lambda: Network(Decides()), "control flow"),
    "hook": (with_hook, r"last\.0 has a forward hook"),
    "pre-hook": (with_pre_hook, "last has a forward hook"),
    "replaced forward": (with_another_forward, r"forward of last\.0 has been replaced"),
    "transposed": (lambda: Network(nn.ConvTranspose2d(4, 4, 3)), "block is a ConvTranspose2d"),
    "circular": (
        lambda: Network(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")),
        r"block \(Conv2d\) pads with 'circular'",
    ),
    "in place": (lambda: Network(ChangesInPlace()), "not those of the graph"),
}


@pytest.mark.parametrize(("attributor", "by_zennit"), METHODS, ids=lambda each: each.name)
@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_zennit_explains_what_the_rules_cannot_and_a_warning_says_why(
    build: Callable[[], nn.Module], reason: str, attributor: LRP, by_zennit: LRP
) -> None:
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = explain(by_zennit, model)
    for _ in range(2):  # and again, when the reason is known
        with pytest.warns(RelevanceWarning, match=f"{attributor.name}: .*{reason}"):
            relevance = explain(attributor, model)
        assert torch.equal(relevance, expected)
    assert expected.abs().max() > 0


@pytest.mark.parametrize(("attributor", "by_zennit"), METHODS, ids=lambda each: each.name)
def test_no_warning_where_the_rules_reach(attributor: LRP, by_zennit: LRP) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relevance = explain(attributor, Network())
        expected = explain(by_zennit, Network())
    torch.testing.assert_close(relevance, expected, rtol=1e-3, atol=1e-6)


class Tokens(nn.Module):
    """Reads an image as a sequence of places."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        tokens = values.flatten(2).transpose(1, 2)
        several = (tokens,) * (3 if isinstance(self.layer, nn.MultiheadAttention) else 1)
        return self.layer(*several)[0].transpose(1, 2).unflatten(2, SHAPE[1:])


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


class Undecided(nn.Module):
    """Cannot be read, and has a layer that nobody has a rule for."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(SHAPE[1:])

    def forward(self, values: Tensor) -> Tensor:
        return self.norm(values) if values.sum() > -1e9 else values


UNKNOWN: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "attention": (
        lambda: Tokens(nn.MultiheadAttention(4, 2, batch_first=True)),
        r"block\.layer \(MultiheadAttention\)",
    ),
    "recurrent": (lambda: Tokens(nn.LSTM(4, 4, batch_first=True)), r"block\.layer \(LSTM\)"),
    "layer norm": (lambda: nn.LayerNorm(SHAPE[1:]), r"block \(LayerNorm\)"),
    "group norm": (lambda: nn.GroupNorm(2, 4), r"block \(GroupNorm\)"),
    "softmax": (lambda: nn.Softmax(1), r"block \(Softmax\)"),
    "F.softmax": (lambda: Calls(lambda values: F.softmax(values, 1)), "block: .*'softmax'"),
    "product": (lambda: Calls(lambda values: values * values.sigmoid()), "block: .*'mul'"),
    "product by keyword": (
        lambda: Calls(lambda values: torch.mul(values, other=values.sigmoid())),
        "block: .*'mul'",
    ),
    "quotient": (lambda: Calls(lambda values: values / values.mean((2, 3), True)), "'truediv'"),
    "difference": (lambda: Calls(lambda values: values - F.gelu(values)), "block: .*'sub'"),
    "matrix product": (lambda: Calls(lambda values: values @ values), "'matmul'"),
    "square": (lambda: Calls(lambda values: values**2), "'pow'"),
    "undecided": (Undecided, r"block\.norm \(LayerNorm\)"),
}


@pytest.mark.filterwarnings("ignore::reldrop_bench.attributors.lrp.RelevanceWarning")
@pytest.mark.parametrize("attributor", [EpsilonPlusFlatLRP(), Alpha2Beta1LRP()], ids=str)
@pytest.mark.parametrize(("build", "what"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_layer_without_a_rule_is_refused_by_name(
    build: Callable[[], nn.Module], what: str, attributor: LRP
) -> None:
    model = Network(build())
    for _ in range(2):
        with pytest.raises(UnexplainableError, match=f"no rule is known for .*{what}"):
            explain(attributor, model)


@pytest.mark.parametrize("build", [UNKNOWN["attention"][0], UNKNOWN["layer norm"][0]])
def test_zennit_refuses_it_too(build: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnexplainableError, match=r"block.* \((MultiheadAttention|LayerNorm)\)"):
        explain(ZennitEpsilonPlusFlatLRP(), Network(build()))


class Scaled(nn.Module):
    """Divides by a buffer, which torch.fx reads as a number once and for all."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images / (self.scale + 1))


def test_what_changes_behind_the_graph_is_noticed() -> None:
    torch.manual_seed(0)
    model, targets = Scaled().eval(), torch.tensor([0, 2, 1])
    images = torch.randn(3, 2, 8, 8)
    propagate(Rules(ZPlus(), Epsilon(), Flat()), model, images, targets)
    model.scale.fill_(9.0)
    with pytest.raises(TraceError, match="outputs are not those of the graph"):
        propagate(Rules(ZPlus(), Epsilon(), Flat()), model, images, targets)
