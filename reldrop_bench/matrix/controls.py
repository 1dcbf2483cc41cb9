"""Controls of guided regularizers: the rungs that a spec asks for, and which label is whose control."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.matrix.entries import ResolvedPlugin

if TYPE_CHECKING:
    from reldrop_bench.matrix.cells import CellSpec

Resolved = tuple[ResolvedPlugin, Mapping[str, Any]]
"""A regularizer of a spec with its settings: label, relevance, controls."""
Ladders = dict[str, dict[str, str]]
"""By guided label, the labels of its controls by rung, the one first that shares the least with it; ""
where a control that it names is not there."""


def with_controls(regularizers: Sequence[Resolved], everywhere: bool) -> list[Resolved]:
    """Return the regularizers, each followed by those of its controls that are asked for and not there.

    A control is called as its method is, with the rung behind it; it has its relevance where it
    explains as well.

    Raises
    ------
    UserError
        Controls are asked for by name of what has none, or `controls` is neither true nor false.
    """
    found: list[Resolved] = []
    for regularizer, settings in regularizers:
        found.append((regularizer, settings))
        asked = settings.get("controls", everywhere)
        if not isinstance(asked, bool):
            raise UserError(
                f"regularizer {regularizer.label!r}: controls is true or false, not {asked!r}"
            )
        if not asked or regularizer.error:
            continue
        rungs = _rungs(regularizer) or {}
        if not rungs and "controls" in settings:
            raise UserError(
                f"regularizer {regularizer.label!r} has no controls; leave out its 'controls: true'"
            )
        for rung, changes in rungs.items():
            control = replace(
                regularizer,
                parameters={**regularizer.parameters, **changes},
                label=f"{regularizer.label}, {rung}",
            )
            there = any(
                is_alike(other, its.get("relevance"), control, settings.get("relevance"))
                for other, its in regularizers
            )
            if not there:
                kept = {"relevance"} if control.plugin.uses_relevance else set()
                given = {key: settings[key] for key in kept & settings.keys()}
                found.append((control, given | {"control of": regularizer.label}))
    return found


def ladders(cells: Iterable[CellSpec]) -> Ladders:
    """Return every guided label with its controls."""
    by_label = {cell.regularizer.label: cell for cell in cells if not cell.regularizer.error}
    found: Ladders = {}
    for label, cell in by_label.items():
        method = cell.relevance.identity
        rungs = _rungs(cell.regularizer)
        if rungs is None:
            continue
        found[label] = {}
        for rung, changes in rungs.items():
            wanted = replace(
                cell.regularizer, parameters={**cell.regularizer.parameters, **changes}
            )
            alike = (
                other
                for other, its in by_label.items()
                if is_alike(its.regularizer, its.relevance.identity, wanted, method)
            )
            found[label][rung] = next(alike, "")
    return found


def _rungs(regularizer: ResolvedPlugin) -> Mapping[str, Mapping[str, Any]] | None:
    """Return what a guided regularizer says of its controls; None of one that is not guided.

    Raises
    ------
    UserError
        It says something else, or raises.
    """
    try:
        if not regularizer.plugin.guided:
            return None
        rungs = regularizer.plugin.controls
        if all(isinstance(rung, str) for rung in rungs) and all(
            isinstance(changes, Mapping) for changes in rungs.values()
        ):
            return cast(Mapping[str, Mapping[str, Any]], rungs)
        problem = "it is no mapping of rungs to parameters"
    except Exception as error:  # noqa: BLE001 - it may be anyone's
        problem = f"{type(error).__name__}: {error}"
    raise UserError(
        f"regularizer {regularizer.label!r}: its `guided` or `controls` cannot be read: {one_line(problem)}"
    )


def is_alike(other: ResolvedPlugin, its_method: Any, wanted: ResolvedPlugin, method: Any) -> bool:
    """Return whether a regularizer is one that is wanted, whatever it is called.

    The attribution methods that are to guide them matter where they explain.
    """
    if other.error or (other.name, other.parameters) != (wanted.name, wanted.parameters):
        return False
    return its_method == method or not other.plugin.uses_relevance
