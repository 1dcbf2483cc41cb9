"""Faithful explanations gain, upside-down ones lose, and what says nothing is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import TensorSplit
from reldrop_bench.errors import UserError
from reldrop_bench.evaluations.faithfulness import RANDOM, Faithfulness
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.record import Record


class Upside(Attributor):
    """The oracle of a linear model, times `factor`."""

    name = "upside"

    factor: float = 1.0

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        inputs = inputs.detach().requires_grad_()
        logit = model(inputs).gather(1, targets[:, None]).sum()
        gradient = torch.autograd.grad(logit, inputs)[0]
        return self.factor * (gradient * inputs).detach().sum(1)


class Side(nn.Module):
    """Reads the mean of x: linear, so that the oracle is exact."""

    def forward(self, inputs: Tensor) -> Tensor:
        side = inputs[:, 0].mean(1) / 5
        return torch.stack([-side, side], 1)


def half_clouds(task):
    """Return clouds of which only every second point tells the class."""
    clean = task.test(None)
    inputs = clean.inputs.repeat(10, 1, 1)
    inputs[:, 0, ::2] *= 0.01
    split = TensorSplit(inputs, clean.targets.repeat(10))
    object.__setattr__(task, "test", lambda root: split)
    return task


@pytest.fixture(params=["image", "cloud"])
def setting(request, glyphs, clouds, cue_reader):
    """Modality, model and task."""
    if request.param == "image":
        return "image", cue_reader((0, 1, 2, 3)), glyphs(count=600)
    return "cloud", Side(), half_clouds(clouds())


def value(rows, metric: str, table: str = "metric") -> float:
    (found,) = rows.loc[(rows["table"] == table) & (rows["metric"] == metric), "value"]
    return found


def curve(rows, metric: str, table: str = "curve") -> np.ndarray:
    return rows.loc[(rows["table"] == table) & (rows["metric"] == metric), "value"].to_numpy()


def test_the_oracle_beats_random_maps_and_the_random_order(setting, context_of, measure):
    kind, model, task = setting
    context = context_of(model, task)
    rows = measure(Faithfulness(methods=("random",), max_samples=600), context)
    for fill in Faithfulness.usual_fills[kind]:
        gain = value(rows, f"oracle/{fill}/srg/probability")
        assert gain > value(rows, f"random/{fill}/srg/probability") + 0.02
        assert gain > 0.02
        assert abs(value(rows, f"random/{fill}/srg/probability")) < 0.02
        chance = value(rows, f"{RANDOM}/{fill}/probability/area")
        assert value(rows, f"oracle/{fill}/mrf/probability/area") < chance
        assert value(rows, f"oracle/{fill}/lrf/probability/area") > chance


def test_upside_down_maps_swap_both_orders_exactly(setting, context_of, measure):
    kind, model, task = setting
    upright, inverted = (
        measure(Faithfulness(), context_of(model, task, attributor=Upside(factor=factor)))
        for factor in (1.0, -1.0)
    )
    for fill in Faithfulness.usual_fills[kind]:
        for quantity in ("accuracy", "probability"):
            most, least = (f"upside/{fill}/{way}/{quantity}" for way in ("mrf", "lrf"))
            np.testing.assert_array_equal(curve(upright, most), curve(inverted, least))
            np.testing.assert_array_equal(curve(upright, least), curve(inverted, most))
            gain = f"upside/{fill}/srg/{quantity}"
            assert value(upright, gain) == -value(inverted, gain)
            random = f"{RANDOM}/{fill}/{quantity}"
            np.testing.assert_array_equal(curve(upright, random), curve(inverted, random))


def test_the_curve_of_a_known_model(context_of, cue_reader, measure):
    """One pixel decides: hidden at once most relevant first, and never least relevant first."""
    rows = measure(Faithfulness(fills=("mean",)), context_of(cue_reader((0,))))
    np.testing.assert_array_equal(curve(rows, "oracle/mean/mrf/accuracy"), [1, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(curve(rows, "oracle/mean/lrf/accuracy"), np.ones(7))
    # Trapezoids: .1 * (1 + 0) / 2 over .9.
    assert value(rows, "oracle/mean/mrf/accuracy/area") == pytest.approx(0.05 / 0.9)
    assert value(rows, "oracle/mean/srg/accuracy") == pytest.approx(1 - 0.05 / 0.9)
    logits = np.array([1, 0, 0, 0, 0.5])
    clean = np.exp(1) / np.exp(logits).sum()
    hidden = 1 / (4 + np.exp(0.5))
    np.testing.assert_allclose(curve(rows, "oracle/mean/mrf/probability"), [clean] + [hidden] * 6)
    assert value(rows, "clean_probability") == pytest.approx(clean)


def test_gains_and_areas_of_items_average_to_the_metrics(setting, context_of, measure):
    kind, model, task = setting
    context = context_of(model, task)
    rows = measure(Faithfulness(max_samples=20), context)
    fill = Faithfulness.usual_fills[kind][0]
    for name in (
        f"oracle/{fill}/srg/probability",
        f"oracle/{fill}/mrf/probability/area",
        f"oracle/{fill}/lrf/probability/area",
        f"{RANDOM}/{fill}/probability/area",
    ):
        items = rows[(rows["table"] == "example") & (rows["metric"] == name)]
        assert items["item"].tolist() == context.subset(20).tolist()
        assert items["value"].mean() == pytest.approx(value(rows, name))


def test_constant_maps_are_counted_and_noted(setting, context_of):
    kind, model, task = setting
    record = Record()
    Faithfulness().evaluate(context_of(model, task, attributor=Upside(factor=0.0)), record)
    rows = record.frame()
    samples = value(rows, "samples")
    assert value(rows, "upside/constant_maps") == samples
    (note,) = [note for note in record.notes if note["metric"] == "upside/*"]
    assert f"{samples:.0f} of {samples:.0f} maps are constant" in note["reason"]
    assert np.isfinite(rows["value"]).all()
    # Most and least relevant first are the same order then.
    for fill in Faithfulness.usual_fills[kind]:
        assert value(rows, f"upside/{fill}/srg/probability") == 0


def test_results_do_not_depend_on_the_batch_size_or_on_later_items(
    setting, context_of, measure, monkeypatch
):
    kind, model, task = setting
    monkeypatch.setattr("reldrop_bench.evaluations._occluding.curves.CHUNK", 8)
    small, large = (
        measure(Faithfulness(max_samples=size), context_of(model, task, batch_size=batch))
        for size, batch in ((16, 64), (40, 7))
    )
    name = f"oracle/{Faithfulness.usual_fills[kind][1]}/srg/probability"
    own, other = (
        rows[(rows["table"] == "example") & (rows["metric"] == name)].set_index("item")["value"]
        for rows in (small, large)
    )
    np.testing.assert_allclose(own, other.loc[own.index], atol=1e-6)


def test_one_item_of_one_class_gives_notes_and_no_nan(context_of, glyphs, cue_reader):
    record = Record()
    Faithfulness().evaluate(context_of(cue_reader((0,)), glyphs(count=1)), record)
    assert np.isfinite(record.frame()["value"]).all()
    assert {note["metric"] for note in record.notes} == {"samples", "*"}


def test_unknown_methods_and_fills_are_told():
    with pytest.raises(UserError, match="gradient-x-input"):
        Faithfulness(methods=("gradient-x-inputs",))
    with pytest.raises(UserError, match="inpaint"):
        Faithfulness(fills=("inpant",))
    assert Faithfulness(methods=("random",)).explainers == ("random",)
