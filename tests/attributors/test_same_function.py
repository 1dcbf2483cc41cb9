"""One function has one map, however it is written: held against stock zennit on its plainest form.

The reference is unmodified zennit on convolutions, dense layers and ReLUs alone, whose parameters torch
holds as they are. Every other network here computes the same; its map has to be the same, by our rules
and by zennit's on the graph that we read.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint
from torchvision.ops import FrozenBatchNorm2d

from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus
from reldrop_bench.attributors._lrp.zennit import propagate_by_zennit
from reldrop_bench.kinds.attributor import untouched

CLASSES = 3
RULES = {
    "epsilon": Rules(Epsilon(1e-3), Epsilon(1e-3), first=Flat()),
    "z-plus": Rules(ZPlus(), Epsilon(), first=Flat()),
    "gamma": Rules(Gamma(), Epsilon(), first=ZBox()),
    "alpha-beta": Rules(AlphaBeta(), Epsilon()),
}
PATHS = {"rules": propagate, "zennit": propagate_by_zennit}
SHAPE = (2, 6, 6)


class Plain(nn.Module):
    """Two convolutions and two dense layers, each but the last with what `behind` puts behind it.

    behind: makes of a layer one or more modules that together compute what it does.
    """

    def __init__(
        self, behind: Callable[[nn.Module], list[nn.Module]] = lambda layer: [layer]
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1), nn.Linear(20, 6)]
        last = nn.Linear(6, CLASSES)
        torch.manual_seed(1)
        self.one, self.two, self.three = (nn.Sequential(*behind(each.double())) for each in layers)
        self.pool, self.flatten, self.last = nn.AvgPool2d(3), nn.Flatten(), last.double()
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        values = self.relu(self.two(self.relu(self.one(images))))
        return self.last(self.relu(self.three(self.flatten(self.pool(values)))))


def taken_apart(layer: nn.Module) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a layer, a scale (of both signs) and a shift of channels that make up the given layer."""
    outputs = len(layer.weight)
    scale = torch.rand(outputs).double() + 0.5
    scale[::2] *= -1
    shift = torch.randn(outputs).double()
    apart = copy.deepcopy(layer)
    places = (-1, *[1] * (layer.weight.ndim - 1))
    apart.weight = nn.Parameter(layer.weight.detach() / scale.view(places))
    apart.bias = nn.Parameter((layer.bias.detach() - shift) / scale)
    return apart, scale, shift


def normalized(
    layer: nn.Module, between: nn.Module | None = None, frozen: bool = False
) -> list[nn.Module]:
    """Take a layer apart into another one, something `between`, and a batch norm."""
    apart, scale, shift = taken_apart(layer)
    dense = isinstance(layer, nn.Linear)
    kind = nn.BatchNorm1d if dense else FrozenBatchNorm2d if frozen else nn.BatchNorm2d
    norm = kind(len(scale)).double()
    mean, variance = torch.randn(len(scale)).double(), torch.rand(len(scale)).double() + 0.5
    values = {
        "running_mean": mean,
        "running_var": variance,
        "weight": scale * (variance + norm.eps).sqrt(),
        "bias": shift + mean * scale,
    }
    norm.load_state_dict(values, strict=False)
    return [apart, *([] if between is None else [between]), norm]


class Scaled(nn.Module):
    """A scale and a shift of channels, as parameters."""

    def __init__(self, scale: Tensor, shift: Tensor, how: str, dense: bool) -> None:
        super().__init__()
        places = (-1,) if dense else (1, -1, 1, 1)
        self.scale, self.shift = (nn.Parameter(each.view(places)) for each in (scale, shift))
        self.how = how

    def forward(self, values: Tensor) -> Tensor:
        match self.how:
            case "operators":
                return values * self.scale + self.shift
            case "reversed":
                return self.shift - (-self.scale) * values
            case "quotient":
                return values / (1 / self.scale) - (-self.shift)
            case "torch":
                return torch.add(self.shift, torch.mul(values, self.scale), alpha=1)
            case "alpha":
                return torch.sub(self.shift, values * (-self.scale / 2), alpha=2)
            case "in place":
                return values.mul_(self.scale).add_(self.shift)
            case "negated":
                return -(values * -self.scale - self.shift)
        raise AssertionError(self.how)


def scaled(how: str) -> Callable[[nn.Module], list[nn.Module]]:
    def behind(layer: nn.Module) -> list[nn.Module]:
        apart, scale, shift = taken_apart(layer)
        return [apart, Scaled(scale, shift, how, isinstance(layer, nn.Linear))]

    return behind


class Unordered(nn.Module):
    """Declares its layers in another order than it calls them in."""

    def __init__(self) -> None:
        super().__init__()
        ordered = Plain(normalized)
        self.conv1, self.conv2, self.fc = ordered.one[0], ordered.two[0], ordered.three[0]
        self.bn3, self.bn1, self.last = ordered.three[1], ordered.one[1], ordered.last
        self.bn2 = ordered.two[1]

    def forward(self, images: Tensor) -> Tensor:
        values = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(images))))))
        return self.last(F.relu(self.bn3(self.fc(F.avg_pool2d(values, 3).flatten(1)))))


def observed() -> nn.Module:
    model = Plain(normalized)
    for module in model.modules():
        module.register_forward_pre_hook(lambda module, inputs: None)
        module.register_forward_hook(lambda module, inputs, output: None)
    return model


def scaled_by_a_hook() -> nn.Module:
    def behind(layer: nn.Module) -> list[nn.Module]:
        apart, scale, shift = taken_apart(layer)
        scaling = Scaled(scale, shift, "operators", isinstance(layer, nn.Linear))
        apart.register_forward_hook(lambda module, inputs, output: scaling(output))
        return [apart]

    return Plain(behind)


