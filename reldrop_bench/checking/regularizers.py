"""The contract of a regularizer: what a training loop may rely on, whatever the method does."""

from dataclasses import replace
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
from reldrop_bench.running.inspection import CREATE_GRAPH, NO_EFFECT
from reldrop_bench.statistics.wording import by_number, counted


def shape_dtype_and_device_are_kept(case: Case) -> None:
    """transform() returns a batch of the same shape, dtype and device."""
    require(
        isinstance(case.after, Batch),
        f"transform() returns {type(case.after).__name__}; return batch.replace(inputs=…)",
    )
    before, after = case.before.inputs, case.after.inputs
    for what in ("shape", "dtype", "device"):
        old, new = getattr(before, what), getattr(after, what)
        require(old == new, f"the {what} of inputs was {old} and is {new}; keep it")
    masks = case.after.masks
    require(
        masks is None or (masks.shape == case.before.masks.shape and masks.dtype == torch.uint8),  # type: ignore[union-attr]
        "masks are no longer uint8 of shape (B, H, W) or (B, N); pass them on as they are",
    )


def output_is_finite(case: Case) -> None:
    """transform() returns finite inputs, without gradient."""
    inputs = case.after.inputs
    broken = int((~torch.isfinite(inputs)).sum())
    require(
        broken == 0,
        f"{counted(broken, 'input value', total=inputs.numel())} {by_number(broken, 'is', 'are')} NaN or "
        "infinite; look for a division by zero, such as normalising a constant map",
    )
    require(not inputs.requires_grad, "inputs require a gradient; return inputs.detach()")


def random_state_is_untouched(case: Case) -> None:
    """Neither transform() nor penalty() draws from a global generator."""
    advice = "pass generator=step.generator, so that cells of one seed stay paired"
    with no_global_draws("transform()", advice):
        _ = case.after
    if case.has_penalty:
        case.model.eval()  # in training mode the network's own dropout would draw
        logits = case.logits()
        with no_global_draws("penalty()", advice):
            case.penalty(logits)


def model_is_untouched(case: Case) -> None:
    """transform() and penalty() leave mode, parameters, gradients, buffers and hooks as they were."""
    with unchanged(case.model, "transform()"):
        _ = case.after
    if case.has_penalty:
        logits = case.logits()
        with unchanged(case.model, "penalty()", buffers=False):
            case.penalty(logits)


def batch_is_not_changed_in_place(case: Case) -> None:
    """transform() leaves the tensors that it is given as they are."""
    copies = {
        name: value.clone()
        for name, value in vars(case.before).items()
        if isinstance(value, Tensor)
    }
    _ = case.after
    for name, copy in copies.items():
        require(
            torch.equal(copy, getattr(case.before, name)),
            f"batch.{name} is changed in place; work on batch.{name}.clone() or use torch.where",
        )


def same_seed_gives_the_same(case: Case) -> None:
    """What is drawn depends on step.generator alone: same seed, same output."""
    one, two = twice(lambda: case.afresh().after)
    require(
        torch.equal(one.inputs, two.inputs) and torch.equal(one.targets, two.targets),
        "two steps of the same seed give different batches; draw only from step.generator and keep "
        "nothing from step to step",
    )


def batch_of_one_works(case: Case) -> None:
    """A batch with a single sample goes through."""
    alone = case.afresh(count=1)
    try:
        shape = alone.after.inputs.shape
        if alone.has_penalty:
            alone.penalty(alone.logits())
    except Exception as error:
        raise Broken(
            f"a batch of one sample raises {type(error).__name__}: {error}; avoid squeeze() without a "
            "dimension, and pairs of samples that do not exist"
        ) from error
    require(
        shape == alone.before.inputs.shape,
        f"a batch of one comes out as {tuple(shape)}; avoid squeeze() without a dimension",
    )


