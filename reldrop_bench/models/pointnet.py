"""PointNet: a shared network for every point, then a maximum over the points."""

import torch
from torch import Tensor, nn

from reldrop_bench import Facts, Model, Positive, Probability
from reldrop_bench.kinds.model import LearnedTransform

_COORDINATES = 3


class PointNet(Model):
    """A shared multi-layer perceptron over points, max-pooling and a classification head.

    Clouds (B, C, N), C = 3 or 6 (normals) → (B, classes). Qi et al., arXiv 1612.00593, narrower
    default (64-128-256 instead of 64-64-64-128-1024) and without its orthogonality loss.
    """

    name = "pointnet"
    modalities = {"cloud"}
    width: Positive = 0.5
    """Factor on the hidden widths 64, 128 and 256."""
    transforms: bool = False
    """Whether T-Nets align coordinates (3x3; normals pass as they are) and point features."""
    dropout: Probability = 0.0
    """Probability of dropout in the head."""

    def build(self, facts: Facts) -> nn.Module:
        return PointNetwork(
            facts.input_shape[0], len(facts.classes), self.width, self.transforms, self.dropout
        )


class PointNetwork(nn.Module):
    """The network of `PointNet`: (B, channels, N) → (B, classes).

    The transform nets come last: rules for the first layer go to the first one *registered*, which
    has to be the one that reads the points on the way to the logits.
    """

    def __init__(
        self, channels: int, classes: int, width: float, transforms: bool, dropout: float
    ) -> None:
        super().__init__()
        narrow, middle, wide = (max(1, round(width * base)) for base in (64, 128, 256))
        self.first = point_layer(channels, narrow)
        self.features = nn.Sequential(point_layer(narrow, middle), point_layer(middle, wide))
        self.head = nn.Sequential(
            *dense_layer(wide, middle), nn.Dropout(dropout), nn.Linear(middle, classes)
        )
        self.transforms = transforms
        if transforms:
            self.input_transform = TransformNet(_COORDINATES, (narrow, middle, wide))
            self.feature_transform = TransformNet(narrow, (narrow, middle, wide))

    def point_features(self, points: Tensor) -> Tensor:
        """Return the features of every point before pooling, (B, channels, N) → (B, F, N)."""
        if self.transforms:
            aligned = self.input_transform(points[:, :_COORDINATES])
            points = torch.cat([aligned, points[:, _COORDINATES:]], dim=1)
        features = self.first(points)
        if self.transforms:
            features = self.feature_transform(features)
        return self.features(features)

    def forward(self, points: Tensor) -> Tensor:
        return self.head(strongest(self.point_features(points)))


class TransformNet(LearnedTransform):
    """A T-Net of PointNet; it starts at the identity."""

    def __init__(self, channels: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        narrow, middle, wide = widths
        self.features = nn.Sequential(
            point_layer(channels, narrow), point_layer(narrow, middle), point_layer(middle, wide)
        )
        self.head = nn.Sequential(*dense_layer(wide, middle))
        self.offset = nn.Linear(middle, channels * channels)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def matrix(self, points: Tensor) -> Tensor:
        batch, channels, _ = points.shape
        offset = self.offset(self.head(strongest(self.features(points))))
        identity = torch.eye(channels, dtype=offset.dtype, device=offset.device)
        return identity + offset.view(batch, channels, channels)


def strongest(features: Tensor) -> Tensor:
    """Return the maximum over the points, (B, C, N) → (B, C).

    Not ``amax``, which would share the gradient, and so the relevance, among ties.
    """
    return torch.max(features, dim=2).values


def point_layer(inputs: int, outputs: int) -> nn.Sequential:
    """Make one layer of the perceptron that all points share."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 1, bias=False), nn.BatchNorm1d(outputs), nn.ReLU()
    )


def dense_layer(inputs: int, outputs: int) -> nn.Sequential:
    """Make one layer of a head."""
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())
