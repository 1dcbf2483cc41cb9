"""Checks of a regularizer over a whole training: switched off, wrapped, evaluated."""

import dataclasses
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import (
    Broken,
    NotConcerned,
    checks_in,
    no_global_draws,
    require,
)
from reldrop_bench.checking.steps import Case, cases
from reldrop_bench.checking.tiny import TASKS, Plain, TinyAttributor, TinyNetwork, tiny_model
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.plugins.base import Plugin, parameters_of
from reldrop_bench.running.training import train

STRENGTHS = ("probability", "p", "strength", "weight", "alpha", "size", "ratio")
"""Parameters that switch a regularizer off at 0, where its class does not say so (`off`)."""


def _off(cls: type[Regularizer]) -> tuple[dict[str, Any], Regularizer]:
    """Return the values at which a regularizer does nothing, and the instance."""
    if cls.off is not None:
        return dict(cls.off), cls.create(cls.off)
    parameters = parameters_of(cls)
    name = next((name for name in STRENGTHS if name in parameters), None)
    if name is None:
        raise NotConcerned(
            'no parameter is known to switch it off; say which does, such as off = {"rate": 0.0}'
        )
    try:
        return {name: 0}, cls.create({name: 0})
    except UserError as error:
        raise NotConcerned(
            f"{error}; say with `off = {{…}}` at which values it does nothing"
        ) from None


@dataclasses.dataclass(frozen=True)
class _Given(ResolvedPlugin):
    """An instance that is there already."""

    instance: Any = None

    @cached_property
    def plugin(self) -> Any:
        return self.instance


def _given(kind: str, plugin: Plugin) -> _Given:
    return _Given(kind, plugin.name, plugin.parameters(), plugin.name, "", instance=plugin)


def _trained(modality: str, regularizer: Regularizer) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the test logits and the weights after a short training of the real kind."""
    task = TASKS[modality]()
    cell = CellSpec(
        task=_given("tasks", task),
        model=_given("models", TinyNetwork()),
        regularizer=_given("regularizers", regularizer),
        relevance=_given("attributors", TinyAttributor()),
        evaluation_relevance=_given("attributors", TinyAttributor()),
        evaluations=(),
        recipe=task.recipe,
        seed=0,
        threads=1,
        uses_relevance=False,
    )
    trained = train(cell, None)
    with torch.no_grad():
        logits = trained.model(task.test(None).batch(torch.arange(16)).inputs)
    return logits, dict(trained.model.state_dict())


def off_trains_like_none(cls: type[Regularizer]) -> None:
    """At strength 0 it trains bit for bit like no regularizer."""
    values, regularizer = _off(cls)
    for modality in sorted(cls.modalities):
        logits, weights = _trained(modality, regularizer)
        plain_logits, plain_weights = _trained(modality, Plain())
        shared = weights.keys() & plain_weights.keys()
        same = torch.equal(logits, plain_logits) and all(
            torch.equal(weights[name], plain_weights[name]) for name in shared
        )
        require(
            same,
            f"{modality}: with {values} a network trains differently than without it; return the "
            "batch unchanged there, draw only from step.generator, or say with `off = {…}` "
            "at which values it does nothing",
        )


def evaluation_is_untouched(case: Case) -> None:
    """In evaluation mode the wrapped network computes what the bare one does, also after a step."""
    bare, inputs = tiny_model(case.where).eval(), case.before.inputs
    case.model.eval()
    with torch.no_grad():
        wanted, before = bare(inputs), case.model(inputs)
        require(
            torch.equal(wanted, before),
            "after wrap() the network computes something else in evaluation mode; let what you "
            "build in act only `if self.training`",
        )
    case.model.train()
    _ = case.after
    case.model.eval()
    with torch.no_grad():
        require(
            torch.equal(before, case.model(inputs)),
            "after transform() the network computes something else in evaluation mode; leave "
            "parameters, buffers and hooks as they were",
        )


def wrapped_network_is_restorable(case: Case) -> None:
    """wrap() draws nothing, and its network's weights load into another one that was wrapped."""
    wrap, bare = case.regularizer.wrap, tiny_model(case.where)
    advice = "start what you build in from fixed values or a torch.Generator with a fixed seed"
    with no_global_draws("wrap()", advice):
        model = wrap(bare)
    require(isinstance(model, nn.Module), f"wrap() returns {type(model).__name__}, not a module")
    try:
        wrap(tiny_model(case.where)).load_state_dict(model.state_dict())
    except (RuntimeError, TypeError) as error:
        raise Broken(
            f"the weights of a wrapped network do not load into another one ({error}); build the same "
            "parameters and buffers each time"
        ) from None


CHECKS = checks_in(vars(), cases)
