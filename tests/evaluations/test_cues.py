from __future__ import annotations

from functools import partial

import pytest
import torch

from reldrop_bench.data import TensorSplit
from reldrop_bench.evaluations.cues import CueUse
from reldrop_bench.kinds.record import Record


def metrics(rows, split: str = "test") -> dict[str, float]:
    chosen = rows[(rows["table"] == "metric") & (rows["split"] == split)]
    return dict(zip(chosen["metric"], chosen["value"], strict=True))


@pytest.mark.parametrize("cues", [(0,), (2,), (1, 3), (0, 1, 2, 3)])
def test_a_model_of_some_cues_has_so_many_effective_cues(cues, context_of, cue_reader, measure):
    found = metrics(measure(CueUse(), context_of(cue_reader(cues))))
    assert found["effective_cues"] == pytest.approx(len(cues))
    for cue in range(4):
        expected = 1 / len(cues) if cue in cues else 0
        assert found[f"cue_{cue}_mass"] == pytest.approx(expected)
    assert found["roi_mass"] == pytest.approx(1)
    assert found["without_cue_mass"] == 0
    assert found["samples"] == 120


def test_removal_shows_which_cues_are_used(context_of, cue_reader, measure):
    rows = measure(CueUse(), context_of(cue_reader((1, 2))))
    by_split = {split: metrics(rows, split)["accuracy"] for split in set(rows["split"]) - {"test"}}
    assert len(by_split) == 16
    for split, value in by_split.items():
        assert value == (0 if {"1", "2"} <= set(split) else 1)
    assert by_split["removed-none"] == 1


def test_samples_without_mass_in_cues_are_left_out_and_counted(context_of, cue_reader, measure):
    model = cue_reader((0, 1))
    model.linear.weight.data[3] *= -1  # the relevance of class 3 is negative everywhere
    rows = measure(CueUse(max_samples=60), context_of(model))
    found = metrics(rows)
    assert found["samples"] == 60
    assert found["without_cue_mass"] == 15
    assert found["effective_cues"] == pytest.approx(2)
    assert ((rows["table"] == "example") & (rows["metric"] == "effective_cues")).sum() == 45


def test_a_model_without_any_relevance_has_no_shares(context_of, cue_reader, measure):
    model = cue_reader(())
    record = Record()
    CueUse().evaluate(context_of(model), record)
    nothing = {f"cue_{cue}_shapley": 0 for cue in range(4)}
    assert metrics(record.frame()) == {"samples": 120, "without_cue_mass": 120} | nothing
    assert [note["reason"] for note in record.notes] == [
        "120 of 120 samples are left out: a constant map",
        "all cues together add no more to the accuracy than two standard errors",
        "no sample has positive relevance on any cue",
    ]


def test_relevance_outside_of_the_cues_lowers_the_mass_in_the_region(
    context_of, glyphs, cue_reader, measure
):
    context = context_of(cue_reader((0, 1)))
    context.test.inputs[:, :, 5, 5] = 3  # no cue lies there; both cue pixels bring 1 each
    model = context.model
    model.linear.weight.data[:, 35] = 1
    found = metrics(measure(CueUse(), context))
    assert found["roi_mass"] == pytest.approx(2 / 5)
    assert found["effective_cues"] == pytest.approx(2)


@pytest.mark.parametrize("cues", [(0,), (2,), (1, 3), (0, 1, 2, 3)])
def test_the_causal_and_the_attributive_answer_are_the_known_one(
    cues, context_of, cue_reader, measure
):
    rows = measure(CueUse(), context_of(cue_reader(cues)))
    found = metrics(rows)
    for cue in range(4):
        # Any one of them is enough, so they share what they add: all of the accuracy.
        expected = 1 / len(cues) if cue in cues else 0
        assert found[f"cue_{cue}_shapley"] == pytest.approx(expected)
    assert found["causal_effective_cues"] == pytest.approx(len(cues))
    assert found["cue_agreement"] == pytest.approx(1)
    assert found["sample_cue_agreement"] == pytest.approx(1)
    examples = rows[(rows["table"] == "example") & (rows["metric"] == "cue_agreement")]
    assert examples["value"].mean() == pytest.approx(found["sample_cue_agreement"])
    assert len(examples) == 120
    for name in ("cue_rank_agreement", "sample_cue_rank_agreement"):
        if len(cues) == 4:  # equal shares have no order
            assert name not in found
        else:
            assert found[name] == pytest.approx(1)


