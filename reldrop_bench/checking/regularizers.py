"""The contract of a regularizer: what a training loop may rely on, whatever the method does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from reldrop_bench.checking import training
from reldrop_bench.checking.rules import (
    Broken,
    NotConcerned,
    checks_in,
    no_global_draws,
    require,
    twice,
)
from reldrop_bench.checking.steps import Case, cases
from reldrop_bench.checking.tiny import CLASSES
from reldrop_bench.checking.trace import unchanged
from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer


def _penalty_cases(cls: type[Regularizer]) -> Iterator[Case]:
    """Yield steps where the class has a penalty of its own."""
    if cls.penalty is not Regularizer.penalty:
        yield from cases(cls)


def shape_dtype_and_device_are_kept(cls: type[Regularizer]) -> None:
    """transform() returns a batch of the same shape, dtype and device."""
    for case in cases(cls):
        case.require(
            isinstance(case.after, Batch),
            f"transform() returns {type(case.after).__name__}; return batch.replace(inputs=…)",
        )
        before, after = case.before.inputs, case.after.inputs
        for what in ("shape", "dtype", "device"):
            old, new = getattr(before, what), getattr(after, what)
            case.require(old == new, f"the {what} of inputs was {old} and is {new}; keep it")
        masks = case.after.masks
        case.require(
            masks is None
            or (masks.shape == case.before.masks.shape and masks.dtype == torch.uint8),  # type: ignore[union-attr]
            "masks are no longer uint8 of shape (B, H, W) or (B, N); pass them on as they are",
        )


def output_is_finite(cls: type[Regularizer]) -> None:
    """transform() returns finite inputs, without gradient."""
    for case in cases(cls):
        inputs = case.after.inputs
        broken = int((~torch.isfinite(inputs)).sum())
        case.require(
            broken == 0,
            f"{broken} of {inputs.numel()} input values are NaN or infinite; look for a division by "
            "zero, such as normalising a constant map",
        )
        case.require(not inputs.requires_grad, "inputs require a gradient; return inputs.detach()")


def random_state_is_untouched(cls: type[Regularizer]) -> None:
    """Neither transform() nor penalty() draws from a global generator."""
    advice = "pass generator=step.generator, so that cells of one seed stay paired"
    for case in cases(cls):
        with no_global_draws(f"{case.modality}: transform()", advice):
            _ = case.after
    for case in _penalty_cases(cls):
        case.model.eval()  # in training mode the network's own dropout would draw
        logits = case.model(case.after.inputs)
        with no_global_draws(f"{case.modality}: penalty()", advice):
            case.regularizer.penalty(logits, case.after, case.step)


def model_is_untouched(cls: type[Regularizer]) -> None:
    """transform() and penalty() leave mode, parameters, gradients, buffers and hooks as they were."""
    for case in cases(cls):
        with unchanged(case.model, f"{case.modality}: transform()"):
            _ = case.after
    for case in _penalty_cases(cls):
        logits = case.model(case.after.inputs)
        with unchanged(case.model, f"{case.modality}: penalty()", buffers=False):
            case.regularizer.penalty(logits, case.after, case.step)


def batch_is_not_changed_in_place(cls: type[Regularizer]) -> None:
    """transform() leaves the tensors that it is given as they are."""
    for case in cases(cls):
        copies = {
            name: value.clone()
            for name, value in vars(case.before).items()
            if isinstance(value, Tensor)
        }
        _ = case.after
        for name, copy in copies.items():
            case.require(
                torch.equal(copy, getattr(case.before, name)),
                f"batch.{name} is changed in place; work on batch.{name}.clone() or use torch.where",
            )


def same_seed_gives_the_same(cls: type[Regularizer]) -> None:
    """What is drawn depends on step.generator alone: same seed, same output."""
    first, again = twice(lambda: [(case.modality, case.after) for case in cases(cls)])
    for (modality, one), (_, two) in zip(first, again, strict=True):
        require(
            torch.equal(one.inputs, two.inputs) and torch.equal(one.targets, two.targets),
            f"{modality}: two steps of the same seed give different batches; draw only from "
            "step.generator and keep nothing from step to step",
        )


def batch_of_one_works(cls: type[Regularizer]) -> None:
    """A batch with a single sample goes through."""
    for case in cases(cls, count=1):
        try:
            shape = case.after.inputs.shape
            if cls.penalty is not Regularizer.penalty:
                logits = case.model(case.after.inputs)
                case.regularizer.penalty(logits, case.after, case.step)
        except Exception as error:
            raise Broken(
                f"{case.modality}: a batch of one sample raises {type(error).__name__}: {error}; "
                "avoid squeeze() without a dimension, and pairs of samples that do not exist"
            ) from error
        case.require(
            shape == case.before.inputs.shape,
            f"a batch of one comes out as {tuple(shape)}; avoid squeeze() without a dimension",
        )


def occlusion_is_reported(cls: type[Regularizer]) -> None:
    """Where elements are hidden, batch.occluded says which, and nothing else changed."""
    reported = False
    for case in cases(cls):
        before, after = case.before, case.after
        changed = (before.inputs != after.inputs).any(1)
        if after.occluded is None:
            case.require(
                not _looks_filled(after.inputs, changed),
                "pixels or points were replaced by one value and batch.occluded is None; return "
                "batch.replace(inputs=…, occluded=mask), so that the realised fraction is recorded",
            )
            continue
        reported = True
        shape = (len(before), *before.inputs.shape[2:])
        case.require(
            after.occluded.dtype == torch.bool and after.occluded.shape == shape,
            f"batch.occluded is {after.occluded.dtype} of shape {tuple(after.occluded.shape)}; "
            f"make it bool of shape {shape}, one value a pixel or point",
        )
        elsewhere = int((changed & ~after.occluded).sum())
        case.require(
            elsewhere == 0,
            f"{elsewhere} pixels or points changed that batch.occluded does not mark; mark all",
        )
    if not reported:
        raise NotConcerned("it hides no pixels or points: batch.occluded stays None")


def _looks_filled(inputs: Tensor, changed: Tensor) -> bool:
    """Whether changed elements of a sample share a value, which random inputs never do."""
    for sample, where in zip(inputs, changed, strict=True):
        values = sample[:, where]
        if values.shape[1] > 1 and values.unique(dim=1).shape[1] < values.shape[1]:
            return True
    return False


def targets_stay_valid(cls: type[Regularizer]) -> None:
    """Targets come out as classes, or as rows of probabilities that sum to one."""
    for case in cases(cls):
        targets = case.after.targets
        count = len(case.before)
        if targets.ndim == 1:
            case.require(
                targets.dtype == torch.int64 and len(targets) == count,
                f"targets are {targets.dtype} of shape {tuple(targets.shape)}; hard ones are int64 (B,)",
            )
            valid = bool(((targets >= 0) & (targets < CLASSES)).all())
            case.require(valid, f"targets reach outside the {CLASSES} classes")
            continue
        case.require(
            targets.shape == (count, CLASSES) and targets.is_floating_point(),
            f"targets are {targets.dtype} of shape {tuple(targets.shape)}; soft ones are float "
            "(B, classes), with len(step.facts.classes) columns",
        )
        sums = targets.double().sum(1)
        valid = bool((targets >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all())
        case.require(
            valid,
            f"rows of targets sum to {sums.min():.4g} … {sums.max():.4g}; they are probabilities and "
            "sum to one",
        )


def penalty_is_a_finite_scalar(cls: type[Regularizer]) -> None:
    """penalty() returns None or a finite scalar that a loss can be added to."""
    if cls.penalty is Regularizer.penalty:
        raise NotConcerned("it has no penalty()")
    for case in cases(cls):
        batch = case.after
        logits = case.model(batch.inputs)
        value = case.regularizer.penalty(logits, batch, case.step)
        if value is None:
            continue
        case.require(
            isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point(),
            f"penalty() returns {_described(value)}; return a scalar tensor, such as .mean(), or None",
        )
        case.require(
            bool(torch.isfinite(value)), f"penalty() is {value.item()}; look for log(0) or 0 / 0"
        )
        (logits.sum() * 0 + value).backward()  # what training does with it


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    return type(value).__name__


def relevance_is_declared(cls: type[Regularizer]) -> None:
    """Who asks for step.relevance says so: the method then belongs to a cell's identity."""
    for case in cases(cls):
        batch = case.after
        if cls.penalty is not Regularizer.penalty:
            case.regularizer.penalty(case.model(batch.inputs), batch, case.step)
        case.require(
            case.regularizer.uses_relevance or not case.step.asked,
            "it calls step.relevance(), but uses_relevance is False, so that results of another "
            "method would be taken for its own; add the property uses_relevance",
        )


CHECKS = (*checks_in(vars()), *training.CHECKS)
