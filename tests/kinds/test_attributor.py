"""Explaining leaves no trace: on the model, on the random state, on a graph still to be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.propagation import Rules
from reldrop_bench.attributors._lrp.rules import Epsilon, LinearLayer, Rule, ZPlus
from reldrop_bench.attributors.gradient import (
    GradientTimesInput,
    IntegratedGradients,
    LossGradientTimesInput,
    SmoothGrad,
)
from reldrop_bench.attributors.lrp import (
    LRP,
    Alpha2Beta1LRP,
    EpsilonFlatLRP,
    EpsilonGammaBoxLRP,
    EpsilonPlusFlatLRP,
    ZennitEpsilonGammaBoxLRP,
    ZennitEpsilonPlusFlatLRP,
)
from reldrop_bench.attributors.random import RandomRelevance
from reldrop_bench.data import Facts
from reldrop_bench.kinds.attributor import Attributor, RelevanceError, explain_with, input_gradient
from reldrop_bench.kinds.model import Model, Routing
from reldrop_bench.models.pointnet import PointNet
from reldrop_bench.models.resnet import ResNet18
from reldrop_bench.models.small_cnn import SmallCNN

RULES: list[LRP] = [
    EpsilonPlusFlatLRP(),
    EpsilonFlatLRP(),
    EpsilonGammaBoxLRP(),
    Alpha2Beta1LRP(),
]
ZENNIT: list[LRP] = [ZennitEpsilonPlusFlatLRP(), ZennitEpsilonGammaBoxLRP()]
GRADIENTS: list[Attributor] = [
    GradientTimesInput(),
    LossGradientTimesInput(),
    IntegratedGradients(steps=2),
    SmoothGrad(samples=2),
]
ATTRIBUTORS = [*RULES, *ZENNIT, *GRADIENTS, RandomRelevance()]
MODELS: list[tuple[Model, tuple[int, ...]]] = [
    (SmallCNN(width=4), (2, 8, 8)),
    (ResNet18(), (3, 8, 8)),
    (PointNet(width=0.1), (3, 30)),
    (PointNet(width=0.1, transforms=True), (6, 30)),
]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def make(model: Model, shape: tuple[int, ...]) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network with some history (running statistics, gradients), inputs and targets."""
    torch.manual_seed(0)
    modality = "image" if len(shape) == 3 else "cloud"
    channels = shape[0]
    facts = Facts(modality, ("a", "b", "c"), shape, mean=(0.0,) * channels, std=(1.0,) * channels)
    network = model.build(facts)
    inputs, targets = torch.randn(4, *shape), torch.tensor([0, 2, 1, 1])
    nn.functional.cross_entropy(network(inputs), targets).backward()
    return network, inputs, targets