def test_a_model_that_needs_two_cues_at_once(context_of, cue_reader):
    model = cue_reader((0, 3))
    model.linear.bias.data[4] = 1.5
    record = Record()
    CueUse().evaluate(context_of(model), record)
    found = metrics(record.frame())
    assert found["cue_0_shapley"] == pytest.approx(0.5)
    assert found["cue_3_shapley"] == pytest.approx(0.5)
    assert found["causal_effective_cues"] == pytest.approx(2)


def test_relevance_on_the_wrong_cues_does_not_agree(context_of, cue_reader, measure):
    # Reads cue 0. A large weight on cue 1 reaches all classes alike: relevance without effect.
    model = cue_reader((0,))
    weight = model.linear.weight.data.view(5, 6, 6)
    weight[:, :2, 3:5] = 9
    found = metrics(measure(CueUse(), context_of(model)))
    assert found["causal_effective_cues"] == pytest.approx(1)
    assert found["cue_agreement"] == pytest.approx(0.1)
    assert found["sample_cue_agreement"] == pytest.approx(0.1, abs=1e-5)
    assert found["cue_rank_agreement"] < 1


def test_without_every_subset_there_is_no_causal_answer(context_of, cue_reader):
    context = context_of(cue_reader((0, 1)))
    shifts = dict(context.shifts)
    del shifts["removed-13"]
    context.__dict__["shifts"] = shifts
    record = Record()
    CueUse().evaluate(context, record)
    found = metrics(record.frame())
    assert not [name for name in found if "shapley" in name or "agreement" in name]
    assert found["effective_cues"] == pytest.approx(2)
    (note,) = record.notes
    assert note["split"] == "test"
    assert "removed-13" in note["reason"]


def test_samples_are_compared_only_with_themselves(context_of, cue_reader):
    context = context_of(cue_reader((0, 1)))
    other = context.shifts["removed-2"]()
    turned = TensorSplit(other.inputs.flip(0), other.targets.flip(0), other.masks)
    context.__dict__["shifts"] = {
        **context.shifts,
        "removed-2": partial(lambda split: split, turned),
    }
    record = Record()
    CueUse().evaluate(context, record)
    found = metrics(record.frame())
    assert found["cue_agreement"] == pytest.approx(1)
    assert "sample_cue_agreement" not in found
    assert any("the same items" in note["reason"] for note in record.notes)


def test_samples_that_no_cue_helps_are_left_out(context_of, cue_reader):
    model = cue_reader((0, 1))
    # Class 3 has relevance on its cue and yet never a larger probability: class 4 has it, too.
    model.linear.weight.data[[0, 1, 2, 4]] += model.linear.weight.data[3]
    record = Record()
    CueUse().evaluate(context_of(model), record)
    examples = record.frame().query("table == 'example' and metric == 'cue_agreement'")
    assert len(examples) == 90
    assert any("30 of 120 samples are left out: no cue adds" in n["reason"] for n in record.notes)


def test_predictions_at_chance_have_no_causal_number_of_cues(context_of, cue_reader):
    told = 0
    for seed in range(20):
        context = context_of(cue_reader((0,)))
        stream = torch.Generator().manual_seed(seed)
        for name in ["test", *context.shifts]:
            context.logits(name)
            context._logits[name] = torch.randn(120, 5, generator=stream)
        record = Record()
        CueUse().evaluate(context, record)
        found = metrics(record.frame())
        assert "cue_0_shapley" in found
        told += "causal_effective_cues" in found
        noted = any("two standard errors" in note["reason"] for note in record.notes)
        assert noted == ("causal_effective_cues" not in found)
    assert told <= 2  # one in forty by chance
