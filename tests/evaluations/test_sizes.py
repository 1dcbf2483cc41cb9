"""Sizes `fast`, `standard` and `full`, and what each evaluation says of its cost.

Operations are counted by torch's own formulas, so that no clock decides a test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from reldrop_bench import Context, Evaluation, Record, TensorSplit, TrainingSplits
from reldrop_bench.evaluations._occluding.kept import KEPT
from reldrop_bench.evaluations.cost import _operations
from reldrop_bench.evaluations.cues import CueUse
from reldrop_bench.evaluations.faithfulness import Faithfulness
from reldrop_bench.evaluations.occlusion import OcclusionRobustness
from reldrop_bench.evaluations.shifts import ShiftAccuracy
from reldrop_bench.kinds.evaluation import SIZES
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.plugins import registry
from reldrop_bench.seeding import global_seed

BUILT_IN = [
    entry.cls
    for entry in registry.entries("evaluations")
    if entry.built_in and entry.cls is not None
]
NAMES = [cls.name for cls in BUILT_IN]
EXPENSIVE = ["cues", "diversity", "faithfulness", "occlusion", "shifts"]
"""Those that take many predictions, or many explanations, of a test split of any size."""
NO_PRESETS = ["accuracy", "calibration"]
"""Those that look at the predictions that are there anyway."""

MakeContext = Callable[..., Context]


@pytest.fixture
def trained(context_of: MakeContext, glyphs: Any, clouds: Any) -> Callable[..., Context]:
    """Return a function that gives a model of tiny images or clouds, with all that can be asked for."""

    class WithTraining(glyphs):
        """Its test items are its training items, too."""

        name = "tiny-glyphs-trained"

        def splits(self, root: Path | None, seed: int) -> TrainingSplits:
            return TrainingSplits(self.test(root), self.test(root))

    class CloudsWithTraining(clouds):
        """Its test items, which come again and again, are its training items, too."""

        name = "tiny-clouds-trained"
        count: int = 30

        def splits(self, root: Path | None, seed: int) -> TrainingSplits:
            return TrainingSplits(self.test(root), self.test(root))

        def test(self, root: Path | None) -> TensorSplit:
            whole = super().test(root)
            items = torch.arange(self.count) % len(whole)
            return TensorSplit(whole.inputs[items], whole.targets[items])

    def make(modality: str = "image", count: int = 120, role: str = "") -> Context:
        KEPT.clear()  # which another test may have filled
        with global_seed("sizes", role):
            if modality == "image":
                task = WithTraining(count=count)
                layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()]
                model = nn.Sequential(
                    *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
                )
            else:
                task = CloudsWithTraining(count=count)
                model = nn.Sequential(
                    nn.Conv1d(3, 8, 1),
                    nn.ReLU(),
                    nn.AdaptiveAvgPool1d(1),
                    nn.Flatten(),
                    nn.Linear(8, 2),
                )
        roles = () if role else ("reference", "baseline", "first-seed")
        others = {each: partial(make, modality, count, each) for each in roles}
        return context_of(model, task, recipe=Recipe(), companions=others)

    return make


def counted(evaluation: Evaluation, context: Context) -> float:
    """Return the forward passes of one sample that an evaluation makes, by operations."""
    batch = context.test.batch(context.order[:16])
    forward = _operations(lambda: context.model(batch.inputs)) / len(batch)
    context.logits()  # which are made once for all
    return _operations(lambda: evaluation.evaluate(context, Record())) / forward


def workload(context: Context) -> Workload:
    batch = context.test.batch(context.order[:16])
    forward = _operations(lambda: context.model(batch.inputs))
    explained = _operations(lambda: context.explain(batch, context.generator("test")))
    return Workload(
        facts=context.facts,
        items=len(context.test),
        shifts=len(context.shifts),
        training=len(context.test),
        companions=context.companions.keys(),
        explanation=explained / forward,
    )


@pytest.mark.parametrize("cls", BUILT_IN, ids=NAMES)
def test_every_evaluation_has_the_sizes_and_standard_is_what_it_is_by_default(
    cls: type[Evaluation],
) -> None:
    sizes = {size: cls.create({"preset": size}) for size in SIZES}
    assert set(sizes) == {"fast", "standard", "full"}
    if cls.name == "quantus":  # off by default, with a size of its own as a parameter
        assert [sizes[size].size for size in SIZES] == list(SIZES)
    else:
        assert sizes["standard"] == cls()
    varied = {name for name in cls.presets if cls.presets[name]}
    assert bool(varied) == (cls.name not in NO_PRESETS)


def test_sizes_do_nothing_where_an_evaluation_of_ones_own_says_nothing_of_them() -> None:
    class Own(Evaluation):
        """Says nothing of sizes."""

        name = "own"
        count: int = 3

        def evaluate(self, context: Context, record: Record) -> None: ...

    class OwnPresets(Own):
        """Has other presets, and one of the sizes."""

        name = "own-presets"
        presets = {"mine": {"count": 1}, "fast": {"count": 2}}

    assert [Own.create({"preset": size}).count for size in SIZES] == [3, 3, 3]
    assert [OwnPresets.create({"preset": size}).count for size in SIZES] == [2, 3, 3]
    assert OwnPresets.create({"preset": "mine"}).count == 1
    assert Own().passes(Workload(None, 10)) is None  # type: ignore[arg-type]


def names(rows: pd.DataFrame) -> set[tuple[str, str, str]]:
    rows = rows[rows["table"] != "sample"]
    return set(zip(rows["table"], rows["split"], rows["metric"], strict=True))


@pytest.mark.parametrize("modality", ["image", "cloud"])
@pytest.mark.parametrize("cls", [c for c in BUILT_IN if c.name != "quantus"], ids=lambda c: c.name)
def test_fast_writes_the_metrics_of_standard(
    cls: type[Evaluation], modality: str, trained: Callable[..., Context]
) -> None:
    found = []
    for size in ("fast", "standard"):
        context, record = trained(modality, 80), Record()
        evaluation = cls.create({"preset": size})
        if evaluation.applies_to(context.facts):
            evaluation.evaluate(context, record)
        found.append(names(record.frame()))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", EXPENSIVE)
def test_fast_costs_at_most_a_quarter_of_standard(
    name: str, trained: Callable[..., Context]
) -> None:
    cls = registry.find("evaluations", name).cls
    # Images where clouds have nothing to measure; these are filled faster.
    modality = "image" if name in ("cues", "shifts") else "cloud"
    fast, standard = (
        counted(cls.create({"preset": size}), trained(modality, 1600))
        for size in ("fast", "standard")
    )
    assert 0 < fast <= standard / 4


@pytest.mark.parametrize("name", EXPENSIVE)
def test_full_costs_more_than_standard_by_its_declaration(
    name: str, trained: Callable[..., Context]
) -> None:
    cls = registry.find("evaluations", name).cls
    sizes = Workload(trained().facts, 10_000, shifts=15, training=10_000)
    fast, standard, full = (cls.create({"preset": size}).passes(sizes) for size in SIZES)
    assert fast < standard
    assert standard < full or name == "shifts"  # which takes everything by default


CASES = [
    (name, size, modality)
    for name, size, modality in itertools.product(NAMES, ("fast", "standard"), ("image", "cloud"))
    if name not in NO_PRESETS
]


@pytest.mark.parametrize(("name", "size", "modality"), CASES)
def test_what_is_declared_is_within_a_factor_of_two_of_what_is_counted(
    name: str, size: str, modality: str, trained: Callable[..., Context]
) -> None:
    evaluation = registry.create("evaluations", name, {"preset": size})
    context = trained(modality)
    if not evaluation.applies_to(context.facts):
        pytest.skip("it does not apply")
    declared, true = evaluation.passes(workload(context)), counted(evaluation, context)
    assert declared is not None
    if not true:
        assert declared == 0
    else:
        assert 0.5 <= declared / true <= 2


@pytest.mark.parametrize("name", NO_PRESETS)
def test_evaluations_of_shared_predictions_make_none(
    name: str, trained: Callable[..., Context]
) -> None:
    evaluation = registry.create("evaluations", name)
    assert evaluation.passes(workload(trained())) == counted(evaluation, trained()) == 0


def test_every_built_in_evaluation_declares_its_passes() -> None:
    assert [cls.name for cls in BUILT_IN if cls.passes is Evaluation.passes] == []


def table(context: Context, evaluation: Evaluation) -> pd.DataFrame:
    record = Record()
    evaluation.evaluate(context, record)
    return record.frame()


@pytest.mark.parametrize("cls", [OcclusionRobustness, Faithfulness], ids=["occlusion", "faithful"])
def test_a_fast_curve_is_some_points_of_the_standard_one(
    cls: type[Evaluation], trained: Callable[..., Context]
) -> None:
    context = trained("image", 40)  # fewer than either takes, so that only the fractions differ
    fast, standard = (
        table(context, cls.create({"preset": size})).query("table == 'curve'")
        for size in ("fast", "standard")
    )
    both = fast.merge(standard, on=["split", "metric", "x"], suffixes=("", "_standard"))
    assert len(both) == len(fast) > 0
    np.testing.assert_array_equal(both["value"], both["value_standard"])


def test_a_fast_sample_is_the_first_of_the_standard_items(trained: Callable[..., Context]) -> None:
    context = trained("image", 600)
    fractions = (0.0, 0.5, 0.9)
    for cls in (OcclusionRobustness, Faithfulness):
        items = [
            set(table(context, cls(max_samples=count, fractions=fractions, fills=("mean",)))
            .query("table == 'example'")["item"])
            for count in (cls.create({"preset": "fast"}).max_samples, cls().max_samples)
        ]  # fmt: skip
        assert items[0] < items[1]
        assert items[0] == set(context.subset(len(items[0])).tolist())


def test_a_sample_of_a_shifted_set_estimates_the_accuracy_on_all_of_it(
    glyphs: Any, context_of: MakeContext, cue_reader: Any
) -> None:
    context = context_of(cue_reader((0, 1)), glyphs(count=1600))
    fast, all_items = (
        table(context, ShiftAccuracy.create({"preset": size})).set_index("split")["value"]
        for size in ("fast", "standard")
    )
    # Classes are taken in proportion, and this model is right or wrong about a class as a whole.
    pd.testing.assert_series_equal(fast, all_items, check_exact=False, atol=1e-12)


def test_cue_use_of_few_items_is_that_of_all_where_items_of_a_class_are_alike(
    glyphs: Any, context_of: MakeContext, cue_reader: Any
) -> None:
    context = context_of(cue_reader((0, 1)), glyphs(count=1600))
    columns = ["split", "metric"]
    fast, standard = (
        table(context, CueUse.create({"preset": size}))
        .query("table == 'metric'")
        .set_index(columns)
        for size in ("fast", "standard")
    )
    fast, standard = (rows["value"].drop("samples", level=1) for rows in (fast, standard))
    np.testing.assert_allclose(fast, standard[fast.index], atol=1e-9)


def test_what_is_sampled_does_not_depend_on_what_was_predicted_before(
    trained: Callable[..., Context],
) -> None:
    first, second = trained("image", 200), trained("image", 200)
    second.model.load_state_dict(first.model.state_dict())
    second.logits("mirrored")
    for name, size in (("mirrored", 50), ("test", 50), ("mirrored", None), ("test", 1000)):
        a, b = first.sampled(name, size), second.sampled(name, size)
        assert all((x == y).all() for x, y in zip(a, b, strict=True))
        assert len(a[0]) == min(size or 200, 200)
