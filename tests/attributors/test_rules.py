"""Every rule on every kind of layer: what zennit's rules give, and answers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, ZBox, ZPlus

RULES: list[Rule] = [
    Epsilon(),
    Epsilon(0.1),
    ZPlus(),
    ZPlus(1e-3),
    Gamma(),
    Gamma(3.0, 1e-3),
    AlphaBeta(),
    AlphaBeta(1.0, 0.0),
    AlphaBeta(1.5, 0.5, 1e-3),
]
FIRST: list[Rule | None] = [None, Flat(), Flat(1e-3), ZBox(), ZBox(-3.0, 3.0)]
SIDE = 17
CHANNELS, WIDTH, CLASSES = 2, 4, 3

KINDS: dict[str, tuple[int, type[nn.Module], type[nn.Module]]] = {
    "dense": (1, nn.Linear, nn.BatchNorm1d),
    "dense, place by place": (1, nn.Linear, nn.BatchNorm1d),
    "conv1d": (1, nn.Conv1d, nn.BatchNorm1d),
    "conv2d": (2, nn.Conv2d, nn.BatchNorm2d),
}
"""Dimensions of places, layer and batch norm."""
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "LeakyReLU": nn.LeakyReLU,
    "none": nn.Identity,
}
"""All but ReLU and Sigmoid leave the next layer inputs of both signs."""
POOLS: dict[str, list[Callable[[], nn.Module]]] = {
    "none": [nn.Identity, nn.Identity],
    "max": [lambda: nn.MaxPool1d(2), lambda: nn.MaxPool2d(2)],
    "average": [lambda: nn.AvgPool1d(2, 1, 1), lambda: nn.AvgPool2d(2, 1, 1)],
    "all places": [lambda: nn.AdaptiveAvgPool1d(1), lambda: nn.AdaptiveAvgPool2d(1)],
    "strongest": [lambda: nn.AdaptiveMaxPool1d(1), lambda: nn.AdaptiveMaxPool2d(1)],
}
INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "random": lambda noise: noise,
    "zero": torch.zeros_like,
    "constant": lambda noise: torch.full_like(noise, 0.7),
    "negative": lambda noise: -noise.abs(),
    "non-negative": torch.relu,
}


@dataclass(frozen=True)
class Case:
    """Two layers of a kind, and what is explained; hypothesis prints it."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    groups: int
    bias: bool
    norm: str
    activation: str
    pool: str
    inputs: str
    batch: int
    target: str
    """The class with the highest logit, with the lowest one, or one whose logit is zero."""
    trained: bool
    seed: int


CASES = st.builds(
    Case,
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    bias=st.booleans(),
    norm=st.sampled_from(["none", "plain", "affine"]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    pool=st.sampled_from(list(POOLS)),
    inputs=st.sampled_from(list(INPUTS)),
    batch=st.integers(1, 3),
    target=st.sampled_from(["highest", "lowest", "zero"]),
    trained=st.booleans(),
    seed=st.integers(0, 99),
)


def build(kind: str, case: Case) -> nn.Module:
    places, layer, norm = KINDS[kind]
    dense = layer is nn.Linear

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        geometry = (case.kernel, case.stride, case.padding, case.dilation, case.groups)
        layers = [layer(inputs, outputs, *(() if dense else geometry), bias=case.bias)]
        if case.norm != "none" and kind != "dense, place by place":
            layers.append(norm(outputs, affine=case.norm == "affine"))
        return [*layers, ACTIVATIONS[case.activation]()]

    if kind == "dense":
        layers = [nn.Flatten(), *block(CHANNELS * SIDE, WIDTH), *block(WIDTH, WIDTH)]
    elif dense:
        layers = [*block(SIDE, WIDTH), *block(WIDTH, WIDTH), nn.Flatten()]
    else:
        pool = POOLS[case.pool][places - 1]()
        layers = [*block(CHANNELS, WIDTH), *block(WIDTH, WIDTH), pool, nn.Flatten()]
    features = nn.Sequential(*layers)
    width = features(torch.randn(2, CHANNELS, *[SIDE] * places)).shape[1]
    return nn.Sequential(*features, nn.Linear(width, CLASSES))


def train(network: nn.Module, inputs: Tensor, steps: int = 3) -> None:
    """Give the network running statistics, scales and shifts that are not those it starts with."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(steps):
        logits = network.train()(inputs + step)
        nn.functional.cross_entropy(logits, torch.arange(len(inputs)) % CLASSES).backward()
        optimizer.step()
        optimizer.zero_grad()


def make(kind: str, case: Case) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network in double precision, inputs and targets."""
    torch.manual_seed(case.seed)
    network = build(kind, case)
    shape = (CHANNELS, *[SIDE] * KINDS[kind][0])
    if case.trained:
        train(network, torch.randn(6, *shape))
    network.double().eval()
    inputs = INPUTS[case.inputs](torch.randn(case.batch, *shape, dtype=torch.float64))
    if case.target == "zero":
        network[-1].weight.data[0] = network[-1].bias.data[0] = 0
        return network, inputs, torch.zeros(case.batch, dtype=torch.int64)
    logits = network(inputs)
    return network, inputs, logits.argmax(1) if case.target == "highest" else logits.argmin(1)


def tied(kind: str, case: Case) -> bool:
    """Return whether all places are alike, so that rounding decides which of them is the largest."""
    alike = case.inputs in ("zero", "constant")
    return alike and kind.startswith("conv") and case.pool in ("max", "strongest")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES, ids=str)
