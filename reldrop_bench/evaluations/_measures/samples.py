"""One number a sample, where not every sample has one."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PerSample(NamedTuple):
    """Values of some samples, with those that have none marked instead of filled in."""

    values: Tensor
    """(B,) float64; 0 where there is none."""
    defined: Tensor
    """(B,) bool."""

    @property
    def kept(self) -> Tensor:
        """The values that there are, (b,) float64, b <= B."""
        return self.values[self.defined]

    @property
    def mean(self) -> float | None:
        """Their mean; None where no sample has a value."""
        return self.kept.mean().item() if self.defined.any() else None


def where_defined(values: Tensor, defined: Tensor) -> PerSample:
    """Return values (B,), which may be anything where `defined` (B,) bool says no."""
    return PerSample(torch.where(defined, values, 0.0), defined)


def varies(values: Tensor) -> Tensor:
    """Return which of the maps (B, …) are not constant, (B,) bool: these say nothing of where."""
    flat = values.flatten(1)
    return flat.amax(1) > flat.amin(1)


def joined(parts: Sequence[PerSample]) -> PerSample:
    """Return the samples of several batches, in their order."""
    return PerSample(
        torch.cat([part.values for part in parts]), torch.cat([part.defined for part in parts])
    )