class Decides(nn.Module):
    """Looks at its values, and leaves out an argument."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, mask: Tensor | None = None, *others: object) -> Tensor:
        if mask is not None:
            images = images * mask
        return self.model(images) if images.sum() < 1e9 else images.flatten(1)


class Checkpointed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = checkpoint(self.model, images, use_reentrant=False)
        return logits


class Functional(nn.Module):
    """Calls functions with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        plain = Plain()
        self.values = nn.ParameterList(
            [each for name, each in sorted(plain.named_parameters()) if "last" not in name]
        )
        self.last = plain.last

    def forward(self, images: Tensor) -> Tensor:
        one, two, three = (self.values[place : place + 2] for place in (0, 4, 2))
        values = F.relu(F.conv2d(images, one[1], one[0], padding=1))
        values = torch.relu(F.conv2d(values, weight=two[1], bias=two[0], padding=1))
        return self.last(F.linear(F.avg_pool2d(values, 3).flatten(1), three[1], three[0]).relu())


def replaced_forward() -> nn.Module:
    model = Plain()
    convolution, usual = model.two[0], model.two[0].forward
    convolution.forward = lambda values: usual(values)
    return model


SAME: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: Plain(normalized),
    "declared in another order": Unordered,
    "dropout between": lambda: Plain(lambda layer: normalized(layer, nn.Dropout(0.5))),
    "identity between": lambda: Plain(lambda layer: normalized(layer, nn.Identity())),
    "frozen batch norm": lambda: Plain(lambda layer: normalized(layer, frozen=True)),
    **{f"scale and shift: {how}": lambda how=how: Plain(scaled(how)) for how in
       ("operators", "reversed", "quotient", "torch", "alpha", "in place", "negated")},
    "hooks that look on": observed,
    "hooks that scale": scaled_by_a_hook,
    "compiled": lambda: torch.compile(Plain(normalized)),
    "DataParallel": lambda: nn.DataParallel(Plain(normalized)),
    "decisions": lambda: Decides(Plain(normalized)),
    "checkpointed": lambda: Checkpointed(Plain(normalized)),
    "functions": Functional,
    "replaced forward": replaced_forward,
}  # fmt: skip


@pytest.fixture(scope="module", params=RULES.values(), ids=RULES.keys())
def rules(request: pytest.FixtureRequest) -> Rules:
    return request.param


@pytest.fixture(scope="module")
def expected(rules: Rules, stock_zennit: Callable[..., Tensor]) -> Tensor:
    """Stock zennit's map of the plain network."""
    images, targets = samples()
    return stock_zennit(rules, Plain().eval(), images, targets)


@pytest.fixture(params=PATHS.values(), ids=PATHS.keys())
def path(request: pytest.FixtureRequest) -> Callable[..., Tensor]:
    return request.param


def samples() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(4, *SHAPE, dtype=torch.float64), torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("build", SAME.values(), ids=SAME.keys())
def test_the_same_function_has_the_same_map(
    build: Callable[[], nn.Module],
    rules: Rules,
    path: Callable[..., Tensor],
    expected: Tensor,
    deviation: Callable[..., float],
) -> None:
    model = build().eval()
    images, targets = samples()
    logits = Plain().eval()(images).detach()
    with untouched(model), warnings.catch_warnings():
        warnings.simplefilter("error")
        relevance = path(rules, model, images, targets)
    if not isinstance(model, torch._dynamo.OptimizedModule):
        torch.testing.assert_close(model(images), logits)  # it is the same function
    assert deviation(relevance, expected, logits) < 1e-7


PERMANENT: dict[str, tuple[Callable[[nn.Module], object], Callable[[nn.Module], object]]] = {
    "pruned": (
        lambda layer: prune.random_unstructured(layer, "weight", 0.4),
        lambda layer: prune.remove(layer, "weight"),
    ),
    "weight and bias pruned": (
        lambda layer: [prune.random_unstructured(layer, each, 0.4) for each in ("weight", "bias")],
        lambda layer: [prune.remove(layer, each) for each in ("weight", "bias")],
    ),
    "weight norm": (torch.nn.utils.weight_norm, torch.nn.utils.remove_weight_norm),
    "spectral norm": (torch.nn.utils.spectral_norm, torch.nn.utils.remove_spectral_norm),
    "parametrized weight norm": (
        torch.nn.utils.parametrizations.weight_norm,
        lambda layer: torch.nn.utils.parametrize.remove_parametrizations(layer, "weight"),
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(("remake", "settle"), PERMANENT.values(), ids=PERMANENT.keys())
def test_weights_that_are_remade_before_each_call_are_explained_as_they_come_out(
    remake: Callable[[nn.Module], object],
    settle: Callable[[nn.Module], object],
    rules: Rules,
    path: Callable[..., Tensor],
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    """The right map is that of the same network with its weights made permanent, by torch itself."""
    model = Plain()
    layers = [model.one[0], model.two[0], model.three[0]]
    for layer in layers:
        remake(layer)
    images, targets = samples()
    for layer in layers:
        # Other weights than those that were there when the hook came: only a call remakes them.
        name = next(
            each for each, _ in layer.named_parameters() if each.startswith(("weight", "param"))
        )
        layer.get_parameter(name).data.mul_(1.5)
    model.eval()
    with untouched(model):
        relevance = path(rules, model, images, targets)
    model(images)
    for layer in layers:
        settle(layer)
    logits = model(images).detach()
    expected = stock_zennit(rules, model, images, targets)
    assert deviation(relevance, expected, logits) < 1e-7
