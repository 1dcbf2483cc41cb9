"""LRP as methods: what stock zennit gives on the models that are shipped, and what it means."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import FrozenBatchNorm2d
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat

from reldrop_bench.attributors._lrp.graph import read_network
from reldrop_bench.attributors._lrp.propagation import Propagation
from reldrop_bench.attributors._lrp.rules import LinearLayer, Rule
from reldrop_bench.attributors._lrp.zennit import propagate_by_zennit
from reldrop_bench.attributors.gradient import GradientTimesInput
from reldrop_bench.attributors.lrp import (
    LRP,
    Alpha2Beta1LRP,
    EpsilonFlatLRP,
    EpsilonGammaBoxLRP,
    EpsilonPlusFlatLRP,
    ZennitEpsilonPlusFlatLRP,
)
from reldrop_bench.data import Facts
from reldrop_bench.kinds.attributor import Attributor, explain_with, untouched
from reldrop_bench.kinds.model import Model
from reldrop_bench.models.pointnet import PointNet
from reldrop_bench.models.pointnet import TransformNet as LearnedTransform
from reldrop_bench.models.resnet import ResNet18, ResNet50
from reldrop_bench.models.small_cnn import SmallCNN

METHODS: list[LRP] = [
    EpsilonPlusFlatLRP(),
    EpsilonFlatLRP(),
    EpsilonGammaBoxLRP(),
    Alpha2Beta1LRP(),
]
MODELS: list[tuple[Model, tuple[int, ...], int]] = [
    (SmallCNN(width=4), (2, 8, 8), 0),
    (SmallCNN(width=4), (2, 8, 8), 3),
    (ResNet18(), (3, 16, 16), 3),
    (ResNet50(), (3, 8, 8), 1),
    (PointNet(width=0.2), (3, 40), 0),
    (PointNet(width=0.2), (3, 40), 3),
    (PointNet(width=0.2, transforms=True), (3, 40), 0),
    (PointNet(width=0.2, transforms=True), (6, 40), 3),
]
"""Models, shapes of their inputs and steps of training."""


def make(model: Model, shape: tuple[int, ...], steps: int = 3) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network after a few steps of training, inputs and targets."""
    torch.manual_seed(1)
    modality = "image" if len(shape) == 3 else "cloud"
    channels = shape[0]
    facts = Facts(modality, ("a", "b", "c"), shape, mean=(0.0,) * channels, std=(1.0,) * channels)
    network = model.build(facts)
    inputs, targets = torch.randn(6, *shape), torch.tensor([0, 2, 1, 1, 0, 2])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    return network.eval(), inputs, targets


made = cache(make)
"""For tests that change nothing of what they are given."""


@cache
def doubled(model: Model, shape: tuple[int, ...], steps: int) -> nn.Module:
    """Return the same in double precision, also to be left unchanged."""
    return copy.deepcopy(made(model, shape, steps)[0]).double()


