"""What holds for every task that makes its own data."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch

from reldrop_bench.data import Batch, Split
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.datasets.cue_images import CueImages
from reldrop_bench.plugins.datasets.cue_points import CuePoints
from reldrop_bench.plugins.datasets.digits import Digits
from reldrop_bench.plugins.datasets.shapes import Shapes

TASKS = [Digits(), CueImages(), CuePoints(), Shapes(), Shapes(normals=True, clutter=0)]
GENERATED = [CueImages, CuePoints, Shapes]


def name(value: object) -> str | None:
    if isinstance(value, Task):
        return value.name + ("-normals" if getattr(value, "normals", False) else "")
    return None


def whole(split: Split) -> Batch:
    return split.batch(torch.arange(len(split)))


@cache
def shift(task: Task, shift_name: str) -> Batch:
    return whole(task.shifts(None)[shift_name]())


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_shapes_and_types_follow_the_facts(task: Task) -> None:
    facts = task.facts(None)
    splits = task.splits(None, 0)
    assert facts.modality == task.modality
    assert len(facts.mean) == len(facts.std) == facts.input_shape[0]
    for split in (*splits, task.test(None)):
        batch = whole(split)
        assert batch.inputs.shape == (len(split), *facts.input_shape)
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.is_contiguous()
        assert batch.inputs.isfinite().all()
        assert batch.targets.dtype == torch.int64
        assert torch.equal(batch.targets, split.targets)
        assert batch.targets.unique().tolist() == list(range(len(facts.classes)))
        assert facts.masks == (batch.masks is not None)
        if batch.masks is not None:
            assert batch.masks.dtype == torch.uint8
            assert batch.masks.shape == (len(split), *facts.element_shape)


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_training_and_validation_are_disjoint_stratified_and_seeded(task: Task) -> None:
    first, again, other = (task.splits(None, seed) for seed in (0, 0, 1))
    assert torch.equal(first.train.indices, again.train.indices)
    assert not torch.equal(first.validation.indices, other.validation.indices)
    joined = torch.cat([first.train.indices, first.validation.indices])
    assert joined.sort().values.tolist() == list(range(len(joined)))
    classes = len(task.facts(None).classes)
    cut = torch.bincount(first.validation.targets, minlength=classes)
    share = cut / (cut + torch.bincount(first.train.targets, minlength=classes))
    assert (share - 0.15).abs().max() < 0.01
    pool = first.train.whole
    assert torch.equal(whole(other.train.whole).inputs, whole(pool).inputs)


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_no_test_sample_is_a_training_sample(task: Task) -> None:
    train = whole(task.splits(None, 0).train.whole).inputs.flatten(1)
    test = whole(task.test(None)).inputs.flatten(1)
    assert torch.cdist(test, train).min() > 0


@pytest.mark.parametrize("task", [Digits(), CueImages()], ids=name)
def test_training_images_have_mean_0_and_standard_deviation_1(task: Task) -> None:
    pool = whole(task.splits(None, 0).train.whole).inputs
    assert abs(pool.mean().item()) < 1e-5
    assert pool.std().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("task", TASKS, ids=name)
def test_shifts_line_up_with_the_test_split(task: Task) -> None:
    test = whole(task.test(None))
    for shift_name, make in task.shifts(None).items():
        shifted = whole(make())
        assert shifted.inputs.shape == test.inputs.shape
        assert shifted.inputs.isfinite().all()
        assert torch.equal(shifted.targets, test.targets)
        assert not torch.equal(shifted.inputs, test.inputs), shift_name
        assert (shifted.masks is None) == (test.masks is None)


GRADED = [
    (task, kind)
    for task in (Digits(), CuePoints(), Shapes())
    for kind in dict.fromkeys(n.split("/")[0] for n in task.shifts(None) if "/" in n)
]


@pytest.mark.parametrize(("task", "kind"), GRADED, ids=name)
def test_a_higher_level_changes_the_inputs_more(task: Task, kind: str) -> None:
    test = whole(task.test(None)).inputs
    names = [n for n in task.shifts(None) if n.startswith(kind + "/")]
    distances = [(shift(task, n).inputs - test).abs().mean().item() for n in names]
    assert len(distances) >= 2
    assert all(a < b for a, b in itertools.pairwise(distances))


@pytest.mark.parametrize("kind", GENERATED)
def test_generation_follows_its_seed_alone(kind: type[Task]) -> None:
    def make(seed: int) -> Batch:
        task = kind.create({"generation_seed": seed, "samples": 64, "test_samples": 32})
        return whole(task.test(None))

    first, other = make(5), make(6)
    for function in vars(__import__(kind.__module__, fromlist=["x"])).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    torch.manual_seed(123)  # the global random state plays no part
    again = make(5)
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("kind", [Digits, *GENERATED])
@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, float("nan")])
def test_a_validation_share_outside_0_and_1_is_refused(kind: type[Task], value: float) -> None:
    with pytest.raises(UserError, match="validation"):
        kind.create({"validation": value})
