"""What holds for every evaluation, and for the context that it is given."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from reldrop_bench.data import Batch
from reldrop_bench.evaluations.accuracy import Accuracy
from reldrop_bench.evaluations.agreement import Agreement
from reldrop_bench.evaluations.calibration import Calibration
from reldrop_bench.evaluations.cues import CueUse
from reldrop_bench.evaluations.diversity import Diversity
from reldrop_bench.evaluations.faithfulness import Faithfulness
from reldrop_bench.evaluations.gallery import Gallery
from reldrop_bench.evaluations.occlusion import OcclusionRobustness
from reldrop_bench.evaluations.shifts import ShiftAccuracy
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step

EVERY = [
    Accuracy(),
    Agreement(),
    Calibration(),
    CueUse(),
    Diversity(),
    Faithfulness(max_samples=40),
    Gallery(),
    OcclusionRobustness(max_samples=40),
    ShiftAccuracy(),
]
every = pytest.mark.parametrize("evaluation", EVERY, ids=lambda evaluation: evaluation.name)


class HideRelevant(Regularizer):
    """Hides what is relevant, in half of the samples."""

    name = "hide-relevant"

    def transform(self, batch: Batch, step: Step) -> Batch:
        relevance = step.relevance(batch.inputs, batch.labels)
        who = torch.rand(len(batch), generator=step.generator) < 0.5
        hidden = (relevance > 0) & who[:, None, None]
        return batch.replace(inputs=batch.inputs.masked_fill(hidden[:, None], 0), occluded=hidden)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(144, 5),
    )


@every
def test_leaves_model_and_global_random_state_as_they_were(evaluation, context_of, measure):
    model = network()
    context = context_of(model, regularizer=HideRelevant())
    before = copy.deepcopy(model.state_dict())
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    measure(evaluation, context)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002


@every
def test_same_rows_whatever_ran_before_and_whatever_the_seed(evaluation, context_of, measure):
    model = network()
    first = measure(evaluation, context_of(model, regularizer=HideRelevant()))
    torch.manual_seed(99)
    context = context_of(model, regularizer=HideRelevant(), seed=7)
    for other in EVERY:
        measure(other, context)
    second = measure(evaluation, context)
    assert first.equals(second)
    assert np.isfinite(first["value"].astype(float)).all()


@every
def test_every_metric_has_a_direction(evaluation, context_of, measure):
    rows = measure(evaluation, context_of(network()))
    names = rows.loc[rows["table"] != "sample", "metric"].unique()
    assert [name for name in names if evaluation.direction(name) is None] == []
    assert evaluation.description()


def test_an_evaluation_asks_for_what_it_requires(glyphs, clouds):
    applied = [e.name for e in EVERY if e.applies_to(clouds().facts(None))]
    assert applied == [
        "accuracy",
        "agreement",
        "calibration",
        "diversity",
        "faithfulness",
        "gallery",
        "occlusion",
        "shifts",
    ]
    assert all(e.applies_to(glyphs().facts(None)) for e in EVERY)


@every
def test_works_for_clouds(evaluation, clouds, context_of, measure):
    model = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    context = context_of(model, clouds(), batch_size=8)
    if evaluation.applies_to(context.facts):
        rows = measure(evaluation, context)
        assert len(rows) > 0 or evaluation.name in ("shifts", "agreement")


def test_subset_is_stratified_nested_and_the_same_for_every_seed(glyphs, context_of):
    context = context_of(network(), glyphs(count=118))
    small, large = context.subset(20), context.subset(60)
    assert len(small) == 20
    assert set(small.tolist()) < set(large.tolist())
    counts = torch.bincount(context.test.targets[large])
    assert counts.min() >= 14
    assert counts.max() <= 16
    assert torch.equal(small, context_of(network(), glyphs(count=118), seed=5).subset(20))
    assert torch.equal(context.subset(1000), torch.arange(118))


def test_subset_takes_rare_classes_in_proportion(context_of, glyphs):
    context = context_of(network(), glyphs(count=110))
    targets = (torch.arange(110) >= 100).long()
    context.test_split = type(context.test)(context.test.inputs, targets)
    assert abs(int(targets[context.subset(55)].sum()) - 5) <= 1
