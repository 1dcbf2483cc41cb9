"""The evaluation by Quantus: complete, repeatable, quiet, and clear about what has no value."""

from __future__ import annotations

import gc
import logging
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import moved_generators, random_state, reseed
from reldrop_bench.checking.tiny import TASKS, TEST, TinyAttributor, tiny_facts, tiny_model
from reldrop_bench.checking.trace import ModelTrace
from reldrop_bench.data import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.errors import UserError
from reldrop_bench.evaluations._quantus.catalogue import CATALOGUE, REFUSED, SIZES
from reldrop_bench.evaluations._quantus.settings import penultimate_layer
from reldrop_bench.evaluations._quantus.spaces import Case, Masked
from reldrop_bench.evaluations.quantus import QuantusMetrics
from reldrop_bench.kinds.attributor import Attributor, RelevanceError, logit_gradient
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import MODALITIES

Build = Callable[..., Context]
GROUPS = {"localisation", "complexity", "faithfulness", "robustness", "randomisation"}


class Odd(Attributor):
    """Gradient times input with something wrong, as `what` says."""

    name = "quantus-odd"
    what: str = ""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        maps = (logit_gradient(model, inputs, targets) * inputs).sum(1)
        if self.what == "first zero":
            maps[0] = 0
        if self.what == "constant":
            maps = torch.full_like(maps, 0.5)
        if self.what == "negative":
            maps = -maps.abs()
        if self.what == "first loud":
            maps[0] *= 1000
        if self.what == "nan":
            maps[0] = torch.nan
        return maps


class Fragile(TinyAttributor):
    """It explains what it is given first, and nothing else."""

    name = "quantus-fragile"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        random.random()
        if not any(torch.equal(inputs, each) for each in SEEN):
            raise RuntimeError("only the test split\nand a second line")
        return super().attribute(model, inputs, targets, generator)


SEEN: list[Tensor] = []


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of tiny predictions: on a busy machine threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def context(context_of: Build) -> Callable[..., Context]:
    """Return a function that makes a context for a contract's tiny task or another."""

    def build(modality: str = "image", task: Task | None = None, **fields: Any) -> Context:
        given = {"attributor": TinyAttributor(), "batch_size": 16} | fields
        return context_of(tiny_model(modality), task or TASKS[modality](), **given)

    return build


