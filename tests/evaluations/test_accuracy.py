from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from reldrop_bench.data import TensorSplit
from reldrop_bench.evaluations.accuracy import Accuracy, class_mean_accuracy
from reldrop_bench.evaluations.shifts import ShiftAccuracy


def test_class_mean_accuracy_is_sklearns_balanced_accuracy():
    rng = np.random.default_rng(0)
    targets, predictions = (
        rng.choice(5, 200, p=[0.6, 0.2, 0.1, 0.07, 0.03]),
        rng.integers(5, size=200),
    )
    expected = balanced_accuracy_score(targets, predictions)
    assert class_mean_accuracy(predictions, targets) == pytest.approx(expected)


def test_absent_classes_do_not_count_as_zero():
    targets = np.array([0, 0, 0, 7])
    predictions = np.array([0, 0, 3, 7])
    assert class_mean_accuracy(predictions, targets) == pytest.approx((2 / 3 + 1) / 2)


def test_rows_of_single_items_give_the_accuracy(context_of, cue_reader, measure):
    model = cue_reader((0,))
    model.linear.weight.data[3] = 0  # class 3 is never seen: its items are taken for class 4
    rows = measure(Accuracy(), context_of(model))
    metrics = rows[rows["table"] == "metric"].set_index("metric")["value"]
    assert metrics["accuracy"] == metrics["class_mean_accuracy"] == 0.75
    items = rows[rows["table"] == "example"].pivot(index="item", columns="metric", values="value")
    assert (items["prediction"] == items["target"]).mean() == 0.75
    assert (items.loc[items["target"] == 3, "prediction"] == 4).all()
    # Softmax of (1, 0, 0, 0, .5) and of (0, 0, 0, 0, .5), the largest entry.
    seen, unseen = np.e / (np.e + 3 + np.exp(0.5)), np.exp(0.5) / (4 + np.exp(0.5))
    expected = np.where(items["target"] == 3, unseen, seen)
    np.testing.assert_allclose(items["confidence"], expected, rtol=1e-6)


def test_every_shift_is_measured_under_its_name(context_of, cue_reader, measure):
    rows = measure(ShiftAccuracy(), context_of(cue_reader((0,))))
    shifts = rows.set_index("split")["value"]
    assert len(shifts) == 16
    assert shifts["removed-123"] == 1
    assert shifts["removed-0"] == 0
    # The mirror swaps the quadrants: the pixel of an odd class lands on its own place in
    # quadrant 0, that of an even class beside the glyph.
    assert shifts["mirrored"] == 0.5


def test_a_task_without_shifts_writes_nothing(context_of, clouds, measure, cue_reader):
    assert measure(ShiftAccuracy(), context_of(cue_reader((0,)), clouds())).empty


class OfTwoClasses(TensorSplit):
    """A test set that is told apart among the classes 0 and 2 alone."""

    among = torch.tensor([0, 2])


def test_answers_on_a_set_of_some_classes_are_taken_from_these(context_of, cue_reader):
    context = context_of(cue_reader((0, 1)))
    split = OfTwoClasses(context.test.inputs, context.test.targets)
    context.shifts = {"some": lambda: split}
    for size in (None, 16):
        logits, _ = context.sampled("some", size)
        whole, _ = context.sampled("test", size)
        assert torch.equal(logits[:, [0, 2]], whole[:, [0, 2]])
        assert (logits[:, [1, 3, 4]] == -torch.inf).all()
