"""A network trained to use one cue alone and one trained on all four, through every statistic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from reldrop_bench.evaluations.cues import CueUse
from reldrop_bench.evaluations.diversity import Diversity
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Record
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.datasets import cue_images, cue_points
from reldrop_bench.seeding import global_seed

CUES = 4
STEPS = 450
# In so few steps this network learns clouds whose cues have places of their own.
CLOUDS = cue_points.CuePoints(
    samples=640, test_samples=128, places="quadrants", clutter=64, jitter=1.0
)
SETTINGS = {
    "image": (cue_images, cue_images.CueImages(samples=640, test_samples=128), "small-cnn"),
    "cloud": (cue_points, CLOUDS, "pointnet"),
}
ONE, ALL = ((0,),), ((0, 1, 2, 3), (0,), (1,), (2,), (3,))
"""Cues that are visible in a copy of the training data: to learn from each, a model meets it alone."""

HIGHER = (
    "effective_cues",
    "causal_effective_cues",
    "attribution_entropy",
    "mass_coverage",
    "in_mask_entropy",
    "effective_rank",
)
LOWER = ("gini", "cue_0_mass", "cue_0_shapley")
"""What a model of all cues has more of, and less of. The documentation names those that do not tell:
participation ratio, Vendi score, class cosine, relevance in the masks."""


def trained(modality: str, visible: tuple[tuple[int, ...], ...], context_of: Any) -> Context:
    """Return a network that was trained on one copy of the data for each set of visible cues."""
    module, task, name = SETTINGS[modality]
    parts = []
    for cues in visible:
        removed = tuple(cue for cue in range(CUES) if cue not in cues)
        split = module._split(task, "train", removed)
        parts.append(split.batch(torch.arange(len(split))))
    inputs = torch.cat([part.inputs for part in parts])
    targets = torch.cat([part.targets for part in parts])
    with global_seed("trained cues"):
        model = registry.create("models", name).build(task.facts(None))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(STEPS):  # as many whatever the number of copies: neither is trained longer
            rows = torch.randint(len(inputs), (64,))
            loss = functional.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    attributor = registry.create("attributors", "lrp-epsilon-plus-flat")
    return context_of(model, task, attributor=attributor)


def measured(evaluation: Evaluation, context: Context) -> dict[str, float]:
    record = Record()
    evaluation.evaluate(context, record)
    rows = record.frame()
    rows = rows[rows["table"] == "metric"]
    return {
        f"{split}/{metric}": value
        for split, metric, value in rows[["split", "metric", "value"]].itertuples(index=False)
    }


@pytest.fixture(scope="module", params=SETTINGS)
def found(request: Any, context_of: Any) -> dict[str, dict[str, float]]:
    """Return the metrics of the model of one cue and of that of all."""
    everything = {}
    for who, visible in (("one", ONE), ("all", ALL)):
        context = trained(request.param, visible, context_of)
        cues = measured(CueUse(), context)
        everything[who] = cues | measured(Diversity(control=False), context)
    return everything


def test_removing_cues_shows_who_uses_what(found):
    one, every = found["one"], found["all"]
    chance = 1 / 8
    assert one["removed-123/accuracy"] > 0.9 > 2 * chance > one["removed-0/accuracy"]
    assert every["removed-0/accuracy"] > one["removed-0/accuracy"] + 0.1
    assert one["test/cue_0_shapley"] > 0.75
    assert all(abs(one[f"test/cue_{cue}_shapley"]) < 0.05 for cue in (1, 2, 3))
    assert all(every[f"test/cue_{cue}_shapley"] > 0.01 for cue in range(CUES))
    assert one["test/causal_effective_cues"] < 1.3 < 2.5 < every["test/causal_effective_cues"]


@pytest.mark.parametrize("metric", HIGHER)
def test_a_model_of_all_cues_has_more(found, metric):
    assert found["all"][f"test/{metric}"] > 1.05 * found["one"][f"test/{metric}"]


@pytest.mark.parametrize("metric", LOWER)
def test_a_model_of_all_cues_has_less(found, metric):
    assert found["all"][f"test/{metric}"] < found["one"][f"test/{metric}"]


def test_relevance_agrees_with_what_the_cues_do(found):
    assert found["one"]["test/cue_agreement"] > 0.7
    assert found["all"]["test/cue_agreement"] > 0.7
