"""Networks that torch.fx cannot read: a run is recorded instead; and what has no rule, by either way."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import Epsilon, Flat, ZPlus
from reldrop_bench.attributors.lrp import (
    LRP,
    Alpha2Beta1LRP,
    EpsilonFlatLRP,
    EpsilonGammaBoxLRP,
    EpsilonPlusFlatLRP,
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


RECORDED: dict[str, Callable[[], nn.Module]] = {
    "control flow": lambda: Network(Decides()),
    "hook": with_hook,
    "pre-hook": with_pre_hook,
    "replaced forward": with_another_forward,
    "in place": lambda: Network(ChangesInPlace()),
}


@pytest.mark.parametrize(("attributor", "by_zennit"), METHODS, ids=lambda each: each.name)
@pytest.mark.parametrize("build", RECORDED.values(), ids=RECORDED.keys())
def test_what_torch_fx_cannot_read_is_explained_from_a_run(
    build: Callable[[], nn.Module], attributor: LRP, by_zennit: LRP
) -> None:
    """zennit computes the rules a second time; test_same_function has the values of the graph."""
    model = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = explain(by_zennit, model)
        for _ in range(2):  # and again, when it is known that the graph cannot be read
            torch.testing.assert_close(explain(attributor, model), expected, rtol=1e-3, atol=1e-6)
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
    "quotient": (
        lambda: Calls(lambda values: values / values.mean((2, 3), True)),
        "'(div|truediv)'",
    ),
    "difference": (lambda: Calls(lambda values: values - F.gelu(values)), "block: .*'sub'"),
    "matrix product": (lambda: Calls(lambda values: values @ values), "'matmul'"),
    "square": (lambda: Calls(lambda values: values**2), "'pow'"),
    "undecided": (Undecided, r"block\.norm \(LayerNorm\)"),
    "a difference by keyword": (
        lambda: Calls(lambda values: torch.sub(values, other=values.tanh())),
        "block: .*'sub'",
    ),
    "square as a product": (lambda: Calls(lambda values: values * values), "block: .*'mul'"),
    "one over": (lambda: Calls(lambda values: 1 / (values + 9)), "block: .*'(__rdiv__|truediv)'"),
    "instance norm": (lambda: nn.InstanceNorm2d(4), r"block \(InstanceNorm2d\)"),
    "response norm": (lambda: nn.LocalResponseNorm(2), r"block \(LocalResponseNorm\)"),
    "softmax of places": (lambda: nn.Softmax2d(), r"block \(Softmax2d\)"),
    "power pool": (lambda: nn.LPPool2d(2, 1), r"block \(LPPool2d\)"),
    "gated": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.GLU(1)), r"block\.1 \(GLU\)"),
    "F.glu": (lambda: Calls(lambda values: torch.cat([F.glu(values, 1)] * 2, 1)), "'glu'"),
    "F.layer_norm": (lambda: Calls(lambda values: F.layer_norm(values, (6, 6))), "'layer_norm'"),
    "F.group_norm": (lambda: Calls(lambda values: F.group_norm(values, 2)), "'group_norm'"),
    "F.instance_norm": (lambda: Calls(F.instance_norm), "'instance_norm'"),
    "F.normalize": (lambda: Calls(F.normalize), "'normalize'"),
    "statistics of the batch": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False),
        "block .BatchNorm2d without running statistics",
    ),
    "dropout that stays on": (lambda: Calls(F.dropout), "block: .*'dropout'"),
}


def undecided(model: nn.Module) -> nn.Module:
    """Return a network that torch.fx does not read."""
    model.block.register_forward_hook(lambda module, inputs, output: None)
    return model


@pytest.mark.parametrize("attributor", [EpsilonPlusFlatLRP(), ZennitAlpha2Beta1LRP()], ids=str)
@pytest.mark.parametrize("change", [lambda model: model, undecided], ids=["graph", "run"])
@pytest.mark.parametrize(("build", "what"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_layer_without_a_rule_is_refused_by_name(
    build: Callable[[], nn.Module],
    what: str,
    change: Callable[[nn.Module], nn.Module],
    attributor: LRP,
) -> None:
    model = change(Network(build()))
    for _ in range(2):
        with pytest.raises(UnexplainableError, match=f"no rule is known for .*{what}") as refusal:
            explain(attributor, model)
    assert "--relevance gradient-x-input" in str(refusal.value)
    assert "\n" not in str(refusal.value)


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
    """The map is that of a network that has never been read before."""
    torch.manual_seed(0)
    model, targets = Scaled().eval(), torch.tensor([0, 2, 1])
    images = torch.randn(3, 2, 8, 8)
    rules = Rules(ZPlus(), Epsilon(), Flat())
    before = propagate(rules, model, images, targets)
    model.scale.fill_(9.0)
    after = propagate(rules, model, images, targets)
    torch.testing.assert_close(after, propagate(rules, copy.deepcopy(model), images, targets))
    assert not torch.allclose(after, before, rtol=0.1)


class HiddenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return values.relu()

    @staticmethod
    def backward(ctx: object, *gradient: Tensor) -> Tensor:
        return gradient[0]


class Beside(nn.Module):
    """Has another way beside the one that is refused, so that a map would not be empty."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return values + self.function(values)


