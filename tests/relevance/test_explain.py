"""Explaining leaves no trace: on the model, on the random state, on a graph still to be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Facts
from reldrop_bench.models.contract import Model
from reldrop_bench.models.pointnet import PointNet
from reldrop_bench.models.resnet import ResNet18
from reldrop_bench.models.small_cnn import SmallCNN
from reldrop_bench.relevance.contract import Attributor
from reldrop_bench.relevance.explain import RelevanceError, explain_with, input_gradient
from reldrop_bench.relevance.gradient import GradientTimesInput
from reldrop_bench.relevance.lrp import EpsilonFlatLRP, EpsilonPlusFlatLRP
from reldrop_bench.relevance.random import RandomRelevance

ATTRIBUTORS: list[Attributor] = [
    EpsilonPlusFlatLRP(),
    EpsilonFlatLRP(),
    GradientTimesInput(),
    RandomRelevance(),
]
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
    network.register_forward_hook(lambda module, inputs, output: None)
    kept, before = inputs.clone(), state(network)
    relevance = explain_with(attributor, network, inputs, targets, generator())
    assert relevance.shape == (4, *shape[1:])
    assert relevance.dtype == torch.float32
    assert not relevance.requires_grad
    assert torch.equal(inputs, kept)
    assert not inputs.requires_grad
    assert state(network) == before


@dataclass(frozen=True)
class Vandal(Attributor):
    """Breaks everything it can reach, then fails."""

    name: ClassVar[str] = "vandal"

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


@pytest.mark.parametrize("failing", ["canonizer", "forward", "hook"])
@pytest.mark.parametrize("attributor", ATTRIBUTORS[:2], ids=lambda each: each.name)
def test_restored_after_propagation_that_fails_half_way(
    attributor: Attributor, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    assert isinstance(network, nn.Sequential)
    expected: type[Exception] = RuntimeError
    if failing == "canonizer":
        # Batch norm without scale: merging stops there, with earlier layers merged already.
        network[4] = nn.BatchNorm2d(4, affine=False)
        expected = AttributeError
    elif failing == "forward":
        network[-1] = nn.Linear(99, 3)
    else:
        from zennit.rules import Epsilon

        def fail(*arguments: object) -> None:
            raise RuntimeError("no hook")

        monkeypatch.setattr(Epsilon, "register", fail)
    before = state(network)
    with pytest.raises(expected):
        explain_with(attributor, network, inputs, targets, generator())
    assert state(network) == before


@pytest.mark.parametrize("attributor", ATTRIBUTORS, ids=lambda each: each.name)
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
@pytest.mark.parametrize("attributor", ATTRIBUTORS[:3], ids=lambda each: each.name)
def test_works_the_same_whatever_the_caller_does(
    attributor: Attributor, context: Callable[[], Any]
) -> None:
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    expected = explain_with(attributor, network, inputs, targets, generator())
    with context():
        relevance = explain_with(attributor, network, inputs * 1, targets.int(), generator())
    assert torch.equal(relevance, expected)


@pytest.mark.parametrize("attributor", ATTRIBUTORS[:3], ids=lambda each: each.name)
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
