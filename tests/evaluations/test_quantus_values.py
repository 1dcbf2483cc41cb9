"""The values of Quantus' metrics: as Quantus gives them, and right where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.evaluations._quantus.catalogue import CATALOGUE
from reldrop_bench.evaluations._quantus.settings import NOISE, equal_steps
from reldrop_bench.evaluations._quantus.spaces import FLOOR, break_ties, scaled
from reldrop_bench.evaluations.quantus import QuantusMetrics
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.task import Task
from reldrop_bench.seeding import derive_seed

Build = Callable[..., Context]
Measure = Callable[[Evaluation, Context], pd.DataFrame]

COUNT, SIDE, POINTS = 32, 8, 32
LABELS = torch.arange(COUNT) % 2
FAITHFULNESS = [entry for entry in CATALOGUE.values() if entry.group == "faithfulness"]


def task_of(known: Facts, inputs: Tensor, masks: Tensor | None = None) -> Task:
    """Return a task with these test items of two alternating classes."""

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
            return TensorSplit(inputs, LABELS, masks)

        def shifts(self, root: Path | None) -> Shifts:
            return {}

    return Given()


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def images(channels: int) -> Task:
    """Class 0 is bright on the left, class 1 on the right; that half is the mask."""
    half = torch.zeros(COUNT, 1, SIDE, SIDE)
    half[0::2, :, :, : SIDE // 2] = 1
    half[1::2, :, :, SIDE // 2 :] = 1
    inputs = (0.05 + 0.95 * rand(COUNT, channels, SIDE, SIDE)) * half
    shape = (channels, SIDE, SIDE)
    facts = Facts(
        "image", ("left", "right"), shape, (0.0,) * channels, (1.0,) * channels, masks=True
    )
    return task_of(facts, inputs, half[:, 0].to(torch.uint8))


def clouds() -> Task:
    """Class 0 reaches out to positive x, class 1 to negative x."""
    inputs = torch.randn(COUNT, 3, POINTS, generator=torch.Generator().manual_seed(3))
    inputs[:, 0] = inputs[:, 0].abs() * (1 - 2 * LABELS[:, None])
    return task_of(Facts("cloud", ("plus", "minus"), (3, POINTS), (0.0,) * 3, (1.0,) * 3), inputs)


class Halves(nn.Module):
    """Class 0 adds up the left half with positive weights, class 1 the right half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        weight = 0.02 + 0.4 * rand(2, channels, SIDE, SIDE, seed=1) ** 3
        weight[0, :, :, SIDE // 2 :] *= 0.01
        weight[1, :, :, : SIDE // 2] *= 0.01
        self.linear = nn.Linear(channels * SIDE**2, 2, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(weight.flatten(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs.flatten(1))


class Points(nn.Module):
    """Scores of single points in eight directions a class, pooled over the points, added up."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        directions = torch.randn(16, 3, 1, generator=torch.Generator().manual_seed(2))
        directions[:8, 0] = directions[:8, 0].abs() + 1
        directions[8:, 0] = -directions[8:, 0].abs() - 1
        self.shared = nn.Conv1d(3, 16, 1, bias=False)
        self.linear = nn.Linear(16, 2, bias=False)
        self.pooling = pooling
        with torch.no_grad():
            self.shared.weight.copy_(directions)
            self.linear.weight.copy_(torch.eye(2).repeat_interleave(8, 1) / 4)

    def forward(self, points: Tensor) -> Tensor:
        scores = self.shared(points).relu()
        pooled = scores.max(2).values if self.pooling == "max" else 8 * scores.mean(2)
        return self.linear(pooled)


def gradient_x_input(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    inputs = inputs.detach().requires_grad_()
    logit = model(inputs).gather(1, targets[:, None]).sum()
    return (torch.autograd.grad(logit, inputs)[0] * inputs).detach().sum(1)


class Explainer(Attributor):
    """The truth of a model that is linear in what counts, or a map that is wrong on purpose."""

    name = "quantus-explainer"
    kind: str = "oracle"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        if self.kind == "random":
            return torch.rand(len(inputs), *inputs.shape[2:], generator=generator)
        if self.kind == "weightless":
            return inputs.square().sum(1)
        maps = gradient_x_input(model, inputs, targets)
        if self.kind == "inverted":
            largest = maps.flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
            return largest - maps
        return maps


MODELS = {
    "image": (partial(images, 3), partial(Halves, 3)),
    "max-pooled cloud": (clouds, partial(Points, "max")),
    "mean-pooled cloud": (clouds, partial(Points, "mean")),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Hundreds of tiny predictions: on a busy machine threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def score(context_of: Build) -> Callable[..., float]:
    def of(which: str, name: str, kind: str = "oracle", size: str = "standard") -> float:
        task, model = (make() for make in MODELS[which])
        context = context_of(model, task, attributor=Explainer(kind=kind), batch_size=16)
        record = Record()
        QuantusMetrics.create({"size": size, "only": [name]}).evaluate(context, record)
        frame = record.frame()
        rows = frame[(frame["table"] == "metric") & (frame["metric"] == CATALOGUE[name].key)]
        assert len(rows) == 1, record.notes
        return float(rows["value"].item())

    return of


@pytest.mark.parametrize("which", MODELS)
@pytest.mark.parametrize("name", [entry.name for entry in FAITHFULNESS])
def test_the_truth_beats_random_and_inverted_maps(
    score: Callable[..., float], which: str, name: str
) -> None:
    entry = CATALOGUE[name]
    if which.rpartition(" ")[2] not in entry.modalities:
        pytest.skip("refused for clouds")
    sign = 1 if entry.direction == "higher" else -1
    truth, random, inverted = (
        sign * score(which, name, kind) for kind in ("oracle", "random", "inverted")
    )
    assert truth > random
    # An inverted map is as near to other inverted maps as the truth is to other truths.
    assert name == "Sufficiency" or truth > inverted


@pytest.mark.parametrize(
    ("name", "value"),
    [("FaithfulnessCorrelation", 1.0), ("FaithfulnessEstimate", 1.0), ("Infidelity", 0.0)],
)
def test_the_truth_of_a_linear_model_has_the_best_value(
    score: Callable[..., float], name: str, value: float
) -> None:
    assert score("image", name) == pytest.approx(value, abs=1e-5)


def test_localisation_of_maps_in_the_mask(score: Callable[..., float]) -> None:
    for name in ("PointingGame", "TopKIntersection", "RelevanceRankAccuracy", "AUC"):
        assert score("image", name) == 1
    for name in ("RelevanceMassAccuracy", "AttributionLocalisation"):
        assert score("image", name) == pytest.approx(1)
        assert score("image", name, "random") == pytest.approx(0.5, abs=0.05)
        assert score("image", name, "inverted") < 0.5


@pytest.mark.parametrize("which", MODELS)
def test_randomisation_tells_who_ignores_the_weights(
    score: Callable[..., float], which: str
) -> None:
    for name in ("MPRT", "RandomLogit"):
        assert score(which, name, "weightless") == pytest.approx(1)
        assert score(which, name, "random") == pytest.approx(1)
        assert score(which, name) < 0.95
    assert score(which, "EfficientMPRT", "weightless") == 0
    assert abs(score(which, "EfficientMPRT")) > 1e-4


@pytest.mark.parametrize("which", MODELS)
def test_maps_that_do_not_look_at_the_input_are_robust(
    score: Callable[..., float], which: str
) -> None:
    for entry in CATALOGUE.values():
        if entry.group == "robustness" and which.rpartition(" ")[2] in entry.modalities:
            if entry.name == "RelativeRepresentationStability" and which == "image":
                continue  # a linear model has no hidden layer
            assert score(which, entry.name, "random") == 0
            if entry.name == "Continuity":
                continue  # it moves images out of sight, where the truth of a linear model is 0
            assert score(which, entry.name) > 0


# What Quantus says itself: one channel and a baseline of 0, where its input space is the mask space.


@pytest.fixture
def rows(context_of: Build, measure: Measure) -> Callable[..., pd.DataFrame]:
    def of(**parameters: Any) -> pd.DataFrame:
        context = context_of(Halves(1), images(1), attributor=Explainer(), batch_size=COUNT)
        return measure(QuantusMetrics.create(parameters), context)

    return of


def direct(
    name: str, stream: str, maps: str = "signed", softmax: bool = False, **settings: Any
) -> Any:
    """Call Quantus on the inputs themselves; items in the evaluation's order."""
    import quantus

    order = item_order()
    split = images(1).test(None)
    assert split.masks is not None
    model = Halves(1).eval()
    network = nn.Sequential(model, nn.Softmax(1)).eval() if softmax else model
    inputs, labels = split.inputs[order], split.targets[order]
    relevance = scaled(gradient_x_input(model, inputs, labels))
    if maps == "floored":
        relevance = np.where(np.abs(relevance) < FLOOR, 0, relevance)
    if maps == "ordered":
        seed = derive_seed("evaluation", "quantus-given", "quantus", stream, 0)
        relevance = break_ties(relevance, np.random.default_rng(seed))

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        found = scaled(gradient_x_input(model, torch.tensor(inputs), torch.tensor(targets)))
        return np.where(np.abs(found) < FLOOR, 0, found) if maps == "floored" else found

    metric = getattr(quantus, name)(
        abs=maps == "absolute",
        normalise=False,
        return_aggregate=False,
        disable_warnings=True,
        **settings,
    )
    np.random.seed(derive_seed("evaluation", "quantus-given", "quantus", stream, 0) % 2**32)  # noqa: NPY002
    return metric(
        model=network,
        x_batch=inputs.numpy(),
        y_batch=labels.numpy(),
        a_batch=relevance,
        **({"s_batch": split.masks[order, None].numpy()} if stream == "masks" else {}),
        channel_first=True,
        explain_func=explain,
        softmax=softmax,
        batch_size=COUNT,
    )


def item_order() -> Tensor:
    from reldrop_bench.kinds.evaluation import Context as Anywhere

    task = images(1)
    context = Anywhere.__new__(Anywhere)
    context.task, context.root, context.facts = task, None, task.facts(None)
    return context.order


def examples(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return a metric's values of single items, in the evaluation's order."""
    mine = frame[(frame["table"] == "example") & (frame["metric"] == CATALOGUE[name].key)]
    assert mine["item"].tolist() == item_order().tolist()
    return mine["value"].to_numpy()


BASELINE = {"perturb_baseline": 0.0}
BOUNDS = {"perturb_func_kwargs": {"lower_bound": NOISE["image"], "upper_bound": None}}
DIRECT: dict[str, dict[str, Any]] = {
    "RelevanceMassAccuracy": {"stream": "masks"},
    "AttributionLocalisation": {"stream": "masks", "maps": "absolute"},
    "AUC": {"stream": "masks"},
    "RelevanceRankAccuracy": {"stream": "masks"},
    "TopKIntersection": {"stream": "masks", "k": SIDE**2 // 10},
    "PointingGame": {"stream": "masks"},
    "Sparseness": {"stream": "none", "maps": "absolute"},
    "Complexity": {"stream": "none", "maps": "absolute"},
    "EffectiveComplexity": {"stream": "none", "maps": "absolute", "eps": FLOOR},
    "FaithfulnessCorrelation": {
        "stream": "FaithfulnessCorrelation", "nr_runs": 32, "subset_size": SIDE**2 // 8, **BASELINE
    },
    "FaithfulnessEstimate": {
        "stream": "FaithfulnessEstimate", "maps": "ordered", "features_in_step": 4, **BASELINE
    },
    "MaxSensitivity": {"stream": "noise", "nr_samples": 3, "lower_bound": NOISE["image"]},
    "AvgSensitivity": {"stream": "noise", "nr_samples": 3, "lower_bound": NOISE["image"]},
    "RelativeInputStability": {
        "stream": "noise", "maps": "floored", "nr_samples": 3, "eps_min": FLOOR, **BOUNDS
    },
    "RelativeOutputStability": {
        "stream": "noise", "maps": "floored", "nr_samples": 3, "eps_min": FLOOR, **BOUNDS
    },
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The settings for perturbing input")
def test_values_are_those_of_quantus_where_no_trap_is(rows: Callable[..., pd.DataFrame]) -> None:
    frame = rows(size="standard", only=list(DIRECT))
    for name, given in DIRECT.items():
        expected = np.asarray(direct(name, **given), dtype=np.float64)
        np.testing.assert_allclose(
            examples(frame, name), expected, rtol=1e-4, atol=1e-6, err_msg=name
        )


def test_curves_are_those_of_quantus_with_the_start_added(
    rows: Callable[..., pd.DataFrame],
) -> None:
    frame = rows(size="full", only=["PixelFlipping", "Selectivity", "RegionPerturbation"])
    with torch.no_grad():
        split = images(1).test(None)
        clean = Halves(1)(split.inputs).softmax(1).gather(1, split.targets[:, None]).mean().item()
    for name, settings in (
        ("PixelFlipping", {"features_in_step": 2}),
        ("Selectivity", {"patch_size": 1}),
    ):
        later = np.asarray(direct(name, name, "ordered", True, **BASELINE, **settings))
        curve = frame[
            (frame["table"] == "curve") & (frame["metric"] == f"{CATALOGUE[name].key}/probability")
        ]
        assert curve["x"].tolist() == np.linspace(0, 1, later.shape[1] + 1).tolist()
        np.testing.assert_allclose(curve["value"], [clean, *later.mean(0)], rtol=1e-5)
        area = np.trapezoid(curve["value"], curve["x"])
        value = frame[(frame["table"] == "metric") & (frame["metric"] == CATALOGUE[name].key)][
            "value"
        ]
        assert value.item() == pytest.approx(area, rel=1e-6)
    falls = np.asarray(
        direct("RegionPerturbation", "RegionPerturbation", "ordered", True, patch_size=1,
               regions_evaluation=30, **BASELINE)
    )  # fmt: skip
    np.testing.assert_allclose(
        examples(frame, "RegionPerturbation"), falls.sum(1) / 31, rtol=1e-4, atol=1e-7
    )


def test_ties_are_broken_at_random_and_nothing_else_moves() -> None:
    maps = np.array([[3.0, 0, 0, 0, 1, -2, 0, 1e-30]] * 2000) / 3
    moved = break_ties(maps, np.random.default_rng(0))
    assert np.abs(moved - maps).max() <= 1e-9
    order = np.argsort(-moved, axis=1)
    assert (order[:, 0] == 0).all()
    assert (order[:, 1] == 4).all()
    assert (order[:, 2] == 7).all()
    assert (order[:, -1] == 5).all()
    tied = order[:, 3:7]
    for place in range(4):
        shares = np.bincount(tied[:, place], minlength=8)[[1, 2, 3, 6]] / 2000
        assert shares == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(("elements", "steps"), [(1024, 8), (784, 8), (36, 9), (20, 10), (49, 7)])
def test_elements_are_taken_in_equal_steps(elements: int, steps: int) -> None:
    assert equal_steps(elements, 8) == steps
