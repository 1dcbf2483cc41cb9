"""Small networks put together at random: the map is stock zennit's of the plainest form, or none.

A network is drawn twice from one seed: plain, of convolutions, ReLUs and sums in the order of their
calls, and written, with layers taken apart, norms of several kinds, something that does nothing between,
layers used again, and everything declared in a shuffled order.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, ZBox, ZPlus
from reldrop_bench.attributors._lrp.zennit import propagate_by_zennit

RULES = [
    Rules(Epsilon(1e-3), Epsilon(1e-3), first=Flat()),
    Rules(ZPlus(), Epsilon(), first=Flat()),
    Rules(Gamma(), Epsilon(), first=ZBox()),
    Rules(AlphaBeta(), Epsilon()),
]
WIDTH = 4


class Addition(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first + second


class Scaled(nn.Module):
    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(each.view(-1, 1, 1)) for each in (scale, shift))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale + self.shift


class Steps(nn.Module):
    """Calls modules by name, one after the other; "total" adds what there was at the last "keep".

    modules: by name, in the order of their declaration.
    """

    def __init__(self, program: list[str], modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self.program = tuple(program)
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, values: Tensor) -> Tensor:
        kept = values
        for name in self.program:
            if name == "keep":
                kept = values
            elif name.startswith("total"):
                values = self.get_submodule(name)(values, kept)
            else:
                values = self.get_submodule(name)(values)
        return values


def drawn(seed: int) -> tuple[nn.Module, nn.Module, list[str]]:
    """Return a network as it is written, its plain form, and the names of the latter's sums."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    plain: dict[str, nn.Module] = {}
    written: dict[str, nn.Module] = {}
    steps: tuple[list[str], list[str]] = ([], [])
    sums = []

    def both(name: str, module: nn.Module) -> None:
        for modules, program in zip((plain, written), steps, strict=True):
            modules[name] = copy.deepcopy(module)
            program.append(name)

    def layer(name: str, inputs: int) -> None:
        convolution = nn.Conv2d(inputs, WIDTH, 3, padding=1).double()
        plain[name] = convolution
        steps[0].append(name)
        for place, module in enumerate(_taken_apart(convolution, choose)):
            written[f"{name}_{place}"] = module
            steps[1].append(f"{name}_{place}")

    layer("stem", 2)
    both("stem_relu", nn.ReLU())
    for block in range(choose.randint(1, 3)):
        residual = choose.random() < 0.5
        if residual:
            for program in steps:
                program.append("keep")
        layer(f"layer{block}", WIDTH)
        if choose.random() < 0.3:  # used once more: in the plain form a copy
            both(f"relu_between{block}", nn.ReLU())
            again = [name for name in steps[1] if name.startswith(f"layer{block}_")]
            plain[f"again{block}"] = copy.deepcopy(plain[f"layer{block}"])
            steps[0].append(f"again{block}")
            steps[1].extend(again)
        if residual:
            both(f"total{block}", Addition())
            sums.append(f"total{block}")
        if choose.random() < 0.3:
            both(f"dropout{block}", nn.Dropout(0.5))
        both(f"relu{block}", nn.ReLU())
    both("pool", nn.AvgPool2d(3))
    both("flatten", nn.Flatten())
    both("last", nn.Linear(4 * WIDTH, 3).double())
    declared = list(written.items())
    choose.shuffle(declared)
    network = Steps(steps[1], dict(declared))
    if choose.random() < 0.3:  # so that a run has to be recorded
        network.register_forward_hook(lambda module, inputs, output: None)
    return network.eval(), Steps(steps[0], plain).eval(), sums


def _taken_apart(layer: nn.Conv2d, choose: random.Random) -> list[nn.Module]:
    """Return modules that compute what a convolution does."""
    how = choose.choice(["none", "batch norm", "frozen", "written"])
    between = choose.choice([[], [nn.Dropout(0.3)], [nn.Identity(), nn.Dropout2d(0.3)]])
    if how == "none":
        return [copy.deepcopy(layer)]
    scale = (torch.rand(WIDTH) + 0.5).double() * torch.tensor([1, -1, 1, 1])
    shift = torch.randn(WIDTH).double()
    apart = copy.deepcopy(layer)
    apart.weight = nn.Parameter(layer.weight.detach() / scale.view(-1, 1, 1, 1))
    apart.bias = nn.Parameter((layer.bias.detach() - shift) / scale)
    if how == "written":
        return [apart, *between, Scaled(scale, shift)]
    norm = (FrozenBatchNorm2d if how == "frozen" else nn.BatchNorm2d)(WIDTH).double()
    mean, variance = torch.randn(WIDTH).double(), torch.rand(WIDTH).double() + 0.5
    values = {
        "running_mean": mean, "running_var": variance, "bias": shift + mean * scale,
        "weight": scale * (variance + norm.eps).sqrt(),
    }  # fmt: skip
    norm.load_state_dict(values, strict=False)
    return [apart, *between, norm]


@pytest.mark.parametrize("seed", range(24))
def test_a_drawn_network_has_the_map_of_its_plain_form(
    seed: int, stock_zennit: Callable[..., Tensor], deviation: Callable[..., float]
) -> None:
    network, plain, sums = drawn(seed)
    images, targets = torch.randn(3, 2, 6, 6).double(), torch.tensor([0, 1, 2])
    logits = plain(images).detach()
    torch.testing.assert_close(network(images), logits)
    rules = RULES[seed % 4]
    expected = stock_zennit(rules, plain, images, targets, sums=sums)
    for path in (propagate, propagate_by_zennit):
        assert deviation(path(rules, network, images, targets), expected, logits) < 1e-6
