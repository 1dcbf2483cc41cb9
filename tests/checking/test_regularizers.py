"""Regularizers that break their contract are caught, each with advice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins.base import Probability

Verdicts = Callable[[str, type[Any]], dict[str, str]]


def hidden(batch: Batch, step: Step, probability: float = 0.5) -> Tensor:
    shape = (len(batch), *batch.inputs.shape[2:])
    return torch.rand(shape, generator=step.generator) < probability


class Good(Regularizer):
    """Hide single pixels or points, as it should be done."""

    name = "good"
    probability: Probability = 0.5

    def transform(self, batch: Batch, step: Step) -> Batch:
        mask = hidden(batch, step, self.probability)
        return batch.replace(inputs=batch.inputs.masked_fill(mask[:, None], 0.0), occluded=mask)


class InPlace(Good):
    """It changes the batch that it is given."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        mask = hidden(batch, step, self.probability)
        batch.inputs.masked_fill_(mask[:, None], 0.0)
        return batch.replace(occluded=mask)


class GlobalTorch(Good):
    """It draws from torch's global generator."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs + self.probability * torch.randn(()))


class GlobalNumpy(Good):
    """It draws from numpy's global generator."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs * (1 + self.probability * np.random.rand()))  # noqa: NPY002


class GlobalPython(Good):
    """It draws from Python's global generator."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs * (1 + self.probability * random.random()))


class LeavesEval(Good):
    """It leaves the network in evaluation mode."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        step.model.eval()
        return batch


class ForwardInTraining(Good):
    """It runs the network in training mode, which moves the batch norms."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        with torch.no_grad(), torch.random.fork_rng():
            step.model(batch.inputs)
        return batch


class Backward(Good):
    """It calls backward, which adds to the gradients of the parameters."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        step.model.eval()
        step.model(batch.inputs).sum().backward()
        step.model.train()
        return batch


class LeavesHook(Good):
    """It leaves a hook on the network."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        step.model.register_forward_hook(lambda *_: None)
        return batch


class NotANumber(Good):
    """It divides zero by zero."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs * (batch.inputs.new_zeros(()) / 0))


class WrongSums(Good):
    """Its soft targets do not sum to one."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        one_hot = torch.nn.functional.one_hot(batch.targets, len(step.facts.classes))
        return batch.replace(targets=one_hot * 0.9)


class WrongClasses(Good):
    """It gives classes that there are not."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(targets=batch.targets + 1)


