from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.errors import UserError
from reldrop_bench.evaluations.occlusion import OcclusionRobustness
from reldrop_bench.kinds.record import Record
from reldrop_bench.occlusion.order import ORDERS, random_ranks


class Constant(nn.Module):
    """Always says class 1; remembers what it was shown."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.classes = classes
        self.seen: list[Tensor] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(inputs.clone())
        return nn.functional.one_hot(torch.ones(len(inputs), dtype=int), self.classes).float()


def values(rows, table: str, metric: str) -> np.ndarray:
    return rows.loc[(rows["table"] == table) & (rows["metric"] == metric), "value"].to_numpy()


def test_the_area_of_a_constant_curve_is_the_constant(context_of, measure):
    rows = measure(OcclusionRobustness(), context_of(Constant()))
    assert values(rows, "metric", "samples") == 120
    for order in ORDERS["image"]:
        for fill in OcclusionRobustness.usual_fills["image"]:
            np.testing.assert_allclose(values(rows, "curve", f"{order}/{fill}/accuracy"), 0.25)
            assert values(rows, "metric", f"{order}/{fill}/auc") == pytest.approx(0.25)
            assert values(rows, "metric", f"{order}/{fill}/normalised_auc") == pytest.approx(1)


def test_a_model_of_one_pixel_falls_with_the_chance_that_it_is_hidden(
    context_of, glyphs, cue_reader, measure
):
    context = context_of(cue_reader((0,)), glyphs(count=2000))
    rows = measure(OcclusionRobustness(max_samples=2000, fills=("mean",)), context)
    fractions = np.array([0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
    # Counts are whole pixels; five standard errors are below .06.
    hidden = np.round(fractions * 36)
    np.testing.assert_allclose(
        values(rows, "curve", "random/mean/accuracy"), 1 - hidden / 36, atol=0.06
    )
    # In mask order the 16 pixels of the cues go first: with them all gone, nothing is right.
    expected = np.clip(1 - hidden / 16, 0, 1)
    curve = values(rows, "curve", "mask/mean/accuracy")
    np.testing.assert_allclose(curve, expected, atol=0.06)
    assert (curve[hidden >= 16] == 0).all()
    area = np.sum((curve[1:] + curve[:-1]) / 2 * np.diff(fractions)) / 0.9
    assert values(rows, "metric", "mask/mean/auc") == pytest.approx(area)


def test_areas_of_items_average_to_the_area_and_name_their_items(context_of, cue_reader, measure):
    context = context_of(cue_reader((0,)))
    rows = measure(OcclusionRobustness(max_samples=50), context)
    areas = rows[(rows["table"] == "example") & (rows["metric"] == "random/noise/area")]
    assert areas["item"].tolist() == context.subset(50).tolist()
    assert values(rows, "metric", "random/noise/auc") == pytest.approx(areas["value"].mean())


def test_without_clean_accuracy_there_is_no_normalised_area(context_of, measure):
    class Wrong(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return nn.functional.one_hot(torch.full((len(inputs),), 4), 5).float()

    rows = measure(OcclusionRobustness(), context_of(Wrong()))
    assert values(rows, "metric", "random/mean/auc") == 0
    assert not rows["metric"].str.endswith("normalised_auc").any()


@pytest.mark.parametrize("kind", ["glyphs", "clouds"])
def test_masks_are_the_same_for_every_model_seed_and_batch_size(
    kind, request, context_of, measure, monkeypatch
):
    monkeypatch.setattr("reldrop_bench.evaluations._occluding.curves.CHUNK", 50)
    task = request.getfixturevalue(kind)()
    shown = []
    for batch_size, seed in ((7, 0), (64, 3)):
        model = Constant(2 if kind == "clouds" else 5)
        measure(OcclusionRobustness(), context_of(model, task, batch_size=batch_size, seed=seed))
        shown.append(torch.cat(model.seen))
    assert torch.equal(*shown)


@pytest.mark.parametrize("order", ORDERS["image"])
def test_what_is_hidden_stays_hidden_at_larger_fractions(order, context_of, glyphs, measure):
    task = glyphs(count=40)
    task.test(None)
    model = Constant()
    context = context_of(model, task)
    context.test.inputs.fill_(1)
    evaluation = OcclusionRobustness(orders=(order,), fills=("mean",))
    measure(evaluation, context)
    hidden = torch.cat(model.seen).view(-1, 40, 36) == 0
    counts = [0, *(round(fraction * 36) for fraction in evaluation.fractions[1:])]
    for at, count in enumerate(counts):
        assert (hidden[at].sum(1) == count).all()
        assert at == 0 or (hidden[at - 1] <= hidden[at]).all()


def test_the_reference_order_hides_what_the_reference_finds_most_relevant(
    context_of, cue_reader, measure
):
    reference = context_of(cue_reader((0,)))
    evaluation = OcclusionRobustness(orders=("reference",), fills=("mean",))
    curves = []
    for cues in ((0,), (1,), (0, 1)):
        context = context_of(cue_reader(cues), companions={"reference": lambda: reference})
        curves.append(values(measure(evaluation, context), "curve", "reference/mean/accuracy"))
    # The reference's only pixel goes first; what others look at goes by chance.
    assert curves[0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert curves[1][1] > 0.7
    assert curves[2][1] > 0.7


def test_every_model_is_shown_the_same_inputs_in_the_reference_order(context_of, cue_reader):
    reference = context_of(cue_reader((0, 2)))
    shown = []
    for batch_size, classes in ((7, 5), (64, 6)):
        model = Constant(classes)
        fields = {"companions": {"reference": lambda: reference}, "batch_size": batch_size}
        OcclusionRobustness(max_samples=50).evaluate(context_of(model, **fields), Record())
        shown.append(torch.cat(model.seen))
    assert torch.equal(*shown)


def test_another_sample_is_never_the_same_one_and_does_not_depend_on_the_chunk(
    context_of, glyphs, monkeypatch
):
    def shown(count: int, batch_size: int) -> Tensor:
        model = Constant()
        context = context_of(model, glyphs(count=100), batch_size=batch_size)
        # Each item is one value, so that a hidden pixel names its partner.
        context.test.inputs.copy_(torch.arange(100.0).view(-1, 1, 1, 1).expand(-1, 1, 6, 6))
        context.logits()
        model.seen.clear()
        evaluation = OcclusionRobustness(
            orders=("random",), fills=("other-sample",), fractions=(0, 0.5), max_samples=count
        )
        evaluation.evaluate(context, Record())
        inputs = torch.cat(model.seen).flatten(1)
        own = context.order[:count].float()[:, None]
        assert ((inputs == own).sum(1) == 18).all()
        return torch.where(inputs == own, -1, inputs).amax(1)

    monkeypatch.setattr("reldrop_bench.evaluations._occluding.curves.CHUNK", 20)
    partners = shown(100, 64)
    assert torch.equal(shown(100, 7), partners)
    assert torch.equal(shown(30, 64), partners[:30])
    assert len(partners.unique()) > 50


@pytest.mark.parametrize(
    ("evaluation", "metric", "reason"),
    [
        (OcclusionRobustness(orders=("mask",)), "mask/*", "no masks"),
        (OcclusionRobustness(orders=("random-blocks",)), "random-blocks/*", "no order for cloud"),
        (OcclusionRobustness(fills=("inpaint",)), "*/inpaint/*", "no fill for cloud"),
        (OcclusionRobustness(), "reference/*", "no reference model"),
        (OcclusionRobustness(), "samples", "400 were asked for, the test split has 30"),
    ],
)
def test_what_a_task_does_not_offer_is_noted(evaluation, metric, reason, context_of, clouds):
    record = Record()
    evaluation.evaluate(context_of(Constant(2), clouds()), record)
    (note,) = [note for note in record.notes if note["metric"] == metric]
    assert reason in note["reason"]
    assert np.isfinite(record.frame()["value"]).all()


def test_one_item_of_one_class_gives_notes_and_no_nan(context_of, glyphs):
    record = Record()
    OcclusionRobustness().evaluate(context_of(Constant(), glyphs(count=1)), record)
    assert np.isfinite(record.frame()["value"]).all()
    told = {note["metric"] for note in record.notes}
    assert told == {"samples", "*", "*/other-sample/*", "reference/*", "*/normalised_auc"}


def test_the_last_point_of_a_cloud_stays(context_of, clouds, measure):
    model = Constant(2)
    context = context_of(model, clouds())
    evaluation = OcclusionRobustness(fractions=(0, 1), orders=("random",), fills=("duplicate",))
    measure(evaluation, context)
    hidden = torch.cat(model.seen)[30:]
    assert torch.equal(hidden, hidden[:, :, :1].expand_as(hidden))
    last = context.test.inputs[context.order].eq(hidden).all(1).any(1)
    assert last.all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["occlusion", "faithfulness"])
def test_memory_hardly_grows_with_the_test_split(name):
    """What grows is written, or kept within limits: maps and occlusions, 128 MiB each."""
    root = Path(__file__).parents[2]
    if not (root / "benchmarks" / "speed").is_dir():
        pytest.skip("needs the source tree")
    command = [sys.executable, "-m", "benchmarks.speed.occlusion", "--memory"]
    command += ["--evaluations", name]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    small, large = (float(line.split()[3]) for line in done.stdout.splitlines())
    assert large - small < 2 * 128 + 100, done.stdout


def ranks_of(order: str, inputs: Tensor, masks: Tensor | None = None) -> Tensor:
    chance = torch.rand(inputs[:, 0].shape, generator=torch.Generator().manual_seed(0))
    return random_ranks(order, Batch(inputs, torch.zeros(len(inputs)).long(), masks), chance)


def test_mask_order_hides_the_region_of_interest_first():
    masks = (torch.rand(6, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.3).byte() * 3
    ranks = ranks_of("mask", torch.zeros(6, 1, 5, 7), masks)
    sizes = (masks > 0).flatten(1).sum(1)
    assert torch.equal(ranks < sizes[:, None, None], masks > 0)


@pytest.mark.parametrize(("height", "width"), [(24, 24), (20, 33), (5, 5)])
def test_blocks_are_hidden_cell_by_cell(height, width):
    ranks = ranks_of("random-blocks", torch.zeros(3, 1, height, width))
    assert torch.equal(ranks.flatten(1).sort().values, torch.arange(height * width).expand(3, -1))
    cell = -(-max(height, width) // 6)
    for rows in torch.arange(height).split(cell):
        for columns in torch.arange(width).split(cell):
            inside = ranks[:, rows][:, :, columns].flatten(1)
            assert (inside.amax(1) - inside.amin(1) == inside.shape[1] - 1).all()


def test_a_ball_grows_around_one_of_the_points():
    clouds = torch.randn(4, 3, 30, generator=torch.Generator().manual_seed(2))
    ranks = ranks_of("random-ball", clouds)
    order = ranks.argsort(1)
    centre = clouds.gather(2, order[:, None, :1].expand(-1, 3, 1))
    distance = (clouds - centre).square().sum(1).gather(1, order)
    assert (distance[:, 0] == 0).all()
    assert (distance.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("fractions", [(0.5,), (0.5, 0.2), (0, 1.5)])
def test_fractions_must_grow_within_zero_and_one(fractions):
    with pytest.raises(UserError, match="fractions"):
        OcclusionRobustness(fractions=fractions)
