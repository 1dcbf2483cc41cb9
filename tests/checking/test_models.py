"""Models that break their contract are caught, each with advice; who refuses is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.model import Model
from reldrop_bench.plugins import registry

Verdicts = Callable[[str, type[Any]], dict[str, str]]


class Network(nn.Module):
    """A small network that methods can read, with a place in the middle for what breaks it."""

    def __init__(self, facts: Facts, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Conv2d(facts.input_shape[0], 4, 3)
        self.middle = middle or nn.ReLU()
        self.last = nn.Linear(4, len(facts.classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.middle(self.first(images)).mean((2, 3)))


class Good(Model):
    """A network as it should be."""

    name = "good"
    modalities = {"image"}

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts)


class Applied(nn.Module):
    """A function in place of a layer; in training only where it is told so."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        return self.function(values)


class TenClasses(Good):
    """It has ten classes, whatever the task."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        network.last = nn.Linear(4, 10)
        return network


class NotAModule(Good):
    """It builds a function."""

    def build(self, facts: Facts) -> Any:
        return lambda images: images.mean((2, 3))


class Exploding(Good):
    """Its initial weights are too large."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        nn.init.constant_(network.last.weight, float("inf"))
        return network


class Unused(Good):
    """It has a layer that no gradient reaches."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        network.spare = nn.Linear(2, 2)
        return network


class Frozen(Good):
    """It has nothing to train."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts).requires_grad_(False)


class RootOfZero(Good):
    """Its gradient is that of a square root at zero."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, Applied(lambda values: (values * 0).sqrt()))


class AlwaysDropout(Good):
    """Its dropout acts in evaluation as well."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, Applied(lambda values: nn.functional.dropout(values, 0.5)))


class Counter(nn.Module):
    """Passes values on, times one more each call."""

    calls = 0

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        return values * self.calls


class Counts(Good):
    """It keeps something from call to call."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, Counter())


class MovingStatistics(nn.Module):
    """Moves its statistics in evaluation as well."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def forward(self, values: Tensor) -> Tensor:
        self.norm.train()
        return self.norm(values)


class AdaptsInEvaluation(Good):
    """Its batch norm goes on learning in evaluation."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, MovingStatistics())


class AcrossTheBatch(Good):
    """It normalises by the batch, in evaluation too."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, nn.BatchNorm2d(4, track_running_stats=False))


class Squeezes(Good):
    """It squeezes the batch axis away."""

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(Network(facts), Applied(lambda logits: logits.squeeze()))


class InPlace(Good):
    """It shifts the input in place."""

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(Applied(lambda images: images.detach().add_(1)), Network(facts))


class FromNumpy(Good):
    """Its weights come from numpy."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        weights = np.random.randn(*network.last.weight.shape)  # noqa: NPY002
        network.last.weight.data = torch.from_numpy(weights).float()
        return network


_SHARED = nn.Linear(4, 4)


class SharesLayers(Good):
    """All its networks have one layer in common."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        network.last = _SHARED
        return network


