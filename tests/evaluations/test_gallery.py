from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reldrop_bench.data import Batch
from reldrop_bench.evaluations.gallery import Gallery, pick_items
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step


class HideTop(Regularizer):
    """Hides the upper half of a sample with probability .4 and fills it with 7."""

    name = "hide-top"

    def transform(self, batch: Batch, step: Step) -> Batch:
        who = torch.rand(len(batch), generator=step.generator) < 0.4
        hidden = torch.zeros_like(batch.inputs[:, 0], dtype=torch.bool)
        hidden[who, : hidden.shape[1] // 2] = True
        return batch.replace(inputs=batch.inputs.masked_fill(hidden[:, None], 7), occluded=hidden)


class Mix(Regularizer):
    """Averages neighbours and says nothing of hidden elements."""

    name = "mix"

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=(batch.inputs + batch.inputs.roll(1, 0)) / 2)


def pictures(rows) -> dict[tuple[str, int], np.ndarray]:
    """Read the samples back the way a report does: by the stored shape."""
    groups = {
        (name, item): group.sort_values("x")["value"].to_numpy()
        for (name, item), group in rows.groupby(["metric", "item"])
    }
    shape = {item: v.astype(int) for (name, item), v in groups.items() if name == "shape"}
    wide, flat = ("input", "occluded_input"), ("relevance", "occluded")
    return groups | {
        (name, item): v.reshape(shape[item] if name in wide else shape[item][1:])
        for (name, item), v in groups.items()
        if name in wide + flat
    }


def test_pictures_round_trip(context_of, cue_reader, measure):
    context = context_of(cue_reader((0, 3)), regularizer=HideTop())
    shown = pictures(measure(Gallery(), context))
    items = sorted({item for _, item in shown})
    assert len(items) == 4
    labels = [int(shown["label", item][0]) for item in items]
    assert sorted(labels) == [0, 1, 2, 3]
    for item, label in zip(items, labels, strict=True):
        original = context.test.inputs[item].numpy()
        assert context.test.targets[item] == label
        np.testing.assert_array_equal(shown["input", item], original)
        # A linear model's relevance is its input times its weight: two of the four cues.
        assert shown["relevance", item].sum() == pytest.approx(2)
        hidden = shown["occluded", item]
        np.testing.assert_array_equal(hidden, np.repeat([1.0, 0.0], 18).reshape(6, 6))
        np.testing.assert_array_equal(
            shown["occluded_input", item], np.where(hidden == 1, 7, original)
        )


def test_a_mixing_method_shows_its_inputs_only(context_of, cue_reader, measure):
    rows = measure(Gallery(), context_of(cue_reader((0,)), regularizer=Mix()))
    assert set(rows["metric"]) == {"input", "relevance", "occluded_input", "label", "shape"}


def test_nothing_is_shown_of_a_method_that_leaves_inputs_alone(context_of, cue_reader, measure):
    rows = measure(Gallery(), context_of(cue_reader((0,))))
    assert set(rows["metric"]) == {"input", "relevance", "label", "shape"}


def test_large_images_are_stored_small(context_of, glyphs, cue_reader, measure):
    context = context_of(cue_reader((0,), 16), glyphs(scale=16), regularizer=HideTop())
    shown = pictures(measure(Gallery(items=2, max_side=48), context))
    items = {item for _, item in shown}
    assert len(items) == 2
    for item in items:
        assert shown["shape", item].tolist() == [1, 48, 48]
        expected = context.test.inputs[item].numpy()[:, ::2, ::2]
        np.testing.assert_allclose(shown["input", item], expected, atol=1e-6)
        assert shown["occluded", item][:24].min() == 1


def test_clouds_keep_every_point(context_of, clouds, measure):
    model = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    shown = pictures(measure(Gallery(), context_of(model, clouds(), regularizer=Mix())))
    items = {item for _, item in shown}
    assert all(shown["input", item].shape == (3, 20) for item in items)
    assert all(shown["relevance", item].shape == (20,) for item in items)


def test_items_are_of_different_classes_as_long_as_there_are_any():
    targets = np.repeat([0, 1, 2], [50, 3, 1])
    generator = torch.Generator().manual_seed(0)
    picked = pick_items(targets, 5, generator)
    assert sorted(targets[picked[:3]].tolist()) == [0, 1, 2]
    assert len(set(picked.tolist())) == 5
    assert len(pick_items(targets, 100, generator)) == 54