def occlusion_is_reported(case: Case) -> None:
    """Where elements are hidden, batch.occluded says which, and nothing else changed."""
    before, after = case.before, case.after
    changed = (before.inputs != after.inputs).any(1)
    if after.occluded is None:
        require(
            not _looks_filled(after.inputs, changed),
            "pixels or points were replaced by one value and batch.occluded is None; return "
            "batch.replace(inputs=…, occluded=mask), so that the realised fraction is recorded",
        )
        raise NotConcerned("it hides no pixels or points: batch.occluded stays None")
    shape = (len(before), *before.inputs.shape[2:])
    require(
        after.occluded.dtype == torch.bool and after.occluded.shape == shape,
        f"batch.occluded is {after.occluded.dtype} of shape {tuple(after.occluded.shape)}; "
        f"make it bool of shape {shape}, one value a pixel or point",
    )
    elsewhere = int((changed & ~after.occluded).sum())
    require(
        elsewhere == 0,
        f"{elsewhere} pixels or points changed that batch.occluded does not mark; mark all",
    )


def _looks_filled(inputs: Tensor, changed: Tensor) -> bool:
    """Whether changed elements of a sample share a value, which random inputs never do."""
    for sample, where in zip(inputs, changed, strict=True):
        values = sample[:, where]
        if values.shape[1] > 1 and values.unique(dim=1).shape[1] < values.shape[1]:
            return True
    return False


def targets_stay_valid(case: Case) -> None:
    """Targets come out as classes, or as rows of probabilities that sum to one."""
    targets = case.after.targets
    count = len(case.before)
    if targets.ndim == 1:
        require(
            targets.dtype == torch.int64 and len(targets) == count,
            f"targets are {targets.dtype} of shape {tuple(targets.shape)}; hard ones are int64 (B,)",
        )
        valid = bool(((targets >= 0) & (targets < CLASSES)).all())
        require(valid, f"targets reach outside the {CLASSES} classes")
        return
    require(
        targets.shape == (count, CLASSES) and targets.is_floating_point(),
        f"targets are {targets.dtype} of shape {tuple(targets.shape)}; soft ones are float "
        "(B, classes), with len(step.facts.classes) columns",
    )
    sums = targets.double().sum(1)
    valid = bool((targets >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all())
    require(
        valid,
        f"rows of targets sum to {sums.min():.4g} … {sums.max():.4g}; they are probabilities and "
        "sum to one",
    )


def penalty_is_a_finite_scalar(case: Case) -> None:
    """penalty() returns None or a finite scalar that a loss can be added to."""
    if not case.has_penalty:
        raise NotConcerned("it has no penalty()")
    logits = case.logits()
    value = case.penalty(logits)
    if value is None:
        return
    require(
        isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point(),
        f"penalty() returns {_described(value)}; return a scalar tensor, such as .mean(), or None",
    )
    require(bool(torch.isfinite(value)), f"penalty() is {value.item()}; look for log(0) or 0 / 0")
    require(value.requires_grad or value.item() == 0, f"penalty() {NO_EFFECT}; {CREATE_GRAPH}")
    (logits.sum() * 0 + value).backward()  # what training does with it


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    return type(value).__name__


def relevance_is_declared(case: Case) -> None:
    """Who asks for step.relevance says so: the method then belongs to a cell's identity."""
    _ = case.after
    if case.has_penalty:
        case.penalty(case.logits())
    require(
        case.regularizer.uses_relevance or not case.step.asked,
        "it calls step.relevance(), but uses_relevance is False, so that results of another "
        "method would be taken for its own; add the property uses_relevance",
    )


def controls_hide_in_the_same_samples(case: Case) -> None:
    """At the same step a control hides something of the samples that the guided method does."""
    regularizer = case.regularizer
    if not regularizer.guided or not regularizer.controls:
        raise NotConcerned("it is not guided, or names no controls")
    if case.after.occluded is None:
        raise NotConcerned("it hides no pixels or points: batch.occluded stays None")
    rows = case.after.occluded.flatten(1).any(1)
    for rung, changes in regularizer.controls.items():
        control = type(regularizer).create({**regularizer.parameters(), **changes})
        hidden = replace(case, regularizer=control).after.occluded
        require(
            hidden is not None and torch.equal(hidden.flatten(1).any(1), rows),
            f"its control {rung!r} hides in other samples than it does, so that guidance is not the only "
            'difference; draw who is hidden in from step.stream("who"), as OccludingRegularizer does',
        )


CHECKS = (*checks_in(vars(), cases), *training.CHECKS)
