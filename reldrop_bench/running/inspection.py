"""What a regularizer may rely on being refused: its contract, held while it trains, as far as that is cheap."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer, compute_penalty
from reldrop_bench.kinds.step import Step

FIRST_STEPS = 3
"""So many steps of a training, and the first of each epoch, are looked at value by value."""
_GIVEN = ("inputs", "targets", "masks", "samples", "places")
NO_EFFECT = "returns a number that does not depend on the weights, so that it changes nothing"
CREATE_GRAPH = (
    "compute it from `logits` without detaching; torch.autograd.grad takes create_graph=True"
)


class TrainingError(RuntimeError):
    """Training cannot go on: the message says at which step and why."""


class Inspector:
    """Calls the hooks of a regularizer, and ends the training where one breaks its contract.

    Shapes, types, the model's modes and the versions of all tensors are compared at every step; values
    (weights, inputs, targets) in the first steps and at the beginning of each epoch, and where a
    version says that something was written. Nothing of it changes or draws anything.
    """

    def __init__(self, regularizer: Regularizer, label: str) -> None:
        self.regularizer = regularizer
        self.label = label
        self.deviations: list[str] = []
        """What is to be told of the training and is no reason to end it."""
        self._transforms = type(regularizer).transform is not Regularizer.transform
        self._penalizes = regularizer.has_penalty
        self._steps = 0
        self._doubts = False
        """A version has changed since values were last compared."""
        self._writes = False
        """It writes to tensors of the model and leaves their values as they were."""
        self._where = ""

    def transform(self, batch: Batch, step: Step, index: int) -> Batch:
        """Return what `transform` makes of a batch; index: of the step in its epoch.

        Raises
        ------
        TrainingError
            It broke its contract.
        """
        self._where = f"at epoch {step.epoch + 1}, step {index + 1}"
        thorough = self._steps < FIRST_STEPS or index == 0 or self._doubts
        self._steps, self._doubts = self._steps + 1, False
        if not self._transforms:
            return batch
        model = _Model.of(step.model, thorough, buffers=True)
        given = {name: value for name in _GIVEN if (value := getattr(batch, name)) is not None}
        versions = {name: _version(tensor) for name, tensor in given.items()}
        copies = {name: tensor.clone() for name, tensor in given.items()} if thorough else {}
        drawn = _random_state() if thorough else None

        after = self.regularizer.transform(batch, step)

        if drawn is not None and not _equal_states(drawn, _random_state()):
            self._note(
                "transform() draws from a global random generator, so that what the network itself "
                "draws is not what the baseline's draws; use step.generator"
            )
        for name, tensor in given.items():
            unchanged = _version(tensor) == versions[name]
            if not unchanged or (name in copies and not _same(tensor, copies[name])):
                self._refuse(
                    "transform()",
                    f"changes batch.{name} in place",
                    f"work on batch.{name}.clone() or use torch.where",
                )
        self._compare(model, step.model, "transform()")
        for what, advice in _wrong_batch(batch, after, len(step.facts.classes), thorough):
            self._refuse("transform()", what, advice)
        return after

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        """Return what `penalty` adds to the loss of a batch; raises as `transform` does."""
        if not self._penalizes:
            return None
        thorough = self._steps <= FIRST_STEPS
        model = _Model.of(step.model, thorough, buffers=False)
        penalty = compute_penalty(self.regularizer, logits, batch, step)
        self._compare(model, step.model, "penalty()")
        if penalty is None:
            return None
        if not isinstance(penalty, Tensor) or penalty.numel() != 1:
            shape = tuple(penalty.shape) if isinstance(penalty, Tensor) else None
            kind = type(penalty).__name__ if shape is None else f"a tensor of shape {shape}"
            self._refuse(
                "penalty()", f"returns {kind}", "return a scalar tensor, such as .mean(), or None"
            )
        if thorough and not penalty.requires_grad and penalty.item() != 0:
            self._refuse("penalty()", NO_EFFECT, CREATE_GRAPH)
        return penalty

    def _compare(self, before: _Model, model: nn.Module, who: str) -> None:
        for what, advice in before.changes(model):
            self._refuse(who, what, advice)
        if before.copies is not None:
            self._writes = self._writes or before.was_written()
        elif not self._writes and before.was_written():
            self._doubts = True

    def _refuse(self, who: str, what: str, advice: str) -> None:
        raise TrainingError(f"regularizer {self.label!r}: {who} {what} {self._where}; {advice}")

    def _note(self, what: str) -> None:
        self.deviations = list(dict.fromkeys([*self.deviations, f"{self.label}: {what}"]))


@dataclass(frozen=True)
class _Model:
    """What there is of a model before a hook is called."""

    modes: list[bool]
    learned: list[bool]
    tensors: list[Tensor]
    versions: list[tuple[int, int]]
    copies: list[Tensor] | None
    """None where values are not compared."""
    hooks: int
    buffers: bool
    gradients: bool
    dtype: torch.dtype

    @classmethod
    def of(cls, model: nn.Module, thorough: bool, buffers: bool) -> _Model:
        tensors = _tensors(model, buffers)
        return cls(
            modes=[module.training for module in model.modules()],
            learned=[parameter.requires_grad for parameter in model.parameters()],
            tensors=tensors,
            versions=_versions(tensors),
            copies=[tensor.detach().clone() for tensor in tensors] if thorough else None,
            hooks=_hooks(model) if thorough else 0,
            buffers=buffers,
            gradients=torch.is_grad_enabled(),
            dtype=torch.get_default_dtype(),
        )

    def was_written(self) -> bool:
        return _versions(self.tensors) != self.versions

    def changes(self, model: nn.Module) -> Iterator[tuple[str, str]]:
        """Yield what a hook has left changed, with how to mend it."""
        if torch.is_grad_enabled() != self.gradients:
            state = "off" if self.gradients else "on"
            yield f"leaves gradients switched {state}", "use torch.no_grad() as a context manager"
        if torch.get_default_dtype() != self.dtype:
            yield (
                f"sets the default dtype to {torch.get_default_dtype()}",
                "give tensors their dtype",
            )
        if [module.training for module in model.modules()] != self.modes:
            yield "changes the network's train/eval mode", "call model.train(before) in a finally"
        if [parameter.requires_grad for parameter in model.parameters()] != self.learned:
            yield "changes requires_grad of parameters", "put it back in a finally"
        if self.copies is None:
            return
        now = _tensors(model, self.buffers)
        same = len(now) == len(self.copies) and all(map(_same, now, self.copies))
        if not same or any(map(lambda one, other: one is not other, now, self.tensors)):
            what = "weights or buffers" if self.buffers else "weights"
            advice = "compute on copies, and run the network in eval mode" if self.buffers else ""
            yield f"changes the network's {what}", advice or "compute on copies"
        if _hooks(model) != self.hooks:
            yield "leaves hooks on the network", "call handle.remove() in a finally"


def _tensors(model: nn.Module, buffers: bool) -> list[Tensor]:
    return [*model.parameters(), *(model.buffers() if buffers else ())]


def _versions(tensors: list[Tensor]) -> list[tuple[int, int]]:
    return [(_version(tensor), tensor.data_ptr()) for tensor in tensors]


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # those of inference mode have none


def _hooks(model: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors hold the same, NaN being equal to NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if torch.equal(one, other):
        return True
    return one.is_floating_point() and torch.equal(one.nan_to_num(), other.nan_to_num())


def _random_state() -> tuple[Tensor, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _equal_states(one: tuple[Tensor, Any, Any], other: tuple[Tensor, Any, Any]) -> bool:
    numpy = all(map(np.array_equal, one[1], other[1]))
    return torch.equal(one[0], other[0]) and numpy and one[2] == other[2]


def _wrong_batch(
    before: Batch, after: Any, classes: int, thorough: bool
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with what `transform` returned, with how to mend it."""
    if not isinstance(after, Batch):
        yield f"returns {type(after).__name__}", "return batch.replace(inputs=…)"
        return
    inputs, count = after.inputs, len(before)
    for what in ("shape", "dtype", "device"):
        old, new = getattr(before.inputs, what), getattr(inputs, what)
        if old != new:
            yield f"makes inputs of {what} {_plain(new)} out of {_plain(old)}", "keep it"
    if inputs.grad_fn is not None:
        yield "returns inputs that hang on a computation", "return inputs.detach()"
    places = (count, *before.inputs.shape[2:])
    hidden = after.occluded
    if hidden is not None and (hidden.dtype != torch.bool or tuple(hidden.shape) != places):
        yield (
            f"returns occluded as {hidden.dtype} of shape {tuple(hidden.shape)}",
            f"make it bool of shape {places}",
        )
    if after.masks is not None and tuple(after.masks.shape) != places:
        yield f"returns masks of shape {tuple(after.masks.shape)}", "pass them on as they are"
    yield from _wrong_targets(after.targets, count, classes, thorough)
    if thorough and not inputs.isfinite().all() and before.inputs.isfinite().all():
        yield "makes inputs NaN or infinite", "look for a division by zero"


def _wrong_targets(
    targets: Tensor, count: int, classes: int, thorough: bool
) -> Iterator[tuple[str, str]]:
    what = f"returns targets of {targets.dtype} and shape {tuple(targets.shape)}"
    if targets.ndim == 1:
        if targets.dtype != torch.int64 or len(targets) != count:
            yield what, f"hard ones are int64 of shape ({count},)"
        elif thorough and not ((targets >= 0) & (targets < classes)).all():
            yield f"returns targets outside of the {classes} classes", "keep them"
    elif tuple(targets.shape) != (count, classes) or not targets.is_floating_point():
        yield what, f"soft ones are float of shape ({count}, {classes})"
    elif thorough:
        sums = targets.detach().float().sum(1)
        if not ((targets >= 0).all() and ((sums - 1).abs() < 1e-2).all()):
            yield (
                f"returns rows of targets that sum to {sums.min():.3g} … {sums.max():.3g}",
                "they are probabilities and sum to one",
            )


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, torch.Size) else value