class Unreported(Good):
    """It hides and does not say what."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return super().transform(batch, step).replace(occluded=None)


class Underreported(Good):
    """It says of half of what it hides."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        out = super().transform(batch, step)
        assert out.occluded is not None
        half = out.occluded.clone()
        half[: len(half) // 2] = False
        return out.replace(occluded=half)


class HalfPrecision(Good):
    """It changes the dtype."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs.half())


class Squeezes(Good):
    """It squeezes the batch axis away."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs.squeeze())


class NeverOff(Good):
    """At probability 0 it still acts."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        return batch.replace(inputs=batch.inputs * 1.5)


class Undeclared(Good):
    """It asks for relevance and does not say so."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        step.relevance(batch.inputs, batch.labels)
        return batch


class VectorPenalty(Good):
    """Its penalty has one value a sample."""

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        return logits.square().sum(1)


class AlwaysNoise(nn.Module):
    """Noise in training and in evaluation."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + 1.0


class ActsInEvaluation(Good):
    """What it builds in acts in evaluation as well."""

    def wrap(self, model: nn.Module) -> nn.Module:
        return nn.Sequential(AlwaysNoise(), model)


class UnseededWrap(Good):
    """What it builds in starts from torch's global generator."""

    def wrap(self, model: nn.Module) -> nn.Module:
        model.extra = nn.Linear(2, 2)
        return model


class KeepsState(Good):
    """What it does depends on how often it was called."""

    calls = []

    def transform(self, batch: Batch, step: Step) -> Batch:
        self.calls.append(1)
        return batch.replace(inputs=batch.inputs + len(self.calls))


class ListParameter(Good):
    """A parameter that cannot be hashed."""

    sizes: list[int] = field(default_factory=lambda: [1, 2])


class Undescribed(Good):
    pass


class Sounds(Good):
    """It works on inputs that there are not."""

    modalities = {"sound"}


class OtherSamples(Good):
    """Its control draws places first, and so hides in other samples."""

    score: Literal["relevance", "random"] = "relevance"

    @property
    def guided(self) -> bool:
        return self.score == "relevance"

    @property
    def controls(self) -> dict[str, dict[str, str]]:
        return {"random": {"score": "random"}}

    def transform(self, batch: Batch, step: Step) -> Batch:
        if self.score == "random":
            hidden(batch, step)
        rows = torch.rand(len(batch), generator=step.generator) < self.probability
        mask = hidden(batch, step) & rows.view(-1, *[1] * (batch.inputs.ndim - 2))
        return batch.replace(inputs=batch.inputs.masked_fill(mask[:, None], 0.0), occluded=mask)


class Raises(Good):
    """It does not work at all."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        raise RuntimeError("no luck")


BAD_REGULARIZERS = [
    (InPlace, "batch_is_not_changed_in_place", "clone()"),
    (GlobalTorch, "random_state_is_untouched", "step.generator"),
    (GlobalTorch, "same_seed_gives_the_same", "step.generator"),
    (GlobalNumpy, "random_state_is_untouched", "numpy"),
    (GlobalPython, "random_state_is_untouched", "python"),
    (LeavesEval, "model_is_untouched", "train/eval mode"),
    (ForwardInTraining, "model_is_untouched", "batch-norm"),
    (Backward, "model_is_untouched", "torch.autograd.grad"),
    (LeavesHook, "model_is_untouched", "handle.remove()"),
    (NotANumber, "output_is_finite", "division by zero"),
    (WrongSums, "targets_stay_valid", "sum to one"),
    (WrongClasses, "targets_stay_valid", "outside"),
    (Unreported, "occlusion_is_reported", "occluded=mask"),
    (Underreported, "occlusion_is_reported", "does not mark"),
    (HalfPrecision, "shape_dtype_and_device_are_kept", "dtype"),
    (Squeezes, "batch_of_one_works", "squeeze()"),
    (NeverOff, "off_trains_like_none", "probability"),
    (Undeclared, "relevance_is_declared", "uses_relevance"),
    (VectorPenalty, "penalty_is_a_finite_scalar", ".mean()"),
    (ActsInEvaluation, "evaluation_is_untouched", "self.training"),
    (UnseededWrap, "wrapped_network_is_restorable", "wrap() draws"),
    (KeepsState, "same_seed_gives_the_same", "step to step"),
    (ListParameter, "parameters_are_plain", "tuples"),
    (Undescribed, "name_and_description", "docstring"),
    (Sounds, "modalities_are_known", "image"),
    (OtherSamples, "controls_hide_in_the_same_samples", 'step.stream("who")'),
    (Raises, "output_is_finite", "no luck"),
]


def test_a_good_regularizer_passes(failures: Verdicts) -> None:
    assert failures("regularizers", Good) == {}


@pytest.mark.parametrize(
    ("cls", "check", "advice"),
    BAD_REGULARIZERS,
    ids=[f"{c.__name__}-{n}" for c, n, _ in BAD_REGULARIZERS],
)
def test_a_bad_regularizer_is_caught(
    failures: Verdicts, cls: type[Regularizer], check: str, advice: str
) -> None:
    assert advice in failures("regularizers", cls)[check]


def test_what_cannot_be_switched_off_is_skipped_with_advice(skips: Verdicts) -> None:
    class NoSwitch(Regularizer):
        """It has nothing to switch off."""

        name = "no-switch"
        depth: int = 3

    assert 'off = {"rate": 0.0}' in skips("regularizers", NoSwitch)["off_trains_like_none"]
