"""What a check is: a rule that a plugin keeps, breaks, or that does not concern it."""

import functools
import inspect
import random
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from reldrop_bench.errors import UserError, one_line, where
from reldrop_bench.plugins.base import Plugin

Check = Callable[[type[Any]], None]
"""Given a plugin's class; returns when the rule is kept, else raises `Broken` or `NotConcerned`."""


T = TypeVar("T")


class Broken(AssertionError):  # noqa: N818 - a rule is broken, not the program
    """A rule that a plugin breaks: which, and how to mend it."""


class NotConcerned(Exception):  # noqa: N818 - no error: the check is skipped
    """A rule that cannot be checked on this plugin, with the reason."""


@dataclass(frozen=True)
class CheckResult:
    """How one check went; `message` is empty where it passed."""

    check: str
    status: Literal["passed", "failed", "skipped"]
    message: str = ""


RandomState = dict[str, Any]


def random_state() -> RandomState:
    """Return the state of every global generator."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - the global generator is what is meant
        "python": random.getstate(),
    }


def _restore(state: RandomState) -> None:
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    random.setstate(state["python"])


def reseed(seed: int) -> None:
    """Seed every global generator."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


def moved_generators(before: RandomState) -> list[str]:
    """Return the names of the global generators that are no longer in the state `before`."""
    now = random_state()
    same = {
        "torch": torch.equal(before["torch"], now["torch"]),
        "numpy": str(before["numpy"][2:]) == str(now["numpy"][2:])
        and bool(np.array_equal(before["numpy"][1], now["numpy"][1])),
        "python": before["python"] == now["python"],
    }
    return [name for name, equal in same.items() if not equal]


def twice(make: Callable[[], T]) -> tuple[T, T]:
    """Return what two calls give while the global generators are in different states."""
    reseed(1)
    first = make()
    reseed(2)
    return first, make()


@contextmanager
def isolated() -> Iterator[None]:
    """Seed the global generators inside the block; restore them and all global settings behind it."""
    state = random_state()
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    dtype = torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reseed(0)
            torch.set_grad_enabled(True)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_grad_enabled(gradients)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        _restore(state)


def require(kept: bool, message: str) -> None:
    """Raise `Broken` with the message unless the rule is kept."""
    if not kept:
        raise Broken(message)


@contextmanager
def no_global_draws(who: str, advice: str) -> Iterator[None]:
    """Raise `Broken` where the block moves a global generator: `who` does, and how to mend it."""
    before = random_state()
    yield
    moved = moved_generators(before)
    require(not moved, f"{who} draws from the global generator of {', '.join(moved)}; {advice}")


def checks_in(
    module: Mapping[str, Any], cases: Callable[[type[Any]], Iterable[Any]] | None = None
) -> tuple[Check, ...]:
    """Return the public functions that a module defines, in their order: each is a check.

    Its parameter's name says what it is given: `cls`, the plugin's class, or `case`, one after
    another of what `cases(cls)` yields. A case's `where` stands before what is said of it.
    """
    return tuple(
        _for_each(cases, value)
        if cases and "case" in inspect.signature(value).parameters
        else value
        for name, value in module.items()
        if isinstance(value, types.FunctionType)
        and value.__module__ == module["__name__"]
        and not name.startswith("_")
    )


def _for_each(cases: Callable[[type[Any]], Iterable[Any]], rule: Callable[[Any], None]) -> Check:
    """Return the check that a rule holds for all cases; where it concerns not all, it is skipped."""

    @functools.wraps(rule)
    def check(cls: type[Any]) -> None:
        reasons: dict[str, list[str]] = {}
        for case in cases(cls):
            try:
                rule(case)
            except Broken as broken:
                raise Broken(f"{case.where}: {broken}") from broken
            except NotConcerned as reason:
                reasons.setdefault(str(reason), []).append(case.where)
        if reasons:
            told = (f"{', '.join(dict.fromkeys(places))}: {why}" for why, places in reasons.items())
            raise NotConcerned("; ".join(told))

    return check


_given: ContextVar[Mapping[type[Plugin], Mapping[str, Any]]] = ContextVar(
    "_given", default=types.MappingProxyType({})
)


@contextmanager
def given(cls: type[Plugin], parameters: Mapping[str, Any]) -> Iterator[None]:
    """Let `example` make instances of a class with these parameters inside the block.

    Raises
    ------
    UserError
        It has no such parameter, or forbids the value.
    """
    cls.create(parameters)
    token = _given.set({cls: parameters})
    try:
        yield
    finally:
        _given.reset(token)


def example(cls: type[Plugin]) -> Any:
    """Return an instance with default parameters, or with those that are `given`.

    Raises
    ------
    NotConcerned
        A parameter has no default.
    """
    try:
        return cls.create(_given.get().get(cls, {}))
    except UserError as error:
        raise NotConcerned(
            f"{error}; give every parameter a default, so that it can be checked"
        ) from None


def run_check(check: Check, cls: type[Plugin]) -> CheckResult:
    """Run one check; whatever the plugin raises is a failure that says where."""
    name = check.__name__
    try:
        with isolated():
            check(cls)
    except NotConcerned as reason:
        return CheckResult(name, "skipped", one_line(reason, 600))
    except Broken as broken:
        return CheckResult(name, "failed", one_line(broken, 600))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        text = f"{type(error).__name__}: {error} ({where(error)})"
        return CheckResult(name, "failed", one_line(f"it raises {text}; no hook may", 600))
    return CheckResult(name, "passed")
