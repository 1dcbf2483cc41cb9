"""Diversity of models of known answer: one cue, all cues, no relevance, nothing to compare."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, TensorSplit
from reldrop_bench.evaluations.diversity import Diversity, permuted, settle
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.record import Record
from reldrop_bench.models.pointnet import PointNet

FEATURES = ["effective_rank", "participation_ratio", "vendi_score"]
PLACES = ["relevance_mass_accuracy", "relevance_rank_accuracy", "in_mask_entropy"]
SPREAD = ["attribution_entropy", "gini", "mass_coverage"]


class FirstChannel(Attributor):
    """Relevance is the input's first channel: a test chooses the map by choosing the input."""

    name = "first-channel"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        return inputs[:, 0].clone()


class HiddenCueReader(nn.Module):
    """A cue reader with a feature for each pixel that it looks at."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        weight = reader.linear.weight.data
        seen = weight.sum(0).nonzero()[:, 0]
        self.first = nn.Linear(36, len(seen), bias=False)
        self.last = nn.Linear(len(seen), 5)
        self.first.weight.data = torch.eye(36)[seen]
        self.last.weight.data = weight[:, seen]
        self.last.bias.data = reader.linear.bias.data

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.first(inputs.flatten(1)))


def run(context: Context, **settings: object) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    record = Record()
    Diversity(**settings).evaluate(context, record)
    frame = record.frame()
    assert np.isfinite(frame["value"]).all()
    return frame, record.notes


def metrics(rows: pd.DataFrame, split: str = "test") -> dict[str, float]:
    chosen = rows[(rows["table"] == "metric") & (rows["split"] == split)]
    return dict(zip(chosen["metric"], chosen["value"], strict=True))


def reasons(notes: list[dict[str, str]], metric: str, split: str = "test") -> str:
    return "; ".join(
        note["reason"] for note in notes if metric in note["metric"] and note["split"] == split
    )


def noisy(context: Context, scale: float = 0.3) -> Context:
    generator = torch.Generator().manual_seed(0)
    inputs = context.test.inputs
    inputs.add_(scale * torch.randn(inputs.shape, generator=generator))
    return context


@pytest.mark.parametrize(("cues", "pixels"), [((2,), 1), ((0, 3), 2), ((0, 1, 2, 3), 4)])
def test_a_model_of_some_cues_by_hand(cues, pixels, context_of, cue_reader):
    # The relevance of an item: 1 at one pixel in each quadrant that is looked at.
    rows, notes = run(context_of(cue_reader(cues)), control=False)
    found = metrics(rows)
    assert notes == []
    assert found["samples"] == 120
    assert found["attribution_entropy"] == pytest.approx(np.log(pixels) / np.log(36))
    assert found["in_mask_entropy"] == pytest.approx(np.log(pixels) / np.log(16))
    assert found["gini"] == pytest.approx(1 - pixels / 36)
    assert found["mass_coverage"] == pytest.approx(max(pixels // 2, 1) / 36)
    assert found["relevance_mass_accuracy"] == pytest.approx(1)
    # The rest of the 16 places in the mask goes to zeros, of which 16 - pixels lie in it.
    places = (pixels + (16 - pixels) ** 2 / (36 - pixels)) / 16
    assert found["relevance_rank_accuracy"] == pytest.approx(places, abs=0.03)
    assert found["class_map_cosine"] == pytest.approx(1)
    # The last layer reads the image, of four kinds: three directions around their mean.
    assert [found[name] for name in FEATURES] == pytest.approx([3, 3, 4])


def test_example_rows_are_the_samples_that_the_means_are_over(context_of, cue_reader):
    rows, _ = run(noisy(context_of(cue_reader((0, 1)))), max_samples=50)
    examples = rows[rows["table"] == "example"]
    for split in ("test", "randomised-weights"):
        for name in (*SPREAD, *PLACES):
            values = examples[(examples["metric"] == name) & (examples["split"] == split)]
            assert values["item"].is_unique
            assert len(values) <= 50
            assert values["value"].mean() == pytest.approx(metrics(rows, split)[name])


@pytest.mark.parametrize("noise", [0, 0.3])
def test_all_cues_are_more_diverse_than_one(noise, context_of, cue_reader):
    one, all_cues = (
        metrics(run(noisy(context_of(cue_reader(cues)), noise), control=False)[0])
        for cues in ((0,), (0, 1, 2, 3))
    )
    for name in ("attribution_entropy", "gini", "mass_coverage", "in_mask_entropy"):
        more = Diversity.direction(name) == "higher"
        assert (all_cues[name] > one[name]) == more, name
    if noise:
        assert all_cues["class_map_cosine"] < one["class_map_cosine"]
    # The last layer of this model reads the image itself: its features are those of any other.
    for name in FEATURES:
        assert all_cues[name] == one[name]


def test_dimensions_tell_cues_apart_only_as_far_as_they_vary_alone(context_of, cue_reader):
    def found(cues: tuple[int, ...], noise: float) -> dict[str, float]:
        context = noisy(context_of(HiddenCueReader(cue_reader(cues))), noise)
        return metrics(run(context, control=False)[0])

    one, all_cues = (found(cues, 0) for cues in ((0,), (0, 1, 2, 3)))
    for name in FEATURES:  # 4 and 16 features; the 16 come and go together
        assert one[name] == pytest.approx(all_cues[name])
    one, all_cues = (found(cues, 0.3) for cues in ((0,), (0, 1, 2, 3)))
    for name in FEATURES:
        assert one[name] < all_cues[name]
        assert Diversity.direction(name) == "higher"


def test_the_control_has_the_same_weights_elsewhere(context_of, cue_reader):
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    ).eval()
    nn.init.uniform_(model[1].running_mean)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = permuted(model, torch.Generator().manual_seed(0))
    for name, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[name], before[name])
        if name in dict(model.named_parameters()):
            assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
        else:
            assert torch.equal(value, before[name])
    assert not torch.equal(other[4].weight, model[4].weight)
    again = permuted(model, torch.Generator().manual_seed(0))
    assert torch.equal(again[4].weight, other[4].weight)


def test_settled_norms_have_the_statistics_of_their_own_inputs():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).eval()
    model[1].running_mean.fill_(7.0)
    data = torch.randn(65, 3)
    batches = [Batch(part, torch.zeros(len(part), dtype=torch.long)) for part in data.split(16)]
    settle(model, batches)  # the last batch has one sample, and no variance
    assert not any(module.training for module in model.modules())
    parts = [model[0](part) for part in data[:64].split(16)]
    mean = torch.stack([part.mean(0) for part in parts]).mean(0)
    variance = torch.stack([part.var(0) for part in parts]).mean(0)
    assert torch.allclose(model[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(model[1].running_var, variance, atol=1e-6)


def test_the_control_finds_less_of_the_mask_than_the_model(context_of, cue_reader):
    context = noisy(context_of(cue_reader((0, 1, 2, 3))))
    rows, _ = run(context)
    found, control = metrics(rows), metrics(rows, "randomised-weights")
    assert set(control) == set(found)
    assert found["relevance_mass_accuracy"] > 0.9 > 0.7 > control["relevance_mass_accuracy"]
    assert metrics(run(context, control=False)[0], "randomised-weights") == {}


def test_rows_do_not_depend_on_what_was_asked_before_nor_on_the_seed(context_of, cue_reader):
    first, _ = run(noisy(context_of(cue_reader((0, 1)))), max_samples=70)
    torch.manual_seed(5)
    context = noisy(context_of(cue_reader((0, 1)), seed=3))
    list(context.explained(10, "another evaluation"))
    context.logits()
    second, _ = run(context, max_samples=70)
    assert first.equals(second)


def glyph_context(
    context_of: Callable[..., Context], cue_reader: Callable[..., nn.Module], **changes: object
) -> Context:
    context = context_of(cue_reader((0,)), attributor=FirstChannel())
    fields = {name: getattr(context.test, name) for name in ("inputs", "targets", "masks")}
    context.test_split = TensorSplit(**(fields | changes))
    return context


def test_masks_of_a_shortcut_measure_what_lies_on_it(context_of, cue_reader):
    context = glyph_context(context_of, cue_reader)
    plain = metrics(run(context, control=False)[0])
    context.facts = dataclasses.replace(context.facts, shortcut=True)
    rows, notes = run(context, control=False)
    assert metrics(rows)["shortcut_mass"] == plain["relevance_mass_accuracy"]
    assert not set(PLACES) & set(metrics(rows))
    assert [note["reason"] for note in notes] == ["its masks show a shortcut"]


def test_no_masks(context_of, cue_reader):
    rows, notes = run(glyph_context(context_of, cue_reader, masks=None), control=False)
    assert not set(PLACES) & set(metrics(rows))
    assert set(SPREAD) < set(metrics(rows))
    assert [note["reason"] for note in notes] == ["the task has no masks"]
    assert all(name in notes[0]["metric"] for name in PLACES)


@pytest.mark.parametrize("value", [0, 1])
def test_masks_of_nothing_and_of_everything(value, context_of, cue_reader):
    masks = torch.full((120, 6, 6), value, dtype=torch.uint8)
    masks[:20, :2] = 1 - value
    rows, notes = run(glyph_context(context_of, cue_reader, masks=masks), control=False)
    for name in PLACES[:2]:
        assert "100 of 120 samples" in reasons(notes, name)
        assert (rows[rows["table"] == "example"]["metric"] == name).sum() == 20
    assert ("in_mask_entropy" in metrics(rows)) or value == 0
    masks[:] = value
    rows, notes = run(glyph_context(context_of, cue_reader, masks=masks), control=False)
    assert not set(PLACES[:2]) & set(metrics(rows))
    assert "120 of 120 samples" in reasons(notes, PLACES[0])


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_no_positive_relevance(value, context_of, cue_reader):
    inputs = torch.full((120, 1, 6, 6), value)
    rows, notes = run(glyph_context(context_of, cue_reader, inputs=inputs), control=False)
    assert set(metrics(rows)) <= {"samples", "vendi_score"}
    for name in (*SPREAD, *PLACES):
        assert "120 of 120 samples are left out: no positive relevance" in reasons(notes, name)
    assert "no class has two maps" in reasons(notes, "class_map_cosine")
    for name in FEATURES[:2]:
        assert "the same for all samples" in reasons(notes, name)
    assert ("vendi_score" in metrics(rows)) == (value != 0)


def test_constant_relevance(context_of, cue_reader):
    rows, notes = run(
        glyph_context(context_of, cue_reader, inputs=torch.ones(120, 1, 6, 6)), control=False
    )
    found = metrics(rows)
    for name in (*SPREAD, *PLACES):
        assert name not in found
        assert "the same for all elements" in reasons(notes, name)
    assert "class_map_cosine" not in found


def test_one_class_and_one_sample(context_of, cue_reader):
    one_class = glyph_context(context_of, cue_reader, targets=torch.zeros(120, dtype=torch.int64))
    rows, notes = run(one_class)
    assert notes == []
    assert metrics(rows)["class_map_cosine"] < 0.5
    rows, notes = run(glyph_context(context_of, cue_reader), max_samples=1)
    assert "no class has two maps" in reasons(notes, "class_map_cosine")
    assert "the same for all samples" in reasons(notes, "effective_rank")
    assert metrics(rows)["vendi_score"] == pytest.approx(1)


def test_networks_without_features_that_can_be_read(context_of):
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 5, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(inputs).amax((2, 3))

    rows, notes = run(context_of(Pooled()))
    assert not set(FEATURES) & set(metrics(rows))
    for split in ("test", "randomised-weights"):
        assert "calls no nn.Linear" in reasons(notes, "vendi_score", split)
    assert set(SPREAD) < set(metrics(rows))


def test_a_control_that_cannot_be_explained_is_noted(context_of, cue_reader):
    class Broken(FirstChannel):
        def attribute(
            self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
        ) -> Tensor:
            known = model.linear.bias[4] == 0.5
            return inputs[:, 0] / (1.0 if known else 0.0)

    model = cue_reader((0,))
    rows, notes = run(context_of(model, attributor=Broken()))
    assert "not finite" in reasons(notes, "*", "randomised-weights")
    assert set(SPREAD) < set(metrics(rows))


def pointnet_context(context_of: Callable[..., Context], task: object, width: float) -> Context:
    torch.manual_seed(0)
    facts = Facts("cloud", ("left", "right"), (3, 20), (0.0,) * 3, (1.0,) * 3)
    return context_of(PointNet(width=width).build(facts), task)


def test_critical_sets_of_a_pointnet(context_of, clouds):
    context = pointnet_context(context_of, clouds(), 0.1)
    rows, notes = run(context)
    found = rows[(rows["metric"] == "critical_set_fraction") & (rows["table"] == "example")]
    found = found[found["split"] == "test"].set_index("item")["value"]
    assert len(found) == 30
    cloud = context.test.inputs[[4]]
    logits = context.model(cloud)
    features = context.model.point_features(cloud)[0]
    kept = sorted(set(features.argmax(1)[features.amax(1) > 0].tolist()))
    # What is left of the cloud alone has the same features, and so the same logits.
    assert found[4] == pytest.approx(len(kept) / 20)
    torch.testing.assert_close(context.model(cloud[:, :, kept]), logits)
    assert "points of two clouds" in reasons(notes, "class_map_cosine")
    assert "no masks" in reasons(notes, "in_mask_entropy")
    assert "randomised-weights" in set(rows["split"])


def test_a_wider_pointnet_looks_at_more_points(context_of, clouds):
    narrow, wide = (
        metrics(run(pointnet_context(context_of, clouds(), width), control=False)[0])
        for width in (0.03, 0.5)
    )
    assert narrow["critical_set_fraction"] < wide["critical_set_fraction"]


def test_other_networks_for_clouds_have_no_critical_sets(context_of, clouds):
    model = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 2))
    rows, notes = run(context_of(model, clouds()))
    assert "critical_set_fraction" not in metrics(rows)
    assert "no point_features" in reasons(notes, "critical_set_fraction")


def test_batches_of_any_size_give_the_same_up_to_rounding(context_of, cue_reader):
    def found(size: int) -> dict[str, float]:
        context = noisy(context_of(cue_reader((0, 1)), batch_size=size))
        return metrics(run(context, control=False)[0])

    small, large = found(7), found(64)
    ties = "relevance_rank_accuracy"  # drawn by batch
    for name in small.keys() - {ties}:
        assert small[name] == pytest.approx(large[name], rel=1e-5), name


def test_more_samples_hold_the_fewer(context_of, cue_reader):
    few, many = (
        run(noisy(context_of(cue_reader((0, 1)))), control=False, max_samples=size)[0]
        for size in (20, 90)
    )
    for name in itertools.chain(SPREAD, PLACES):
        first, second = (
            rows[(rows["metric"] == name) & (rows["table"] == "example")].set_index("item")["value"]
            for rows in (few, many)
        )
        assert first.to_dict().items() <= second.to_dict().items()
