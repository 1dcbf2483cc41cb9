"""The validation split, cut from the training data the same way by every task."""

from reldrop_bench import TrainingSplits
from reldrop_bench.data import Split, SubsetSplit, stratified_split
from reldrop_bench.seeding import numpy_generator


def cut_validation(pool: Split, fraction: float, name: str, seed: int) -> TrainingSplits:
    """Cut `fraction` of every class of `pool` for validation, by task `name` and `seed`."""
    generator = numpy_generator(name, "validation", seed)
    train, validation = stratified_split(pool.targets, fraction, generator)
    return TrainingSplits(SubsetSplit(pool, train), SubsetSplit(pool, validation))