def explain(attributor: Attributor, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return explain_with(attributor, model, inputs, targets, torch.Generator())


def logits_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    with torch.no_grad():
        return model(inputs).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("attributor", METHODS, ids=lambda each: each.name)
@pytest.mark.parametrize(("model", "shape", "steps"), MODELS, ids=str)
def test_equals_stock_zennit(
    model: Model,
    shape: tuple[int, ...],
    steps: int,
    attributor: LRP,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    single, inputs, targets = made(model, shape, steps)
    inputs, targets = inputs[:2], targets[:2]
    double = doubled(model, shape, steps)
    logits = logits_of(double, inputs.double(), targets)
    expected = stock_zennit(attributor.rules(), double, inputs.double(), targets)
    with untouched(double):
        relevance = attributor.attribute(double, inputs.double(), targets, torch.Generator())
        by_zennit = attributor.by_zennit(double, inputs.double(), targets, torch.Generator())
    assert deviation(relevance, expected, logits) < 1e-8
    assert deviation(by_zennit, expected, logits) < 1e-8
    # Deep networks of random inputs keep well away from denominators of zero, so that single
    # precision can be held against double.
    relevance = explain(attributor, single, inputs, targets)
    assert deviation(relevance, expected, logits) < 2e-3
    pair = torch.stack([relevance.double().flatten(), expected.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.9999


@pytest.mark.parametrize("attributor", METHODS, ids=lambda each: each.name)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
@pytest.mark.parametrize(("model", "shape", "steps"), [MODELS[1], MODELS[-2]], ids=str)
def test_equals_stock_zennit_on_constant_inputs(
    model: Model,
    shape: tuple[int, ...],
    steps: int,
    value: float,
    attributor: LRP,
    stock_zennit: Callable[..., Tensor],
    deviation: Callable[..., float],
) -> None:
    """Per sample: where all places are alike, rounding decides which of them is the largest."""
    network = doubled(model, shape, steps)
    inputs, targets = torch.full((3, *shape), value, dtype=torch.float64), torch.arange(3)
    expected = stock_zennit(attributor.rules(), network, inputs, targets).flatten(1).sum(1)
    with untouched(network):
        relevance = attributor.attribute(network, inputs, targets, torch.Generator())
    logits = logits_of(network, inputs, targets)
    assert deviation(relevance.flatten(1).sum(1), expected, logits) < 1e-8


@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed half-way"])
def test_zennit_leaves_everything_as_it_was(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Called alone, without `explain_with` around it, and by whichever zennit is installed."""
    network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
    network.requires_grad_(True)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    parameters, attributes = dict(network.named_parameters()), [vars(network).keys()]
    settings, logits = repr(network), network(inputs)
    if fails:
        monkeypatch.setattr(torch.autograd, "grad", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        propagate_by_zennit(EpsilonPlusFlatLRP().rules(), network, inputs, targets)
    monkeypatch.undo()
    assert repr(network) == settings
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], each) for name, each in before.items())
    assert all(network.get_parameter(name) is each for name, each in parameters.items())
    assert all(each.requires_grad for each in parameters.values())
    for module in network.modules():
        assert vars(module).keys().isdisjoint({"weight", "bias", "forward"})
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert attributes == [vars(network).keys()]
    assert torch.equal(network(inputs), logits)


def test_training_with_zennit_in_between_is_the_same() -> None:
    results = []
    for explained in (False, True):
        network, inputs, targets = make(SmallCNN(width=4), (2, 8, 8))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
        for _ in range(3):
            if explained:
                explain(ZennitEpsilonPlusFlatLRP(), network.train(), inputs, targets)
            nn.functional.cross_entropy(network.train()(inputs), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append(network.state_dict())
    assert all(torch.equal(results[0][name], each) for name, each in results[1].items())


MERGED: dict[str, tuple[list[nn.Module], tuple[int, ...]]] = {
    "dense": ([nn.Linear(2, 4), nn.BatchNorm1d(4)], (2,)),
    "points": ([nn.Conv1d(2, 4, 1, bias=False), nn.BatchNorm1d(4)], (2, 5)),
    "image": ([nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=0.1)], (2, 8, 8)),
    "without scale": ([nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)], (2, 8, 8)),
    "frozen": ([nn.Conv2d(2, 4, 3), FrozenBatchNorm2d(4)], (2, 8, 8)),
    "volume": ([nn.Conv3d(2, 4, 2, bias=False), nn.BatchNorm3d(4)], (2, 3, 3, 3)),
    "transposed": ([nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4)], (2, 8, 8)),
    "transposed in groups": (
        [nn.ConvTranspose2d(2, 4, 3, groups=2, bias=False), nn.BatchNorm2d(4)],
        (2, 8, 8),
    ),
}
"""Layers with batch norm, and the shape of their inputs."""


@pytest.mark.parametrize("case", MERGED)
def test_merged_weights_give_what_layer_and_batch_norm_give(case: str) -> None:
    torch.manual_seed(0)
    layers, shape = MERGED[case]
    network = nn.Sequential(*copy.deepcopy(layers), nn.Flatten(), nn.LazyLinear(2)).double().eval()
    for buffer in network[1].buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    inputs = torch.randn(3, *shape).double()
    network(inputs)
    read = read_network(network)
    (node,) = [node for node, each in read.operations.items() if each.module == "0"]
    propagation = Propagation(network, read, EpsilonPlusFlatLRP().rules())
    seen: list[Tensor] = []

    def apply(given: Tensor, layer: LinearLayer, rule: Rule) -> Tensor:
        seen.append(layer.run(given, *layer.weights()))
        return layer.call(given)

    propagation.apply = apply  # type: ignore[method-assign]
    torch.testing.assert_close(propagation.run(inputs), network(inputs))
    torch.testing.assert_close(seen[0], network[:2](inputs))
    assert read.operations[node].merged


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4, affine=False), FrozenBatchNorm2d(4)], ids=repr)
@pytest.mark.parametrize("merged", [True, False], ids=["merged", "apart"])
def test_zennits_methods_take_batch_norm_without_parameters(norm: nn.Module, merged: bool) -> None:
    torch.manual_seed(0)
    norm = copy.deepcopy(norm)
    for buffer in norm.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), *([norm] if merged else [nn.ReLU(), norm]), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 3),
    )  # fmt: skip
    inputs, targets = torch.randn(3, 2, 8, 8), torch.tensor([0, 1, 2])
    relevance = explain(EpsilonPlusFlatLRP(), network, inputs, targets)
    expected = explain(ZennitEpsilonPlusFlatLRP(), network, inputs, targets)
    torch.testing.assert_close(relevance, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("model", "shape", "steps"), [MODELS[1], MODELS[2], MODELS[5]], ids=str)
def test_the_methods_differ(model: Model, shape: tuple[int, ...], steps: int) -> None:
    network, inputs, targets = made(model, shape, steps)
    maps = [explain(each, network, inputs, targets).flatten() for each in METHODS]
    correlations = torch.corrcoef(torch.stack(maps)).fill_diagonal_(0)
    assert correlations.max() < 0.999


def test_tiny_epsilon_is_gradient_times_input() -> None:
    """On ReLU networks without bias; the first layer's flat rule is met by a convolution of 1."""
    torch.manual_seed(0)
    first = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(first.weight)
    network = nn.Sequential(
        first,
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 3, bias=False),
    ).double()
    inputs, targets = torch.randn(3, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2])
    gradient = explain(GradientTimesInput(), network, inputs, targets)
    tiny = explain(EpsilonFlatLRP(epsilon=1e-10), network, inputs, targets)
    large = explain(EpsilonFlatLRP(epsilon=1.0), network, inputs, targets)
    torch.testing.assert_close(tiny, gradient, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(large, gradient, rtol=0.1)
    torch.testing.assert_close(tiny.sum((1, 2)), logits_of(network, inputs, targets).float())


def test_residual_sums_are_canonised() -> None:
    network, inputs, targets = make(ResNet18(), (3, 16, 16))
    logits = logits_of(network, inputs, targets)
    right = explain(EpsilonPlusFlatLRP(), network, inputs, targets).sum((1, 2))
    fused = copy.deepcopy(network)
    leaves = [each for each in fused.named_modules() if not list(each[1].children())]
    for (name, layer), (norm_name, norm) in pairwise(leaves):
        if isinstance(norm, nn.BatchNorm2d):
            fused.set_submodule(name, fuse_conv_bn_eval(layer, norm))
            fused.set_submodule(norm_name, nn.Identity())
    with Gradient(fused, EpsilonPlusFlat()) as attributor:
        _, wrong = attributor(inputs, lambda logits: logits.detach() * torch.eye(3)[targets])
    assert (right.abs() <= 2 * logits.abs()).all()
    assert wrong.sum((1, 2, 3)).abs().mean() > 10 * logits.abs().mean()


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("transforms", [False, True])
@pytest.mark.parametrize("attributor", METHODS, ids=lambda each: each.name)
def test_relevance_of_clouds_is_bounded(
    attributor: Attributor, transforms: bool, channels: int
) -> None:
    network, inputs, targets = make(PointNet(transforms=transforms), (channels, 100), steps=5)
    for module in network.modules():
        if isinstance(module, LearnedTransform):
            nn.init.normal_(module.offset.weight, std=0.05)
    logits = logits_of(network, inputs, targets)
    relevance = explain(attributor, network, inputs, targets)
    assert (relevance.sum(1).abs() <= 5 * logits.abs() + 1).all()
    assert (relevance.abs().sum(1) <= 20 * logits.abs() + 5).all()
    assert (relevance != 0).any(1).all()


@pytest.mark.parametrize("attributor", METHODS, ids=lambda each: each.name)
def test_a_transform_that_is_the_identity_changes_nothing(attributor: Attributor) -> None:
    network, inputs, targets = make(PointNet(width=0.2, transforms=True), (3, 40), steps=0)
    plain = PointNet(width=0.2).build(Facts("cloud", ("a", "b", "c"), (3, 40), (0.0,), (1.0,)))
    plain.load_state_dict(network.state_dict(), strict=False)
    expected = explain(attributor, plain, inputs, targets)
    relevance = explain(attributor, network, inputs, targets)
    torch.testing.assert_close(relevance, expected, rtol=1e-2, atol=1e-3)


def test_a_constant_transform_passes_relevance_in_proportion() -> None:
    """Known answer: R_i = Σ_j x_i M_ji R_j / z_j, here with R = z, so that R_i = x_i Σ_j M_ji."""
    torch.manual_seed(0)
    transform = LearnedTransform(3, (4, 8, 16)).eval()
    nn.init.normal_(transform.offset.weight)
    head = nn.Sequential(nn.Flatten(), nn.Linear(15, 3, bias=False))
    nn.init.ones_(head[1].weight)
    network = nn.Sequential(nn.Conv1d(3, 3, 1, bias=False), transform, head)
    network[0].weight.data.copy_(torch.eye(3)[:, :, None])
    clouds = torch.randn(2, 3, 5)
    matrix = transform.matrix(clouds)
    expected = (clouds * matrix.sum(1)[:, :, None]).sum(1).detach()
    relevance = explain(EpsilonFlatLRP(epsilon=1e-8), network, clouds, torch.tensor([0, 1]))
    torch.testing.assert_close(relevance, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("transforms", [False, True])
def test_the_flat_rule_goes_to_the_layer_that_reads_the_points(transforms: bool) -> None:
    """Flat alone gives relevance to a point at the origin, which adds nothing to any product."""
    network, _, targets = make(PointNet(transforms=transforms), (3, 40))
    if transforms:
        network.input_transform = nn.Identity()
    clouds = torch.randn(6, 3, 2)
    clouds[:, :, 0] = 0
    flat = explain(EpsilonPlusFlatLRP(), network, clouds, targets)
    assert (flat[:, 0] != 0).all()
    assert (explain(GradientTimesInput(), network, clouds, targets)[:, 0] == 0).all()


@pytest.mark.parametrize("attributor", METHODS, ids=lambda each: each.name)
def test_relevance_has_the_sign_of_the_logit(attributor: Attributor) -> None:
    """A logit turned upside down turns its map; started from a bare one-hot, it would not."""
    network, inputs, targets = make(SmallCNN(width=4), (1, 8, 8))
    network[-1].bias.data.zero_()
    network[-1].weight.data *= 100
    relevance = explain(attributor, network, inputs, targets)
    network[-1].weight.data.neg_()
    turned = explain(attributor, network, inputs, targets)
    assert (relevance.abs().amax((1, 2)) > 1e-3).all()
    torch.testing.assert_close(turned, -relevance, rtol=1e-3, atol=1e-5)
