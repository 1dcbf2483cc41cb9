"""Every built-in plugin keeps its contract, and plugins that break it are caught with advice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench import checking as contract
from reldrop_bench import plugins
from reldrop_bench.checking import run_check
from reldrop_bench.checking.rules import random_state
from reldrop_bench.checking.tiny import TinyImages, tiny_facts, tiny_split
from reldrop_bench.data import Batch, Facts, Shifts, Split, TensorSplit, TrainingSplits
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Metric, Record
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.kinds.section import Block, Prose, ReportSection, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Plugin, Probability
from reldrop_bench.results import Results


def test_contract(contract_case: Callable[[], None]) -> None:
    contract_case()


def failures(kind: str, cls: type[Plugin]) -> dict[str, str]:
    results = [run_check(check, cls) for check in contract.checks(kind)]
    return {result.check: result.message for result in results if result.status == "failed"}


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
    (Raises, "output_is_finite", "no luck"),
]


def test_a_good_regularizer_passes() -> None:
    assert failures("regularizers", Good) == {}


@pytest.mark.parametrize(
    ("cls", "check", "advice"),
    BAD_REGULARIZERS,
    ids=[f"{c.__name__}-{n}" for c, n, _ in BAD_REGULARIZERS],
)
def test_a_bad_regularizer_is_caught(cls: type[Regularizer], check: str, advice: str) -> None:
    assert advice in failures("regularizers", cls)[check]


def test_what_cannot_be_switched_off_is_skipped_with_advice() -> None:
    class NoSwitch(Regularizer):
        """It has nothing to switch off."""

        name = "no-switch"
        depth: int = 3

    results = {
        r.check: r for r in (run_check(c, NoSwitch) for c in contract.checks("regularizers"))
    }
    assert results["off_trains_like_none"].status == "skipped"
    assert "off: ClassVar" in results["off_trains_like_none"].message


class UnseededTask(TinyImages):
    """Its test split is another one each time."""

    default_model = "no-such-model"

    def test(self, root: Path | None) -> TensorSplit:
        split = tiny_split("image", "test", 24)
        return TensorSplit(split.inputs + torch.randn(()), split.targets, split.masks)


class LeakyTask(TinyImages):
    """Validation is a part of training, and the facts are wrong."""

    def facts(self, root: Path | None) -> Facts:
        return Facts("image", ("a", "b"), (3, 16, 16), (0.0,) * 3, (1.0,) * 3)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        whole = tiny_split("image", "train", 20)
        part = TensorSplit(whole.inputs[seed : seed + 8], whole.targets[seed : seed + 8])
        return TrainingSplits(whole, part)


class UnstratifiedTask(TinyImages):
    """Validation has one class alone, and a shift has fewer items."""

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        whole = tiny_split("image", "train", 80)
        chosen = torch.zeros(80, dtype=torch.bool)
        chosen[seed * 4 : 40 : 4] = True
        return TrainingSplits(_part(whole, ~chosen), _part(whole, chosen))

    def shifts(self, root: Path | None) -> Shifts:
        return {"short": self._short}

    def _short(self) -> Split:
        return tiny_split("image", "test", 12)


def _part(split: TensorSplit, chosen: Tensor) -> TensorSplit:
    assert split.masks is not None
    return TensorSplit(split.inputs[chosen], split.targets[chosen], split.masks[chosen])


class MissingTask(TinyImages):
    """Its data is not there."""

    def facts(self, root: Path | None) -> Facts:
        raise UserError("put the data into DIR/missing")


def test_bad_tasks_are_caught() -> None:
    unseeded = failures("tasks", UnseededTask)
    assert "torch" in unseeded["random_state_is_untouched"]
    assert "same for every seed" in unseeded["split_for_tests_is_fixed"]
    assert "no-such-model" in unseeded["protocol_is_stated"]
    leaky = failures("tasks", LeakyTask)
    assert "in train as well" in leaky["splits_are_disjoint"]
    assert "classes 0 … 3" in leaky["batches_match_the_facts"]
    assert "stratified_split" in failures("tasks", UnstratifiedTask)["validation_is_stratified"]


def test_tasks_that_cannot_be_checked_are_skipped_with_the_reason() -> None:
    results = {
        cls: {r.check: r for r in (run_check(check, cls) for check in contract.checks("tasks"))}
        for cls in (MissingTask, UnstratifiedTask)
    }
    missing = results[MissingTask]["splits_are_disjoint"]
    assert (missing.status, "DIR/missing" in missing.message) == ("skipped", True)
    short = results[UnstratifiedTask]["shifts_line_up"]
    assert (short.status, "12 items" in short.message) == ("skipped", True)


class BadEvaluation(Evaluation):
    """It writes what it did not declare, NaN, and draws from the global generator."""

    name = "bad"
    metrics = {"known": Metric("up", "what is known")}
    requires = {"sound"}

    def applies_to(self, facts: Facts) -> bool:
        return True

    def evaluate(self, context: Context, record: Record) -> None:
        context.model.train()
        record.metric("test", "known", float("nan"))
        record.metric("test", "unknown", torch.rand(()).item())


def test_a_bad_evaluation_is_caught() -> None:
    found = failures("evaluations", BadEvaluation)
    assert "'higher'" in found["metrics_are_described"]
    assert "masks" in found["requirements_are_known"]
    assert "known" in found["values_are_finite"]
    assert "unknown" in found["metrics_are_declared"]
    assert "train/eval mode" in found["model_and_random_state_are_untouched"]
    assert "context.generator" in found["measuring_twice_gives_the_same"]


class BadSection(ReportSection):
    """It expects results, names two tables alike and changes what it is given."""

    name = "bad"
    title = "Bad"

    def build(self, results: Results, style: Any) -> list[Block]:
        if results.metrics.empty and len(results.cells):
            return []
        results.cells["seen"] = 1
        table = Table("same", "", results.cells)
        return [Prose("text", kind="shout"), table, table]


def test_a_bad_section_is_caught() -> None:
    found = failures("sections", BadSection)
    assert "Prose kind" in found["poor_results_give_blocks"]
    assert "same" in found["names_are_unique"]
    assert "copy()" in found["results_are_untouched"]


def test_checking_leaves_the_global_generators_alone() -> None:
    before = random_state()
    failures("regularizers", GlobalTorch)
    after = random_state()
    assert torch.equal(before["torch"], after["torch"])
    assert before["python"] == after["python"]
    assert str(before["numpy"]) == str(after["numpy"])


def test_a_plugin_that_cannot_be_imported_is_one_failed_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "regularizers"
    folder.mkdir()
    (folder / "contract_broken.py").write_text(
        'name = "x"\nimport no_such_library\n', encoding="utf-8"
    )
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path)])
    (result,) = contract.run_checks("regularizers", "contract-broken")
    assert (result.check, result.status) == ("import", "failed")
    assert "no_such_library" in result.message


def test_unknown_kinds_and_names_are_answered_with_near_ones() -> None:
    with pytest.raises(UserError, match="regularizers"):
        contract.checks("regularizer")
    name = registry.names("regularizers")[0]
    with pytest.raises(UserError, match=name):
        contract.kinds_of(name + "x")
    assert contract.kinds_of(name) == ["regularizers"]


def test_the_contracts_own_facts_are_those_of_its_data() -> None:
    assert tiny_facts("cloud").input_shape == tuple(
        tiny_split("cloud", "train", 2).inputs.shape[1:]
    )
