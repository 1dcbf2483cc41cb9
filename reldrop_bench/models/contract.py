"""The contract of a model: build a network for a task's facts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from reldrop_bench.data import Facts
from reldrop_bench.plugin import Plugin


class Model(Plugin, ABC):
    """An architecture: a frozen dataclass of its hyper-parameters."""

    @abstractmethod
    def build(self, facts: Facts) -> nn.Module:
        """Return a freshly initialised network, (B, *facts.input_shape) → logits (B, len(facts.classes)).

        Weights come from torch's global generator, which the caller has seeded.
        """