def set_in_place(values: Tensor) -> Tensor:
    values = values.clone()
    values[:, 0] = values[:, 1].tanh()
    return values


def changed_through_a_view(values: Tensor) -> Tensor:
    values = values - 1
    values[:, :2].mul_(3)
    return values


UNSEEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "a function of one's own": (HiddenFunction.apply, "HiddenFunctionBackward"),
    "set in place": (set_in_place, "set in place"),
    "a view in place": (changed_through_a_view, "in place through a view"),
}


@pytest.mark.parametrize("attributor", [METHODS[0][0], METHODS[0][1]], ids=lambda each: each.name)
@pytest.mark.parametrize(("function", "reason"), UNSEEN.values(), ids=UNSEEN.keys())
def test_what_cannot_be_followed_is_refused(
    function: Callable[[Tensor], Tensor], reason: str, attributor: LRP
) -> None:
    model = undecided(Network(Beside(function)))
    with pytest.raises(UnexplainableError, match=reason):
        explain(attributor, model)


class Twin(nn.Module):
    """Rescales images by a layer, or by a dense layer that holds what it does to each place."""

    def __init__(self, layer: nn.Module | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU())
        self.layer = layer
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(4 * 81, 3, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.layer(self.first(images)))


ENLARGED: dict[str, Callable[[], nn.Module]] = {
    "bilinear": lambda: nn.Upsample(size=9, mode="bilinear"),
    "bicubic": lambda: nn.Upsample(size=9, mode="bicubic", align_corners=True),
    "nearest": lambda: nn.Upsample(size=9),
    "F.interpolate": lambda: Calls(lambda values: F.interpolate(values, size=9, mode="bilinear")),
    "F.interpolate nearest": lambda: Calls(lambda values: F.interpolate(values, size=(9, 9))),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 4, bias=False),
    "transposed in groups": lambda: nn.ConvTranspose2d(4, 4, 4, groups=2, bias=False),
    "circular": lambda: nn.Conv2d(4, 4, 2, padding=2, padding_mode="circular", bias=False),
    "reflected": lambda: nn.Conv2d(4, 4, 2, padding=2, padding_mode="reflect", bias=False),
}


@pytest.mark.parametrize(("attributor", "by_zennit"), METHODS, ids=lambda each: each.name)
@pytest.mark.parametrize("build", ENLARGED.values(), ids=ENLARGED.keys())
def test_other_linear_layers(
    build: Callable[[], nn.Module], attributor: LRP, by_zennit: LRP
) -> None:
    """Without bias, epsilon with a tiny stabiliser is gradient times input; the others as zennit has them."""
    model, rule = Twin(build()).eval(), Epsilon(1e-12)
    torch.manual_seed(1)
    images, targets = torch.randn(3, *SHAPE), torch.tensor([0, 2, 1])
    relevance = propagate(Rules(rule, rule), model.double(), images.double(), targets)
    given = images.double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(given)[range(3), targets].sum(), given)
    # Averages have zennit's stabiliser, 1e-6, whatever the rules are.
    torch.testing.assert_close(relevance, (gradient * given).sum(1).detach(), rtol=1e-2, atol=2e-5)
    model.float()
    expected = explain(by_zennit, model)
    torch.testing.assert_close(explain(attributor, model), expected, rtol=1e-3, atol=1e-5)