@given(case=CASES, first=st.sampled_from(FIRST))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_every_rule_equals_zennits(
    rule: Rule,
    kind: str,
    case: Case,
    first: Rule | None,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    network, inputs, targets = make(kind, case)
    rules = Rules(rule, rule, first)
    relevance = propagate(rules, network, inputs, targets)
    expected = stock_zennit(rules, network, inputs, targets)
    if tied(kind, case):
        relevance, expected = relevance.flatten(1).sum(1), expected.flatten(1).sum(1)
    logits = network(inputs).detach().gather(1, targets[:, None])
    assert deviation(relevance, expected, logits) < 1e-8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", RULES, ids=str)
# Inputs that touch their own box have denominators that are zero but for rounding.
@given(case=CASES, first=st.sampled_from([each for each in FIRST if each != ZBox()]))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_every_rule_equals_zennits_in_single_precision(
    rule: Rule,
    kind: str,
    case: Case,
    first: Rule | None,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    assume(not tied(kind, case))
    network, inputs, targets = make(kind, case)
    network, inputs = network.float(), inputs.float()
    rules = Rules(rule, rule, first)
    relevance = propagate(rules, network, inputs, targets)
    # Against zennit in single precision as well: in double, a maximum may be another place's, and
    # where denominators are next to zero zennit is as far from its own double as our rules are.
    expected = stock_zennit(rules, network, inputs, targets)
    logits = network(inputs).detach().gather(1, targets[:, None])
    assert deviation(relevance, expected, logits) < 2e-3
    if relevance.numel() > 1 and expected.std() > 1e-5 * expected.abs().max() > 0:
        assert torch.corrcoef(torch.stack([relevance.flatten(), expected.flatten()]))[0, 1] > 0.9999


ANSWERS: list[tuple[Rule, tuple[float, float], tuple[float, float]]] = [
    (Epsilon(), (-1, 6), (1, -6)),
    (Epsilon(2.0), (-0.75, 4.5), (0.75, -4.5)),
    (ZPlus(), (0, 36 / 7), (-6, 0)),
    (AlphaBeta(), (-6, 72 / 7), (-12, 36 / 7)),
    (AlphaBeta(1.5, 0.5), (-3, 54 / 7), (-9, 18 / 7)),
    (Gamma(0.5), (-6 / 9.5, 54 / 9.5), (6 / 9.5, -54 / 9.5)),
    (Flat(), (3, 3), (-3, -3)),
    (ZBox(-1.0, 4.0), (1.5, 4.5), (-1.5, -4.5)),
]
"""Relevance of the inputs (1, 2) for the logits 6 = -1 * 1 + 3 * 2 + 1 and -6 = 1 * 1 - 3 * 2 - 1.

Contributions are (-1, 6) with bias 1, and (1, -6) with bias -1. Gamma makes (-1, 9) with 1.5 of the
first. Above the box's lower bound with positive and its upper one with negative weights there are
-1 - 4 * -1 = 3 and 6 - -1 * 3 = 9.
"""


@pytest.mark.parametrize(("rule", "positive", "negative"), ANSWERS, ids=str)
def test_known_answers_worked_out_by_hand(
    rule: Rule, positive: tuple[float, float], negative: tuple[float, float]
) -> None:
    dense = nn.Linear(2, 2)
    dense.weight.data = torch.tensor([[-1.0, 3.0], [1.0, -3.0]])
    dense.bias.data = torch.tensor([1.0, -1.0])
    inputs, targets = torch.tensor([[[1.0, 2.0]]]).expand(2, 1, 2), torch.tensor([0, 1])
    network = nn.Sequential(nn.Flatten(), dense)
    relevance = propagate(Rules(rule, rule), network, inputs, targets)
    expected = torch.tensor([positive, negative], dtype=torch.float32)
    torch.testing.assert_close(relevance, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_output_of_exactly_zero_is_stabilised_as_zennits(
    rule: Rule, stock_zennit: Callable[..., Tensor]
) -> None:
    """Contributions of 1 and -1 add up to zero, and the sigmoid behind hands relevance to it."""
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 2)
    first.weight.data = torch.tensor([[1.0, -1.0], [2.0, 1.0]])
    network = nn.Sequential(nn.Flatten(), first, nn.Sigmoid(), last).double().eval()
    inputs, targets = torch.ones(2, 1, 2, dtype=torch.float64), torch.tensor([0, 1])
    expected = stock_zennit(Rules(rule, rule), network, inputs, targets)
    relevance = propagate(Rules(rule, rule), network, inputs, targets)
    torch.testing.assert_close(relevance, expected, rtol=1e-9, atol=1e-9)


def test_z_plus_counts_negative_inputs_at_negative_weights() -> None:
    """Weights (1, 2; -1, 3), inputs (-1, 2): contributions (-1, 4) and (1, 6)."""
    dense = nn.Linear(2, 2, bias=False)
    dense.weight.data = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])
    inputs, targets = torch.tensor([[[-1.0, 2.0]]]).expand(2, 1, 2), torch.tensor([0, 1])
    network = nn.Sequential(nn.Flatten(), dense)
    relevance = propagate(Rules(ZPlus(), ZPlus()), network, inputs, targets)
    torch.testing.assert_close(relevance, torch.tensor([[0.0, 3.0], [1.0, 6.0]]))


