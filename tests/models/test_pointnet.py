"""PointNet: the order of the points means nothing, and transforms start at the identity."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reldrop_bench.data import Facts
from reldrop_bench.models.pointnet import PointNet, strongest
from reldrop_bench.models.pointnet import TransformNet as LearnedTransform


def facts(channels: int, points: int = 40) -> Facts:
    shape = (channels, points)
    return Facts("cloud", ("a", "b", "c"), shape, mean=(0.0,) * channels, std=(1.0,) * channels)


@pytest.mark.parametrize("channels", [3, 6])
@pytest.mark.parametrize("transforms", [False, True])
@pytest.mark.parametrize("points", [1, 40, 57])
def test_logits_for_any_cloud(channels: int, transforms: bool, points: int) -> None:
    network = PointNet(width=0.1, transforms=transforms).build(facts(channels)).eval()
    assert network(torch.randn(2, channels, points)).shape == (2, 3)


@pytest.mark.parametrize("transforms", [False, True])
def test_order_and_repetition_of_points_do_not_matter(transforms: bool) -> None:
    network = PointNet(width=0.2, transforms=transforms).build(facts(3)).eval()
    clouds = torch.randn(2, 3, 40)
    logits = network(clouds)
    torch.testing.assert_close(network(clouds.flip(2)), logits)
    torch.testing.assert_close(network(torch.cat([clouds, clouds[:, :, :7]], 2)), logits)


def test_a_fresh_transform_is_the_identity() -> None:
    points = torch.randn(3, 5, 20)
    transform = LearnedTransform(5, (4, 8, 16))
    torch.testing.assert_close(transform(points), points)


def test_a_transform_multiplies_every_point_by_its_clouds_matrix() -> None:
    points = torch.randn(2, 3, 6)
    transform = LearnedTransform(3, (4, 8, 16)).eval()
    nn.init.normal_(transform.offset.weight)
    matrix = transform.matrix(points)
    assert not torch.allclose(matrix[0], matrix[1])
    torch.testing.assert_close(transform(points)[1, :, 4], matrix[1] @ points[1, :, 4])


def test_normals_pass_the_input_transform_unchanged() -> None:
    network = PointNet(width=0.1, transforms=True).build(facts(6)).eval()
    nn.init.normal_(network.input_transform.offset.bias)
    seen: list[torch.Tensor] = []
    network.first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    clouds = torch.randn(2, 6, 40)
    network(clouds)
    assert torch.equal(seen[0][:, 3:], clouds[:, 3:])
    assert not torch.allclose(seen[0][:, :3], clouds[:, :3])


def test_transforms_are_trained() -> None:
    torch.manual_seed(0)
    network = PointNet(width=0.1, transforms=True).build(facts(3))
    network(torch.randn(4, 3, 40)).logsumexp(1).sum().backward()
    for transform in (network.input_transform, network.feature_transform):
        assert transform.offset.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("transforms", [False, True])
def test_the_layer_that_reads_the_points_is_registered_first(transforms: bool) -> None:
    network = PointNet(transforms=transforms).build(facts(3))
    linear = [each for each in network.modules() if isinstance(each, nn.Conv1d | nn.Linear)]
    assert linear[0] is network.first[0]


def test_the_maximum_belongs_to_one_point_alone() -> None:
    features = torch.ones(1, 2, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(strongest(features).sum(), features)
    assert sorted(gradient[0, 0].tolist()) == [0, 0, 0, 0, 1]


def test_dropout_acts_in_training_only() -> None:
    network = PointNet(width=0.2, dropout=0.5).build(facts(3))
    clouds = torch.randn(4, 3, 40)
    assert not torch.equal(network(clouds), network(clouds))
    network.eval()
    assert torch.equal(network(clouds), network(clouds))
