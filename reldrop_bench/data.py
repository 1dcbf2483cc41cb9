"""Batches, splits and the facts of a task: what training and evaluation know of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Facts:
    """What is known of a task before any sample is seen.

    Images are (C, H, W), clouds (C, N) with C = 3 or 6 (normals); both are normalised with `mean`
    and `std` (one value a channel), so that `fill` (0) is the data's mean.
    """

    modality: str
    """The kind of input: "image" or "cloud"."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their numbers."""
    input_shape: tuple[int, ...]
    """Shape of one sample."""
    mean: tuple[float, ...]
    """By channel, what was subtracted from the data."""
    std: tuple[float, ...]
    """By channel, what the data was divided by."""
    fill: float = 0.0
    """Value of what is hidden, after normalisation."""
    masks: bool = False
    """Whether every sample has a mask: the region of interest, or with `shortcut` that one."""
    shortcut: bool = False
    """Whether masks show a shortcut, which no model should rest on, and not the object."""
    cues: int = 0
    """How many redundant cues signal a class; 0 where that is unknown."""

    @property
    def offers(self) -> frozenset[str]:
        """What plugins may require of a task: "masks" (of the object), "cues", "shortcut"."""
        there = {name for name in ("masks", "cues", "shortcut") if getattr(self, name)}
        return frozenset(there - {"masks"} if self.shortcut else there)

    @property
    def without_masks(self) -> str:
        """Why the object has no masks here; "" where it has."""
        if "masks" in self.offers:
            return ""
        return "its masks show a shortcut" if self.shortcut else "the task has no masks"

    @property
    def element_shape(self) -> tuple[int, ...]:
        """Shape of one mask or relevance map: (H, W) or (N,)."""
        return self.input_shape[1:]


@dataclass(frozen=True)
class Batch:
    """Samples that travel together.

    inputs: (B, C, H, W) or (B, C, N) float32, normalised. targets: (B,) int64 classes or (B, K)
    float class probabilities. masks: (B, H, W) or (B, N) uint8 part index, 0 = background, or None.
    occluded: (B, H, W) or (B, N) bool, what a regularizer has hidden, or None.
    samples: (B,) int64, positions in the training split, or None outside of training.
    places: (B, H, W) or (B, N) int64, which element of the sample each was before augmentation
    (flat index, -1 for padding), or None where augmentation moved nothing.
    """

    inputs: Tensor
    targets: Tensor
    masks: Tensor | None = None
    occluded: Tensor | None = None
    samples: Tensor | None = None
    places: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def replace(self, **changes: Any) -> Batch:
        """Return a copy with the given fields changed."""
        return replace(self, **changes)

    def differentiable(self) -> Batch:
        """Return the batch with inputs that have a gradient; those that have one are kept as they are."""
        if self.inputs.requires_grad:  # something before the network is trained as well
            return self
        own = self.inputs.clone() if self.inputs.is_inference() else self.inputs.detach()
        return self.replace(inputs=own.requires_grad_())

    @property
    def labels(self) -> Tensor:
        """The hard class of each sample, (B,) int64; the likeliest one where targets are soft."""
        return self.targets if self.targets.ndim == 1 else self.targets.argmax(1)

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on another device."""

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        parts = (self.masks, self.occluded, self.samples, self.places)
        return Batch(self.inputs.to(device), self.targets.to(device), *map(move, parts))


class Split(Protocol):
    """A set of samples of known length, read by index."""

    @property
    def targets(self) -> Tensor:
        """All classes, (len,) int64."""
        ...

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> Batch:
        """Return the samples at `indices` (b,) int64, in that order."""
        ...


def told_apart_among(split: Split) -> Tensor | None:
    """Return the classes (k,) int64 that answers on a split are taken from, its `among`; None: all.

    For test sets of some of the classes, whose protocol leaves the others' logits out (ImageNet-A).
    """
    return getattr(split, "among", None)


@dataclass(frozen=True)
class TensorSplit:
    """A split held in memory: inputs (N, C, …) float32, targets (N,) int64, masks (N, …) uint8."""

    inputs: Tensor
    targets: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, indices: Tensor) -> Batch:
        masks = None if self.masks is None else self.masks[indices]
        return Batch(self.inputs[indices], self.targets[indices], masks)


@dataclass(frozen=True)
class SubsetSplit:
    """The samples of another split at `indices` (n,) int64."""

    whole: Split
    indices: Tensor

    @property
    def targets(self) -> Tensor:
        return self.whole.targets[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor) -> Batch:
        return self.whole.batch(self.indices[indices])


class TrainingSplits(NamedTuple):
    """What training may see."""

    train: Split
    validation: Split


Shifts = Mapping[str, Callable[[], Split]]
"""Shifted test sets by name, each made only when it is asked for."""


def stratified_split(
    targets: Tensor, fraction: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cut indices into two parts, class by class.

    targets (N,) int64; `fraction` of every class (rounded, at least one sample of each class stays
    in either part when the class has two or more) goes to the second part. Returns two sorted index
    tensors. The result depends on `generator` alone, not on the machine.
    """
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    values = targets.numpy()
    for label in np.unique(values):
        members = generator.permutation(np.flatnonzero(values == label))
        count = round(len(members) * fraction)
        if len(members) > 1 and fraction > 0:
            count = min(max(count, 1), len(members) - 1)
        second.append(members[:count])
        first.append(members[count:])
    return (
        torch.from_numpy(np.sort(np.concatenate(first))),
        torch.from_numpy(np.sort(np.concatenate(second))),
    )
