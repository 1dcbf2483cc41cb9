"""LRP: what zennit gives when it is called by hand, on networks that it needs help with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat, NameMapComposite
from zennit.core import Composite
from zennit.rules import Epsilon, Flat, Norm
from zennit.torchvision import ResNetCanonizer
from zennit.types import AvgPool, Linear

from reldrop_bench.data import Facts
from reldrop_bench.models.contract import Model
from reldrop_bench.models.pointnet import LearnedTransform, PointNet
from reldrop_bench.models.resnet import ResNet18
from reldrop_bench.models.small_cnn import SmallCNN
from reldrop_bench.relevance.contract import Attributor
from reldrop_bench.relevance.explain import explain_with
from reldrop_bench.relevance.gradient import GradientTimesInput
from reldrop_bench.relevance.lrp import ConstantTransform, EpsilonFlatLRP, EpsilonPlusFlatLRP

MODELS: list[tuple[Model, tuple[int, ...]]] = [
    (SmallCNN(width=4), (2, 8, 8)),
    (ResNet18(), (3, 16, 16)),
    (PointNet(width=0.2), (3, 40)),
]


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


def explain(attributor: Attributor, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return explain_with(attributor, model, inputs, targets, torch.Generator())


def by_hand(composite: Composite, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Explain with zennit's own attributor, from the one-hot times the logit."""
    one_hot = torch.eye(3)[targets]
    with Gradient(model, composite) as attributor:
        _, relevance = attributor(inputs.clone(), lambda logits: logits.detach() * one_hot)
    return relevance.sum(1)


def logits_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    with torch.no_grad():
        return model(inputs).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_epsilon_plus_flat_equals_zennit(model: Model, shape: tuple[int, ...]) -> None:
    network, inputs, targets = make(model, shape)
    canonizers = [ResNetCanonizer() if len(shape) == 3 else SequentialMergeBatchNorm()]
    expected = by_hand(EpsilonPlusFlat(canonizers=canonizers), network, inputs, targets)
    relevance = explain(EpsilonPlusFlatLRP(), network, inputs, targets)
    torch.testing.assert_close(relevance, expected)


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_epsilon_flat_equals_zennit_with_rules_by_name(
    model: Model, shape: tuple[int, ...]
) -> None:
    network, inputs, targets = make(model, shape)
    linear = [name for name, each in network.named_modules() if isinstance(each, Linear)]
    pools = [name for name, each in network.named_modules() if isinstance(each, AvgPool)]
    sums = [f"layer{stage}.{block}.canonizer_sum" for stage in range(1, 5) for block in range(2)]
    composite = NameMapComposite(
        [(linear[:1], Flat()), (linear[1:], Epsilon(1e-3)), ([*pools, *sums], Norm())],
        canonizers=[ResNetCanonizer()],
    )
    expected = by_hand(composite, network, inputs, targets)
    relevance = explain(EpsilonFlatLRP(), network, inputs, targets)
    torch.testing.assert_close(relevance, expected)


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=str)
def test_the_two_rules_differ(model: Model, shape: tuple[int, ...]) -> None:
    network, inputs, targets = make(model, shape)
    plus = explain(EpsilonPlusFlatLRP(), network, inputs, targets)
    epsilon = explain(EpsilonFlatLRP(), network, inputs, targets)
    correlation = torch.corrcoef(torch.stack([plus.flatten(), epsilon.flatten()]))[0, 1]
    assert correlation < 0.99


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
    without = EpsilonPlusFlat(canonizers=[SequentialMergeBatchNorm()])
    wrong = by_hand(without, network, inputs, targets).sum((1, 2))
    assert (right.abs() <= 2 * logits.abs()).all()
    assert wrong.abs().mean() > 10 * logits.abs().mean()


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("transforms", [False, True])
@pytest.mark.parametrize("attributor", [EpsilonPlusFlatLRP(), EpsilonFlatLRP()], ids=str)
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


@pytest.mark.parametrize("attributor", [EpsilonPlusFlatLRP(), EpsilonFlatLRP()], ids=str)
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
    assert not any(isinstance(each, ConstantTransform) for each in network.modules())


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


@pytest.mark.parametrize("attributor", [EpsilonPlusFlatLRP(), EpsilonFlatLRP()], ids=str)
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
