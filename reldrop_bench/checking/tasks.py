"""The contract of a task: facts that hold, splits that are what the protocol says."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from reldrop_bench.checking.reading import fault_of, reading
from reldrop_bench.checking.rules import (
    Broken,
    NotConcerned,
    checks_in,
    example,
    no_global_draws,
    require,
    twice,
)
from reldrop_bench.data import Batch, Facts, Split, SubsetSplit, TrainingSplits
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins import registry
from reldrop_bench.running.benchmark import data_root
from reldrop_bench.statistics.wording import by_number, counted

READ = 2000
"""Samples of a split that are read at most."""
SHIFTS = 4
"""Shifted test sets that are looked at, the first ones."""
OVERLAP = 0.02
"""Share of equal samples in two splits that real data may hold by accident."""


def _task(cls: type[Task]) -> tuple[Task, Path | None, Facts]:
    """Return an instance, the folder of local data, and its facts."""
    task: Task = example(cls)
    try:
        root = data_root(None)
        return task, root, task.facts(root)
    except UserError as error:
        raise NotConcerned(f"its data is not here: {error}") from None


def _read(split: Split) -> Batch:
    return split.batch(torch.arange(min(len(split), READ)))


def _digests(split: Split) -> list[bytes]:
    inputs = _read(split).inputs.contiguous().numpy()
    return [hashlib.blake2b(sample.tobytes(), digest_size=12).digest() for sample in inputs]


def _same(first: Split, second: Split) -> bool:
    if len(first) != len(second) or not torch.equal(first.targets, second.targets):
        return False
    return _digests(first) == _digests(second)


def _splits(task: Task, root: Path | None) -> Iterator[tuple[str, Split]]:
    splits = task.splits(root, 0)
    yield "train", splits.train
    yield "validation", splits.validation
    yield "test", task.test(root)
    for name, shift in list(task.shifts(root).items())[:SHIFTS]:
        yield f"shift {name}", shift()


def files_are_named(cls: type[Task]) -> None:
    """What it reads below the folder of local data is named by data_files."""
    task: Task = example(cls)
    root = data_root(None)
    if root is None:
        raise NotConcerned("no folder of local data is given, so that it can read none")
    with reading(root) as read:
        _task(cls)
        for _, split in _splits(task, root):
            _read(split)
    files = task.data_files(root)
    if files is not None:
        fault = fault_of(files, task.data_files(root), read)
        require(not fault, fault)
    elif (
        type(task).data_files is Task.data_files
    ):  # one of its own may say that no content is but one
        require(
            not read,
            f"it reads {counted(len(read), 'file')} below the folder of local data, and has no data_files: other "
            "data under the same names would be taken for the same",
        )


def random_state_is_untouched(cls: type[Task]) -> None:
    """Making the data draws from no global generator."""
    task, root, _ = _task(cls)
    with no_global_draws("it", "use reldrop_bench.seeding.numpy_generator(self.name, …)"):
        for _, split in _splits(task, root):
            split.batch(torch.arange(2))


def protocol_is_stated(cls: type[Task]) -> None:
    """One modality, a recipe and a default model that takes it."""
    require(
        len(cls.modalities) == 1,
        f'modalities = {set(cls.modalities)!r}: a task has one kind of input, "image" or "cloud"',
    )
    recipe = getattr(cls, "recipe", None)
    require(isinstance(recipe, Recipe), "recipe is missing; write recipe = Recipe(…)")
    name = getattr(cls, "default_model", None)
    require(isinstance(name, str), "default_model is missing; give the name of a model")
    try:
        model = registry.create("models", str(name))
    except UserError as error:
        raise Broken(f"default_model: {error}") from None
    require(
        cls.modalities <= model.modalities,
        f"default_model {name!r} does not take {'/'.join(cls.modalities)} inputs",
    )


def facts_are_consistent(cls: type[Task]) -> None:
    """Classes, shape, mean and std fit each other."""
    task, _, facts = _task(cls)
    shape = facts.input_shape
    require(
        facts.modality == task.modality,
        f"facts say {facts.modality!r}, the class says {task.modality!r}",
    )
    wanted = {"image": 3, "cloud": 2}[task.modality]
    require(
        len(shape) == wanted,
        f"input_shape = {shape}: images are (C, H, W), clouds (C, N)",
    )
    require(
        task.modality == "image" or shape[0] in (3, 6),
        f"input_shape = {shape}: clouds have 3 channels, or 6 with normals",
    )
    require(
        len(facts.mean) == len(facts.std) == shape[0] and min(facts.std) > 0,
        f"mean {facts.mean} and std {facts.std}: one value for each of {shape[0]} channels, std above 0",
    )
    require(
        len(facts.classes) >= 2 and len(set(facts.classes)) == len(facts.classes),
        "classes: two names or more, each once",
    )
    require(
        facts.masks or not facts.cues, "cues without masks: masks hold the index of the cue (1 …)"
    )
    try:
        json.dumps(dataclasses.asdict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(
            f"facts are not plain values ({error}); use float(…), int(…) and tuples"
        ) from None


def batches_match_the_facts(cls: type[Task]) -> None:
    """Shapes, dtypes, class indices and masks are what the facts say, in every split."""
    task, root, facts = _task(cls)
    for name, split in _splits(task, root):
        batch = _read(split)
        count = len(batch)
        require(len(split) == len(split.targets), f"{name}: len(split) is not len(split.targets)")
        require(count > 0, f"{name}: it is empty")
        _require_inputs(name, batch, facts)
        require(
            batch.targets.dtype == torch.int64 and batch.targets.shape == (count,),
            f"{name}: targets are {batch.targets.dtype} {tuple(batch.targets.shape)}, not int64 ({count},)",
        )
        low, high = int(split.targets.min()), int(split.targets.max())
        require(
            low >= 0 and high < len(facts.classes),
            f"{name}: classes {low} … {high}, the facts name {len(facts.classes)} (0 … {len(facts.classes) - 1})",
        )
        require(
            torch.equal(batch.targets, split.targets[:count]),
            f"{name}: the targets of batch(indices) are not split.targets[indices]",
        )
        _require_masks(name, batch.masks, count, facts)
        order = torch.arange(min(count, 5)).flip(0)
        require(
            torch.equal(split.batch(order).inputs, batch.inputs[order]),
            f"{name}: a sample differs when it is read again in another order; keep augmentation out "
            "of the splits (it belongs to the recipe)",
        )


def _require_inputs(name: str, batch: Batch, facts: Facts) -> None:
    wanted = (len(batch), *facts.input_shape)
    require(
        batch.inputs.dtype == torch.float32 and batch.inputs.shape == wanted,
        f"{name}: inputs are {batch.inputs.dtype} {tuple(batch.inputs.shape)}, not float32 {wanted}",
    )
    require(bool(torch.isfinite(batch.inputs).all()), f"{name}: inputs hold NaN or infinite values")


def _require_masks(name: str, masks: Tensor | None, count: int, facts: Facts) -> None:
    if not facts.masks:
        require(masks is None, f"{name}: it has masks, the facts say masks=False")
        return
    if masks is None:
        raise Broken(f"{name}: the facts say masks=True and batch.masks is None")
    wanted = (count, *facts.element_shape)
    require(
        masks.dtype == torch.uint8 and masks.shape == wanted,
        f"{name}: masks are {masks.dtype} {tuple(masks.shape)}, not uint8 {wanted}",
    )
    require(
        not facts.cues or int(masks.max()) <= facts.cues,
        f"{name}: masks hold part {int(masks.max())}, the facts name {facts.cues} cues",
    )


def splits_depend_on_the_seed_alone(cls: type[Task]) -> None:
    """The same seed gives the same splits, whatever was drawn before."""
    task, root, _ = _task(cls)

    def splits() -> TrainingSplits:
        task.splits(root, 1)
        return task.splits(root, 0)

    first, second = twice(splits)
    for part, one, two in zip(("train", "validation"), first, second, strict=True):
        require(
            _same(one, two),
            f"splits(root, 0) gives another {part} split the second time; derive the cut from "
            "reldrop_bench.seeding.numpy_generator(self.name, seed)",
        )


def validation_is_cut_by_seed(cls: type[Task]) -> None:
    """Another seed cuts another validation part from the training data."""
    task, root, _ = _task(cls)
    if _same(task.splits(root, 0).validation, task.splits(root, 1).validation):
        raise NotConcerned(
            "seeds 0 and 1 have the same validation split: taken for an official one"
        )


def splits_are_disjoint(cls: type[Task]) -> None:
    """No sample is in two of train, validation and test."""
    task, root, _ = _task(cls)
    splits, test = task.splits(root, 0), task.test(root)
    train, validation = splits
    if (
        isinstance(train, SubsetSplit)
        and isinstance(validation, SubsetSplit)
        and train.whole is validation.whole
    ):
        shared = len(set(train.indices.tolist()) & set(validation.indices.tolist()))
        require(shared == 0, f"{shared} samples are in the train and in the validation split")
    named = {"train": train, "validation": validation, "test": test}
    digests = {name: _digests(split) for name, split in named.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        known = set(digests[one])
        shared = sum(digest in known for digest in digests[other])
        require(
            shared <= OVERLAP * len(digests[other]),
            f"{shared} of {counted(len(digests[other]), 'sample')} of {other} "
            f"{by_number(shared, 'is', 'are')} in {one} as well",
        )


def validation_is_stratified(cls: type[Task]) -> None:
    """Every class has about the same share in validation as in training."""
    task, root, facts = _task(cls)
    splits = task.splits(root, 0)
    if _same(splits.validation, task.splits(root, 1).validation):
        raise NotConcerned(
            "its validation split is the same for all seeds: taken for an official one"
        )
    held = torch.bincount(splits.validation.targets, minlength=len(facts.classes)).double()
    both = held + torch.bincount(splits.train.targets, minlength=len(facts.classes))
    wanted = both * held.sum() / both.sum()
    worst = int((held - wanted).abs().argmax())
    gap = float((held - wanted).abs()[worst])
    require(
        gap <= 2 + 0.1 * float(wanted[worst]),
        f"class {facts.classes[worst]!r} has {counted(int(held[worst]), 'validation sample')} where "
        f"{float(wanted[worst]):.1f} were its share; use reldrop_bench.data.stratified_split",
    )


def split_for_tests_is_fixed(cls: type[Task]) -> None:
    """test() is the same each time, whatever seed was used before."""
    task, root, _ = _task(cls)

    def test() -> Split:
        task.splits(root, 1)
        return task.test(root)

    require(
        _same(*twice(test)),
        "test() gives other samples the second time; it is the same for every seed, so that models "
        "are compared on the same items",
    )


def inputs_are_normalised(cls: type[Task]) -> None:
    """Training inputs have about mean 0 and standard deviation 1 a channel, clouds up to 1."""
    task, root, facts = _task(cls)
    inputs = _read(task.splits(root, 0).train).inputs.double()
    channels = inputs.transpose(0, 1).flatten(1)
    mean, std = float(channels.mean(1).abs().max()), channels.std(1)
    least = 0.75 if facts.modality == "image" else 0.2  # clouds in a unit ball have less than 1
    if mean > 0.15 or float(std.min()) < least or float(std.max()) > 1.3:
        raise NotConcerned(
            f"a warning: |mean| is up to {mean:.2f} and std {float(std.min()):.2f} … "
            f"{float(std.max()):.2f} a channel; fills assume that 0 is the mean and 1 the scale"
        )


def shifts_line_up(cls: type[Task]) -> None:
    """Shifted test sets have the test split's items in its order, and are the same each time."""
    task, root, _ = _task(cls)
    shifts, test = task.shifts(root), task.test(root)
    if not shifts:
        raise NotConcerned("it has no shifted test sets")
    unpaired = []
    for name in list(shifts)[:SHIFTS]:
        first, second = twice(shifts[name])
        require(
            _same(first, second),
            f"shift {name!r} gives other samples the second time; derive it from "
            "reldrop_bench.seeding.numpy_generator(self.name, …)",
        )
        if len(first) != len(test) or not torch.equal(first.targets, test.targets):
            unpaired.append(f"{name} ({counted(len(first), 'item')}, test has {len(test)})")
    if unpaired:
        raise NotConcerned(f"no item-wise comparison with the test split: {', '.join(unpaired)}")


CHECKS = checks_in(vars())