def state(model: nn.Module, *, versions: bool = True) -> list[Any]:
    """Return everything that must stay: tensors by identity, storage and bits, and the rest.

    The versions of tensors too, unless a buffer was written to in place, which always counts.
    """

    def bits(tensor: Tensor | None) -> Any:
        if tensor is None:
            return None
        version = tensor._version if versions else None
        return (id(tensor), tensor.data_ptr(), version, tensor.requires_grad)

    def values(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.detach().clone().numpy().tobytes()

    found: list[Any] = [torch.get_rng_state().numpy().tobytes()]
    for name, module in model.named_modules():
        found.append((name, id(module), module.training, sorted(vars(module))))
        found.append((list(module._modules), list(module._parameters), list(module._buffers)))
        found += [len(each) for key, each in sorted(vars(module).items()) if "hooks" in key]
        for tensor in [*module._parameters.values(), *module._buffers.values()]:
            grad = None if tensor is None else tensor.grad
            found.append((bits(tensor), values(tensor), bits(grad), values(grad)))
    return found


@pytest.mark.parametrize("attributor", ATTRIBUTORS, ids=lambda each: each.name)
@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_model_and_random_state_are_untouched(
    attributor: Attributor, model: Model, shape: tuple[int, ...]
) -> None:
    network, inputs, targets = make(model, shape)
    submodules = list(network.modules())
    submodules[1].eval()
    submodules[-1].eval()
    parameters = list(network.parameters())
    parameters[1].requires_grad_(False)
    parameters[2].grad = None
    kept, before = inputs.clone(), state(network)
    relevance = explain_with(attributor, network, inputs, targets, generator())
    assert relevance.shape == (4, *shape[1:])
    assert relevance.dtype == torch.float32
    assert not relevance.requires_grad
    assert torch.equal(inputs, kept)
    assert not inputs.requires_grad
    assert state(network) == before


class Vandal(Attributor):
    """Breaks everything it can reach, then fails."""

    name = "vandal"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        model.train()
        model.requires_grad_(True)
        model(inputs).sum().backward()
        torch.manual_seed(5)
        torch.rand(3)
        model.register_forward_hook(lambda module, inputs, output: None)
        for module in list(model.modules()):
            module.register_full_backward_hook(lambda module, inputs, outputs: None)
            module.forward = lambda points: points
            module.added = nn.Linear(1, 1)
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                module.weight.data = torch.zeros_like(module.weight)
                module.bias = nn.Parameter(torch.ones(1))
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_var.fill_(7)
                module.running_mean = torch.zeros(1)
                module.weight = nn.Parameter(torch.zeros(1))
        raise ZeroDivisionError


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_restored_after_a_method_that_fails(model: Model, shape: tuple[int, ...]) -> None:
    network, inputs, targets = make(model, shape)

    before = state(network, versions=False)
    logits = network.eval()(inputs)
    network.train()
    with pytest.raises(ZeroDivisionError):
        explain_with(Vandal(), network, inputs, targets, generator())
    assert state(network, versions=False) == before
    assert torch.equal(network.eval()(inputs), logits)


class Trap(Routing):
    """Passes values on, until it is called for the n-th time."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.last, self.calls = last, 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.last:
            raise ZeroDivisionError
        return values * 1


class TrapConvolution(nn.Conv2d):
    """Fails when its rule computes it once more, on the way back."""

    calls = 0

    def forward(self, input: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 2:
            raise ZeroDivisionError
        return super().forward(input)


@dataclass(frozen=True)
class Failing(Rule):
    def share(
        self, layer: LinearLayer, inputs: Tensor, output: Tensor | None, relevance: Tensor
    ) -> Tensor:
        raise ZeroDivisionError


class FailingLRP(LRP):
    """Its rule for first layers fails, when all others have done their work."""

    name = "failing"

    def rules(self) -> Rules:
        return Rules(ZPlus(), Epsilon(), first=Failing())


def assert_untouched_by_failure(
    attributor: Attributor, network: nn.Module, error: type[Exception]
) -> None:
    inputs, targets = torch.randn(4, 2, 8, 8), torch.tensor([0, 2, 1, 1])
    before = state(network)
    with pytest.raises(error):
        explain_with(attributor, network, inputs, targets, generator())
    assert state(network) == before


@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("attributor", RULES, ids=lambda each: each.name)
def test_restored_after_a_forward_pass_that_fails_half_way(attributor: LRP, call: int) -> None:
    """An explanation runs the model on two samples, and then its graph."""
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    assert isinstance(network, nn.Sequential)
    expected = explain_with(attributor, network, inputs, targets, generator())
    network.insert(3, Trap(call))
    assert_untouched_by_failure(attributor, network, ZeroDivisionError)
    network[3] = nn.Identity()
    relevance = explain_with(attributor, network, inputs, targets, generator())
    assert torch.equal(relevance, expected)


def test_restored_after_a_rule_that_fails() -> None:
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    expected = explain_with(EpsilonPlusFlatLRP(), network, inputs, targets, generator())
    assert_untouched_by_failure(FailingLRP(), network, ZeroDivisionError)
    relevance = explain_with(EpsilonPlusFlatLRP(), network, inputs, targets, generator())
    assert torch.equal(relevance, expected)


@pytest.mark.parametrize("hooked", [False, True], ids=["graph", "run"])
@pytest.mark.parametrize("failing", ["norm", "forward", "trap", "hook"])
def test_restored_after_zennit_failed_half_way(
    failing: str, hooked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, *_ = make(SmallCNN(width=4), (2, 8, 8))
    assert isinstance(network, nn.Sequential)
    error: type[Exception] = RuntimeError
    if failing == "norm":
        network[4] = nn.BatchNorm2d(5)
    elif failing == "forward":
        network[-1] = nn.Linear(99, 3)
    elif failing == "trap":
        network[3] = TrapConvolution(4, 4, 3, padding=1)
        network[3].calls = int(hooked)  # a run is recorded at the first call
        error = ZeroDivisionError
    else:
        from zennit.rules import Epsilon

        def fail(*arguments: object) -> None:
            raise RuntimeError("no hook")

        monkeypatch.setattr(Epsilon, "register", fail)
    attributor = ZennitEpsilonPlusFlatLRP()
    if hooked:
        network.register_forward_hook(lambda module, inputs, output: None)
    assert_untouched_by_failure(attributor, network, error)


@pytest.mark.parametrize("attributor", [RULES[0], ZENNIT[1]], ids=lambda each: each.name)
@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_untouched_by_the_recording_of_a_run(
    attributor: LRP, model: Model, shape: tuple[int, ...]
) -> None:
    network, inputs, targets = make(model, shape)
    network.register_forward_hook(lambda module, inputs, output: None)
    before = state(network)
    explain_with(attributor, network, inputs, targets, generator())
    assert state(network) == before


@pytest.mark.parametrize(
    # Noise is drawn for a batch as a whole.
    "attributor",
    [each for each in ATTRIBUTORS if each.name != SmoothGrad.name],
    ids=lambda each: each.name,
)
@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_one_sample_alone_as_in_a_batch_and_none_at_all(
    attributor: Attributor, model: Model, shape: tuple[int, ...]
) -> None:
    network, inputs, targets = make(model, shape)
    together = explain_with(attributor, network, inputs, targets, generator())
    alone = explain_with(attributor, network, inputs[:1], targets[:1], generator())
    assert alone.shape == (1, *shape[1:])
    torch.testing.assert_close(alone[0], together[0], rtol=1e-3, atol=1e-4)
    none = explain_with(attributor, network, inputs[:0], targets[:0], generator())
    assert none.shape == (0, *shape[1:])
    assert none.dtype == torch.float32


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
@pytest.mark.parametrize("attributor", ATTRIBUTORS, ids=lambda each: each.name)
def test_works_the_same_whatever_the_caller_does(
    attributor: Attributor, context: Callable[[], Any]
) -> None:
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    expected = explain_with(attributor, network, inputs, targets, generator())
    with context():
        relevance = explain_with(attributor, network, inputs * 1, targets.int(), generator())
    assert torch.equal(relevance, expected)


@pytest.mark.parametrize("attributor", [*RULES[::2], GRADIENTS[0]], ids=lambda each: each.name)
@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_a_training_step_around_it_is_the_same(
    attributor: Attributor, model: Model, shape: tuple[int, ...]
) -> None:
    """A penalty explains between the forward and the backward pass of the loss."""
    results = []
    for explained in (False, True):
        network, inputs, targets = make(model, shape)
        loss = nn.functional.cross_entropy(network(inputs), targets)
        if explained:
            explain_with(attributor, network, inputs, targets, generator())
        loss.backward()
        results.append([each.grad for each in network.parameters()])
    for plain, around in zip(*results, strict=True):
        assert torch.equal(plain, around)


def test_maps_that_are_not_finite_are_refused_by_name() -> None:
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    inputs[2, 0, 3, 3] = float("nan")
    with pytest.raises(RelevanceError, match=r"gradient-x-input: .* 1 of 4 samples"):
        explain_with(GradientTimesInput(), network, inputs, targets, generator())
    network[-1].weight.data.fill_(float("inf"))
    with pytest.raises(RelevanceError, match="input gradient"):
        input_gradient(network, inputs, targets)


def test_soft_targets_are_refused() -> None:
    network, inputs, _ = make(SmallCNN(width=4), (2, 8, 8))
    with pytest.raises(ValueError, match="target classes"):
        explain_with(GradientTimesInput(), network, inputs, torch.rand(4, 3), generator())


class Viewed(nn.Module):
    """Lays its values out with `view`, which asks for a certain order in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(256, 3)

    def forward(self, images: Tensor) -> Tensor:
        values = torch.relu(self.convolution(images))
        return self.linear(values.view(values.size(0), -1))


@pytest.mark.parametrize("attributor", [RULES[0], ZENNIT[0], GRADIENTS[0]], ids=str)
def test_networks_may_use_view(attributor: Attributor) -> None:
    inputs, targets = torch.randn(4, 2, 8, 8), torch.tensor([0, 2, 1, 1])
    explain_with(attributor, Viewed(), inputs, targets, generator())


class Normalising(nn.Module):
    """Makes a tensor of its own in its forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers((images - torch.tensor([0.5, 0.4]).view(1, 2, 1, 1)) / 0.2)


def test_networks_may_make_tensors() -> None:
    network, inputs, targets = Normalising(), torch.randn(4, 2, 8, 8), torch.tensor([0, 2, 1, 1])
    before = state(network)
    maps = [
        explain_with(EpsilonPlusFlatLRP(), network, inputs, targets, generator()) for _ in range(2)
    ]
    assert torch.equal(*maps)
    assert state(network) == before