@pytest.mark.parametrize(
    "rule", [Epsilon(1e-12), ZPlus(1e-12), Gamma(0.5, 1e-12), AlphaBeta(2, 1, 1e-12)], ids=str
)
@pytest.mark.parametrize("first", [None, Flat(), ZBox(-3.0, 3.0)], ids=str)
def test_nothing_is_lost_without_biases(rule: Rule, first: Rule | None) -> None:
    """Every rule shares out what it is given, up to the stabiliser."""
    torch.manual_seed(0)
    network = nn.Sequential(
        # Wide, so that every output has contributions of both signs.
        nn.Conv1d(8, 8, 3, bias=False),
        nn.Tanh(),
        nn.Conv1d(8, 8, 3, bias=False),
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(8 * 4, 3, bias=False),
    ).double()
    inputs, targets = torch.randn(5, 8, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    relevance = propagate(Rules(rule, rule, first), network, inputs, targets)
    logits = network(inputs).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(relevance.sum(1), logits, rtol=1e-3, atol=1e-6)


def test_gamma_of_zero_is_epsilon_and_alpha_of_one_is_z_plus() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(2, 6, 3), nn.GELU(), nn.Flatten(), nn.Linear(60, 3)).double()
    inputs, targets = torch.randn(4, 2, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    for rule, same in ((Gamma(0.0), Epsilon()), (AlphaBeta(1.0, 0.0), ZPlus())):
        relevance, expected = (
            propagate(Rules(each, each), network, inputs, targets) for each in (rule, same)
        )
        torch.testing.assert_close(relevance, expected)
