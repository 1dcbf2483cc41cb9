from __future__ import annotations

import pytest
import torch

from reldrop_bench.evaluation.cues import CueUse, effective_cues, mass_by_part


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
    assert (rows["table"] == "example").sum() == 45


def test_a_model_without_any_relevance_has_no_shares(context_of, cue_reader, measure):
    model = cue_reader(())
    found = metrics(measure(CueUse(), context_of(model)))
    assert found == {"samples": 120, "without_cue_mass": 120}


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


def test_mass_by_part_by_hand():
    relevance = torch.tensor([[1.0, 2.0, -5.0, 4.0, 8.0]])
    masks = torch.tensor([[0, 1, 1, 2, 9]], dtype=torch.uint8)
    assert mass_by_part(relevance, masks, 2).tolist() == [[9.0, 2.0, 4.0]]


def test_effective_cues_by_hand():
    mass = torch.tensor([[2.0, 2.0, 0.0], [0.0, 0.0, 7.0], [3.0, 3.0, 3.0]])
    torch.testing.assert_close(effective_cues(mass), torch.tensor([2.0, 1.0, 3.0]))
