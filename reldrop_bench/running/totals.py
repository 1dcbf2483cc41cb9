"""What an epoch adds up to, without waiting for the device at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from reldrop_bench.data import Batch

LOOK_EVERY = 50
"""Steps between two looks at the loss: each waits for the device."""


@dataclass
class Totals:
    """Sums over an epoch's samples, read from the device `LOOK_EVERY` steps at a time: each reading waits for it."""

    loss: float = 0.0
    correct: int = 0
    samples: int = 0
    occluded: float | None = None
    """None where the regularizer hides nothing."""
    unread: list[tuple[int, int, Tensor, Tensor, Tensor | None]] = field(default_factory=list)
    """Of steps that were not read yet: step, samples, loss, how many are right, share that is hidden."""

    def add(self, index: int, loss: Tensor, logits: Tensor, batch: Batch) -> None:
        right = (logits.detach().argmax(1) == batch.labels).sum()
        hidden = None
        if batch.occluded is not None:
            hidden = batch.occluded.float().flatten(1).mean(1).sum()
        self.unread.append((index, len(batch), loss.detach(), right, hidden))

    def read(self) -> tuple[int, float] | None:
        """Add what was not read yet; returns the first step whose loss is not finite, and that loss."""
        for index, count, loss, right, hidden in self.unread:
            if not math.isfinite(value := loss.item()):
                return index, value
            self.loss += value * count
            self.correct += int(right)
            self.samples += count
            if hidden is not None:
                self.occluded = (self.occluded or 0.0) + hidden.item()
        self.unread.clear()
        return None
