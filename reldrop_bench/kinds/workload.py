"""How much there is to measure on one trained model, for estimates of what that costs."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from reldrop_bench.data import Facts

PLAIN_STEP = 3.0
"""Passes a sample of a training step without anything added: forward, and twice that backward."""


@dataclass(frozen=True)
class Workload:
    """The sizes that the cost of an evaluation depends on.

    A pass is one forward pass of one sample. Those of the test split are left out of what an
    evaluation costs: its predictions are made once for all.
    """

    facts: Facts
    """What is known of the task."""
    items: int
    """Samples of the test split."""
    shifts: int = 0
    """Shifted test sets."""
    training: int = 0
    """Samples that are trained on."""
    companions: Set[str] = frozenset()
    """Roles of the other models that there are to compare with."""
    explanation: float = 4.0
    """Passes that the explanation of one sample takes, by the benchmark's attribution method."""
    step: float = PLAIN_STEP
    """Passes a sample that a training step of the cell's regularizer takes."""

    def sample(self, size: int | None) -> int:
        """Return how many items an evaluation of at most `size` samples takes; None: all."""
        return self.items if size is None else min(size, self.items)
