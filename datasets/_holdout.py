"""Splits cut from the data the same way by every task."""

import numpy as np
import torch
from torch import Tensor

from reldrop_bench import TrainingSplits
from reldrop_bench.data import Split, SubsetSplit, stratified_split
from reldrop_bench.seeding import numpy_generator


def cut_validation(
    pool: Split, fraction: float, name: str, seed: int, groups: Tensor | None = None
) -> TrainingSplits:
    """Cut `fraction` of every class of `pool` for validation, by task `name` and `seed`.

    groups: (len(pool),) int64, or None; samples of one group stay together.
    """
    generator = numpy_generator(name, "validation", seed)
    if groups is None:
        train, validation = stratified_split(pool.targets, fraction, generator)
    else:
        train, validation = grouped_split(pool.targets, groups, fraction, generator)
    return TrainingSplits(SubsetSplit(pool, train), SubsetSplit(pool, validation))


def grouped_split(
    targets: Tensor, groups: Tensor, fraction: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Cut indices into two parts as `stratified_split` does, but groups (N,) int64 instead of samples.

    A group counts as of the class of its first sample, whatever its size.
    """
    _, first, group = np.unique(groups.numpy(), return_index=True, return_inverse=True)
    _, chosen = stratified_split(targets[first], fraction, generator)
    second = torch.isin(torch.from_numpy(group), chosen)
    return torch.nonzero(~second)[:, 0], torch.nonzero(second)[:, 0]