def run(context: Context, **parameters: Any) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return rows and notes by metric."""
    record = Record()
    QuantusMetrics.create(parameters).evaluate(context, record)
    return record.frame(), {note["metric"]: note["reason"] for note in record.notes}


def values(frame: pd.DataFrame) -> dict[str, float]:
    rows = frame[frame["table"] == "metric"]
    return dict(zip(rows["metric"], rows["value"], strict=True))


def task_of(known: Facts, inputs: Tensor, targets: Tensor, masks: Tensor | None = None) -> Task:
    class Given(Task):
        """What the test gives."""

        name = "quantus-given"
        modalities = frozenset({known.modality})
        default_model = "none"
        recipe = Recipe()

        def facts(self, root: Path | None) -> Facts:
            return known

        def splits(self, root: Path | None, seed: int) -> TrainingSplits:
            raise AssertionError("evaluation opens no training data")

        def test(self, root: Path | None) -> TensorSplit:
            return TensorSplit(inputs, targets, masks)

        def shifts(self, root: Path | None) -> Shifts:
            return {}

    return Given()


# What there is


def test_every_metric_of_quantus_is_offered_or_refused_for_each_modality() -> None:
    import quantus

    for group, classes in quantus.AVAILABLE_METRICS.items():
        for cls in classes.values():
            name = cls.__name__
            offered = CATALOGUE[name].modalities if name in CATALOGUE else frozenset()
            assert offered | set(REFUSED.get(name, {})) == MODALITIES
            assert not offered & set(REFUSED.get(name, {}))
            if name in CATALOGUE:
                assert CATALOGUE[name].group == group.lower()
    known = {cls.__name__ for part in quantus.AVAILABLE_METRICS.values() for cls in part.values()}
    assert CATALOGUE.keys() | REFUSED.keys() == known


def test_what_is_listed_is_what_is_offered() -> None:
    assert {key.partition("/")[0] for key in QuantusMetrics.metrics} == GROUPS | {"samples"}
    assert QuantusMetrics.refused is REFUSED
    assert QuantusMetrics.metrics["faithfulness/PixelFlipping"].cost == "8, 16 or 32 predictions"
    assert QuantusMetrics.metrics["faithfulness/Infidelity"].modalities == {"image"}
    assert QuantusMetrics.metrics["robustness/AvgSensitivity"].seeded
    assert not QuantusMetrics.default
    assert registry.find("evaluations", "quantus").cls is QuantusMetrics
    for size in SIZES:
        assert QuantusMetrics.create({"preset": size}).size == size


def test_unknown_and_refused_metrics_are_answered() -> None:
    with pytest.raises(UserError, match="did you mean 'PixelFlipping'"):
        QuantusMetrics(only=("PixelFliping",))
    with pytest.raises(UserError, match=r"IROF is not offered: it calls np\.trapz"):
        QuantusMetrics(only=("IROF",))


def test_nothing_slow_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, reldrop_bench.evaluations.quantus; "
        "print([name for name in ('quantus', 'zennit', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("modality", sorted(MODALITIES))
def test_sizes_grow_and_every_group_is_there(
    context: Callable[..., Context], modality: str
) -> None:
    found: dict[str, set[str]] = {}
    for size in SIZES:
        frame, notes = run(context(modality), size=size)
        found[size] = set(values(frame)) | set(notes)
        assert {key.partition("/")[0] for key in values(frame)} == GROUPS | {"samples"}
        assert np.isfinite(frame["value"]).all()
        assert not any("Quantus fails" in reason for reason in notes.values()), notes
    assert found["fast"] < found["standard"] <= found["full"]
    offered = {entry.key for entry in CATALOGUE.values() if modality in entry.modalities}
    assert found["full"] == offered | {"samples"}


# Repeatable, and without traces


@pytest.mark.parametrize("modality", sorted(MODALITIES))
def test_values_are_the_same_whatever_ran_before(
    context: Callable[..., Context], modality: str
) -> None:
    reseed(1)
    whole, _ = run(context(modality), size="standard")
    reseed(2)
    shared = context(modality)
    run(shared, size="fast")
    again, _ = run(shared, size="standard")
    pd.testing.assert_frame_equal(whole, again, check_exact=True)
    for name in ("RandomLogit", "AvgSensitivity", "FaithfulnessCorrelation"):
        alone, _ = run(context(modality), size="standard", only=[name])
        mine = whole[whole["metric"] == CATALOGUE[name].key].reset_index(drop=True)
        rest = alone[alone["metric"] != "samples"].reset_index(drop=True)
        names = dict.fromkeys(("table", "split", "metric"), "str")
        pd.testing.assert_frame_equal(mine.astype(names), rest.astype(names), check_exact=True)


@pytest.mark.parametrize("modality", sorted(MODALITIES))
def test_it_leaves_no_trace(
    context: Callable[..., Context], modality: str, capfd: pytest.CaptureFixture[str]
) -> None:
    here = context(modality)
    trace, state, handlers = ModelTrace.of(here.model), random_state(), list(logging.root.handlers)
    run(here, size="full")
    assert trace.changes(here.model) == []
    assert moved_generators(state) == []
    assert logging.root.handlers == handlers
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


def test_it_leaves_no_trace_after_an_error(context: Callable[..., Context]) -> None:
    here = context(attributor=Odd(what="nan"))
    trace, state = ModelTrace.of(here.model), random_state()
    with pytest.raises(RelevanceError):
        run(here)
    assert trace.changes(here.model) == []
    assert moved_generators(state) == []


def test_networks_are_not_kept_alive(context: Callable[..., Context]) -> None:
    here = context()
    gone = weakref.ref(here.model)
    run(here, size="fast")
    del here
    gc.collect()
    assert gone() is None


# What has no value


def test_a_failure_in_one_metric_is_noted_and_the_others_go_on(
    context: Callable[..., Context],
) -> None:
    here = context(attributor=Fragile())
    SEEN[:] = [here.test.inputs[part] for part in here.order.split(here.batch_size)]
    state = random_state()
    frame, notes = run(here)
    state_moved = moved_generators(state)
    reason = "no value: Quantus fails with RuntimeError: only the test split"
    assert notes["robustness/AvgSensitivity"] == reason
    assert "robustness/AvgSensitivity" not in values(frame)
    assert values(frame).keys() >= {"faithfulness/PixelFlipping", "randomisation/MPRT"}
    assert state_moved == []


def test_constant_maps_have_no_value(context: Callable[..., Context]) -> None:
    frame, notes = run(context(attributor=Odd(what="constant")), size="standard")
    assert values(frame) == {"samples": TEST}
    assert set(notes.values()) == {"no value: the map is constant"}


def test_samples_without_relevance_are_left_out(context: Callable[..., Context]) -> None:
    frame, notes = run(context(attributor=Odd(what="first zero")), size="fast")
    for key in values(frame).keys() - {"samples"}:
        assert notes[key].startswith("2 of 24 samples left out: the map is constant")
        rows = frame[(frame["table"] == "example") & (frame["metric"] == key)]
        assert rows["value"].mean() == pytest.approx(values(frame)[key])
        assert len(rows) == TEST - 2


def test_maps_without_positive_relevance(context: Callable[..., Context]) -> None:
    frame, notes = run(context(attributor=Odd(what="negative")), only=["RelevanceMassAccuracy"])
    assert values(frame) == {"samples": TEST}
    assert notes["localisation/RelevanceMassAccuracy"].startswith("no value: ")


def test_one_loud_map_changes_no_other(context: Callable[..., Context]) -> None:
    plain, _ = run(context(attributor=Odd()), size="fast")
    loud, _ = run(context(attributor=Odd(what="first loud")), size="fast")
    keys = {"faithfulness/PixelFlipping", "complexity/EffectiveComplexity", "randomisation/MPRT"}
    for key in keys:
        pair = (frame[frame["metric"] == key]["value"].to_numpy() for frame in (plain, loud))
        np.testing.assert_allclose(*pair, rtol=1e-5)


def test_masks_that_are_empty_or_missing(context: Callable[..., Context]) -> None:
    split, known = TASKS["image"]().test(None), tiny_facts("image")
    assert split.masks is not None
    masks = split.masks.clone()
    masks[0], masks[1] = 0, 1
    task = task_of(known, split.inputs, split.targets, masks)
    frame, notes = run(context(task=task))
    for key in values(frame):
        if key.startswith("localisation/"):
            left = "2 of 24 samples left out: the mask is empty or covers everything"
            assert notes[key] == left
            rows = frame[(frame["table"] == "example") & (frame["metric"] == key)]
            assert not {0, 1} & set(rows["item"])
    bare = Facts("image", known.classes, known.input_shape, known.mean, known.std)
    frame, notes = run(context(task=task_of(bare, split.inputs, split.targets)))
    assert not any(key.startswith("localisation/") for key in values(frame))
    assert notes["localisation/AUC"] == "the task has no masks"


def test_one_class_alone_has_no_other(context: Callable[..., Context]) -> None:
    split, known = TASKS["image"]().test(None), tiny_facts("image")
    one = Facts("image", ("only",), known.input_shape, known.mean, known.std)
    task = task_of(one, split.inputs, torch.zeros_like(split.targets))
    here = context(task=task)
    here.model = nn.Sequential(nn.Flatten(), nn.Linear(split.inputs[0].numel(), 1)).eval()
    frame, notes = run(here, size="standard")
    assert "randomisation/RandomLogit" not in values(frame)
    assert "one class alone" in notes["randomisation/RandomLogit"]
    assert "same class" in notes["faithfulness/Sufficiency"]
    assert np.isfinite(frame["value"]).all()


def test_a_model_without_layers_to_draw_anew(context: Callable[..., Context]) -> None:
    here = context()
    here.model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()).eval()
    _, notes = run(here, size="standard")
    assert "reset_parameters" in notes["randomisation/MPRT"]
    assert "linear" in notes["robustness/RelativeRepresentationStability"]


def test_what_is_refused_for_clouds_is_noted_where_it_was_asked_for(
    context: Callable[..., Context],
) -> None:
    _, notes = run(context("cloud"), size="full")
    assert not any("order of the points" in reason for reason in notes.values())
    frame, notes = run(context("cloud"), only=["Selectivity", "PixelFlipping"])
    assert "order of the points" in notes["faithfulness/Selectivity"]
    assert set(values(frame)) == {"faithfulness/PixelFlipping", "samples"}


def test_elements_that_cannot_be_taken_in_equal_steps(context: Callable[..., Context]) -> None:
    split = TASKS["cloud"]().test(None)
    known = Facts("cloud", tiny_facts("cloud").classes, (3, 37), (0.0,) * 3, (1.0,) * 3)
    here = context("cloud", task_of(known, split.inputs[..., :37], split.targets))
    frame, notes = run(here)
    assert "37 elements cannot be taken" in notes["faithfulness/PixelFlipping"]
    assert "complexity/Complexity" in values(frame)


@pytest.mark.parametrize("count", [1, 2])
def test_very_few_samples(context: Callable[..., Context], count: int) -> None:
    for modality in sorted(MODALITIES):
        frame, _ = run(context(modality), size="full", max_samples=count)
        assert np.isfinite(frame["value"]).all()
        assert values(frame)["samples"] == count


# Mask space


@pytest.mark.parametrize("modality", sorted(MODALITIES))
def test_masks_take_whole_elements_and_whole_batches(
    context: Callable[..., Context], modality: str
) -> None:
    here = context(modality)
    items, batch, relevance = next(iter(here.explained(16, "test")))
    masked = Masked(Case(here, 0, items, batch, relevance), probabilities=False)
    kept = torch.ones(16, 1, *relevance.shape[1:])
    assert torch.equal(masked(kept), here.predict(batch.inputs))
    kept[..., : kept.shape[-1] // 3] = 0
    if modality == "image":
        filled = batch.inputs * kept
        assert torch.allclose(masked(kept), here.predict(filled))
        assert torch.allclose(masked(0 * kept), here.predict(0 * filled), atol=1e-6)
    else:  # the network takes a maximum, so a removed point is as one that is not there
        fewer = batch.inputs[..., kept.shape[-1] // 3 :]
        assert torch.allclose(masked(kept), here.predict(fewer), atol=1e-6)
        assert torch.allclose(masked(0 * kept), here.predict(batch.inputs[..., :1]), atol=1e-6)
    with pytest.raises(ValueError, match="1 masks for 16 samples"):
        masked(kept[:1])


def test_a_softmax_inside_the_network_stays(context: Callable[..., Context]) -> None:
    here = context()
    here.model = nn.Sequential(here.model, nn.Softmax(1)).eval()
    split = here.test
    with torch.no_grad():
        clean = here.model(split.inputs).softmax(1).gather(1, split.targets[:, None])
    frame, notes = run(here, size="standard")
    curve = frame[frame["metric"] == "faithfulness/PixelFlipping/probability"]
    assert curve["value"].iloc[0] == pytest.approx(clean.mean().item(), rel=1e-5)
    assert not any("Quantus fails" in reason for reason in notes.values()), notes


def test_the_last_hidden_layer_is_found() -> None:
    assert penultimate_layer(tiny_model("image")) == "9"