class LeavesDoubles(Good):
    """It leaves torch's default dtype changed."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        torch.set_default_dtype(torch.float64)
        return network


class OtherNames(Good):
    """Each network calls its layers otherwise."""

    def build(self, facts: Facts) -> nn.Module:
        network = nn.Sequential()
        network.add_module(f"layer-{torch.rand(()).item():.6f}".replace(".", "-"), Network(facts))
        return network


class PlainTensor(Good):
    """It multiplies by a tensor that is drawn, and neither a parameter nor a buffer."""

    def build(self, facts: Facts) -> nn.Module:
        scale = torch.rand(())
        return Network(facts, Applied(lambda values: values * scale))


class Thresholds(Good):
    """No gradient comes through to the input."""

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(Applied(lambda images: (images > 0).float()), Network(facts))


BAD_MODELS = [
    (TenClasses, "logits_have_a_value_a_class", "len(facts.classes)"),
    (NotAModule, "logits_have_a_value_a_class", "torch.nn.Module"),
    (Exploding, "logits_have_a_value_a_class", "initialisation"),
    (Unused, "every_parameter_learns", "spare.weight"),
    (Frozen, "every_parameter_learns", "nothing to train"),
    (RootOfZero, "every_parameter_learns", "sqrt"),
    (AlwaysDropout, "evaluation_is_deterministic", "self.training"),
    (Counts, "evaluation_is_deterministic", "call to call"),
    (AdaptsInEvaluation, "evaluation_is_deterministic", "batch-norm buffers"),
    (AcrossTheBatch, "samples_do_not_see_each_other", "over the batch"),
    (Squeezes, "batch_of_one_works", "squeeze()"),
    (InPlace, "inputs_are_not_changed", "new tensor"),
    (FromNumpy, "weights_come_from_the_seed", "numpy"),
    (SharesLayers, "weights_come_from_the_seed", "new layers"),
    (LeavesDoubles, "weights_come_from_the_seed", "default dtype"),
    (OtherNames, "weights_are_restorable", "do not load"),
    (PlainTensor, "weights_are_restorable", "buffers"),
    (Thresholds, "attribution_methods_explain_it", "let a gradient reach the input"),
]


def test_a_good_model_passes(failures: Verdicts, skips: Verdicts) -> None:
    assert failures("models", Good) == {}
    assert skips("models", Good) == {}


@pytest.mark.parametrize(
    ("cls", "check", "advice"), BAD_MODELS, ids=[cls.__name__ for cls, *_ in BAD_MODELS]
)
def test_a_bad_model_is_caught(
    failures: Verdicts, cls: type[Model], check: str, advice: str
) -> None:
    assert advice in failures("models", cls)[check]


class Attention(nn.Module):
    """Every pixel looks at every other one."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        rows = values.flatten(2).transpose(1, 2)
        mixed, _ = self.attention(rows, rows, rows)
        return mixed.transpose(1, 2).view_as(values)


class Transformer(Good):
    """Methods that need a rule for each layer have none for attention."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, Attention())


def test_methods_that_refuse_are_named_with_those_that_explain(
    failures: Verdicts, skips: Verdicts
) -> None:
    assert failures("models", Transformer) == {}
    told = skips("models", Transformer)["attribution_methods_explain_it"]
    explains, _, refuses = told.partition(";")
    assert "MultiheadAttention" in refuses
    for entry in registry.entries("attributors"):
        assert entry.cls is not None
        if getattr(entry.cls, "any_network", False):
            assert f" {entry.name}" in explains
        elif entry.name.startswith("lrp"):
            assert entry.name in refuses
    assert " random" not in told, "a map that is the same for every network explains none"


class Branching(nn.Module):
    """Looks at its values before it goes on, so that no graph can be read."""

    def forward(self, values: Tensor) -> Tensor:
        return values.relu() if values.max() > 0 else values


class Unreadable(Good):
    """torch.fx cannot read it before it runs."""

    def build(self, facts: Facts) -> nn.Module:
        return Network(facts, nn.Sequential(Branching(), nn.ReLU()))


def test_every_method_explains_what_decides_in_python(failures: Verdicts, skips: Verdicts) -> None:
    assert failures("models", Unreadable) == {}
    assert "attribution_methods_explain_it" not in skips("models", Unreadable)


class Demanding(Good):
    """It takes images from 32 pixels on."""

    least: int = 32

    def build(self, facts: Facts) -> nn.Module:
        if facts.input_shape[-1] < self.least:
            raise UserError(f"{self.name} takes images from {self.least} pixels on")
        return Network(facts)


class TooDemanding(Demanding):
    """It takes large images alone."""

    least: int = 1000


def test_a_model_that_refuses_small_inputs_is_checked_on_larger_ones(
    failures: Verdicts, skips: Verdicts
) -> None:
    assert failures("models", Demanding) == skips("models", Demanding) == {}
    assert "from 1000 pixels" in skips("models", TooDemanding)["batch_of_one_works"]


class Normalised(Good):
    """It has no variance of one sample in training."""

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(Network(facts), nn.BatchNorm1d(len(facts.classes)))


class Untrained(Good):
    """It starts from the same weights for every seed."""

    def build(self, facts: Facts) -> nn.Module:
        network = Network(facts)
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.1)
        return network


def test_what_is_unusual_but_allowed_passes(failures: Verdicts, skips: Verdicts) -> None:
    assert failures("models", Normalised) == {}
    assert failures("models", Untrained) == {}
    assert "every seed" in skips("models", Untrained)["weights_come_from_the_seed"]
