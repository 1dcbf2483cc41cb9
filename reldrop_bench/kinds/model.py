"""A model: builds a network for a task's facts; and what a network may hold that explanations know."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from reldrop_bench.data import Facts
from reldrop_bench.plugins.base import Plugin


class Model(Plugin, ABC):
    """An architecture; a plugin in a `models/` folder."""

    @abstractmethod
    def build(self, facts: Facts) -> nn.Module:
        """Return a freshly initialised network, (B, *facts.input_shape) → logits (B, len(facts.classes)).

        Weights come from torch's global generator, which the caller has seeded.
        """


class Routing(nn.Module):
    """Base of modules that only choose, move or repeat values, or subtract constants from them.

    Their gradient takes relevance back. Such a module is not looked into, so that it may compute
    indices as it likes.
    """


class LearnedTransform(nn.Module, ABC):
    """Base of modules that predict a matrix from all points of a cloud and apply it to each.

    (B, C, N) → (B, C, N). While a model is explained, the matrix counts as a constant: what it
    multiplies has relevance, how it came about has none.
    """

    @abstractmethod
    def matrix(self, points: Tensor) -> Tensor:
        """Return the transform of each cloud, (B, C, C)."""

    def forward(self, points: Tensor) -> Tensor:
        return torch.bmm(self.matrix(points), points)
