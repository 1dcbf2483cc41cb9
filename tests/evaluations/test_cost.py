"""What a training step costs, where the operations can be counted by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.evaluations.cost import Cost
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins import registry

HIDDEN, LABELS = 10, 5


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, LABELS))


FIRST, SECOND = 2 * 36 * HIDDEN, 2 * HIDDEN * LABELS
"""Operations of the layers for one sample: a multiplication and an addition a weight."""


class Extra(Regularizer):
    """Another forward pass in each part of a step."""

    name = "extra"
    transforms: bool = False
    penalises: bool = False
    explains: bool = False

    @property
    def uses_relevance(self) -> bool:
        return self.explains

    def transform(self, batch: Batch, step: Step) -> Batch:
        if self.explains:
            step.relevance(batch.inputs[:8], batch.labels[:8])
        if self.transforms:
            with torch.no_grad():
                step.model(batch.inputs)
        return batch

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        return step.model(batch.inputs).square().mean() if self.penalises else None


def costs(measure, context_of, **fields):
    rows = measure(Cost(), context_of(network(), recipe=Recipe(), **fields))
    return rows.set_index("metric")["value"].to_dict()


def test_plain_training_is_a_forward_and_a_backward_pass(measure, context_of):
    found = costs(measure, context_of)
    assert found["forward_megaflops"] == pytest.approx((FIRST + SECOND) / 1e6)
    # the gradients of both weights and of the hidden layer; nobody asks for the input's
    backward = FIRST + 2 * SECOND
    assert found["passes_per_step"] == pytest.approx(1 + backward / (FIRST + SECOND))
    assert "explanation_passes" not in found


def test_what_a_regularizer_adds_is_counted(measure, context_of):
    plain = costs(measure, context_of)["passes_per_step"]
    extra = costs(measure, context_of, regularizer=Extra(transforms=True))["passes_per_step"]
    assert extra == pytest.approx(plain + 1)
    penalty = costs(measure, context_of, regularizer=Extra(penalises=True))["passes_per_step"]
    assert penalty == pytest.approx(2 * plain)


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("gradient-x-input", 2.0),
        # rules that change weights need passes of their own; REFERENCE: at most about three
        ("lrp-epsilon-plus-flat", 3.0),
        ("lrp-epsilon-plus-flat@zennit", 5.0),
    ],
)
def test_explanations_are_counted_by_who_asks_for_them(measure, context_of, method, passes):
    attributor = registry.create("attributors", method)
    regularizer = Extra(explains=True)
    found = costs(measure, context_of, regularizer=regularizer, training_attributor=attributor)
    assert found["explanation_passes"] == pytest.approx(passes, rel=0.25)
    plain = costs(measure, context_of)["passes_per_step"]
    half = found["explanation_passes"] / 2  # eight of sixteen samples are explained
    # Each explanation holds two samples against the model itself, whatever the batch.
    assert found["passes_per_step"] == pytest.approx(plain + half, rel=0.03)


def test_the_model_stays_as_it_is(measure, context_of):
    context = context_of(
        network(), recipe=Recipe(), regularizer=Extra(transforms=True, penalises=True)
    )
    before = copy.deepcopy(context.model.state_dict())
    measure(Cost(), context)
    assert all(torch.equal(value, before[key]) for key, value in context.model.state_dict().items())
    assert all(parameter.grad is None for parameter in context.model.parameters())


def test_a_model_without_products_is_noted(context_of, measure):
    class Mean(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs.flatten(1)[:, :LABELS]

    record = Record()
    Cost().evaluate(context_of(Mean()), record)
    assert record.frame().empty
    assert "no matrix product" in record.notes[0]["reason"]


class Guided(Regularizer):
    """Asks for the map of every sample."""

    name = "guided"

    @property
    def uses_relevance(self) -> bool:
        return True

    def transform(self, batch: Batch, step: Step) -> Batch:
        assert step.relevance_of(batch, torch.arange(len(batch))).isfinite().all()
        return batch


def test_maps_that_training_gives_away_cost_the_inputs_gradient_alone(measure, context_of):
    free = registry.create("attributors", "loss-gradient-x-input")
    found = costs(measure, context_of, regularizer=Guided(), training_attributor=free)
    plain = costs(measure, context_of)["passes_per_step"]
    assert found["passes_per_step"] == pytest.approx(plain + FIRST / (FIRST + SECOND))
    assert "explanation_passes" not in found


def test_layers_with_fused_kernels_are_counted(measure, context_of):
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
            self.head = nn.Linear(6, LABELS)

        def forward(self, inputs: Tensor) -> Tensor:
            tokens = inputs[:, 0]
            return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))

    rows = measure(Cost(), context_of(Attention(), recipe=Recipe())).set_index("metric")["value"]
    projections = 4 * 2 * 6 * 6 * 6  # query, key, value and output, of six tokens of six numbers
    assert rows["forward_megaflops"] * 1e6 > projections
    assert 2 < rows["passes_per_step"] < 4


def test_where_training_is_unknown_only_the_network_is_counted(context_of):
    record = Record()
    Cost().evaluate(context_of(network()), record)
    assert record.frame()["metric"].tolist() == ["forward_megaflops"]
    assert "not known how" in record.notes[0]["reason"]
