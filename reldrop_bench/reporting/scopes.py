"""Tasks that the same labels have run on: what ranks and aggregates are made over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reldrop_bench.kinds.section import Prose
from reldrop_bench.reporting.judgement import Paired
from reldrop_bench.reporting.rows import Setting, labels
from reldrop_bench.results import Results


@dataclass(frozen=True)
class Scope:
    """Settings with the labels that were planned for every one of them."""

    name: str
    settings: tuple[Setting, ...]
    labels: tuple[str, ...]


def scopes(results: Results, item: Paired) -> list[Scope]:
    """Return all settings that are not saturated as one scope, and each modality that has further labels.

    A scope needs two labels, the baseline among them.
    """
    found = [_scope(results, item, _called(item, "", item.telling), item.telling)]
    modalities: dict[str, list[Setting]] = {}
    for task, model in item.telling:
        modality = str(results.tasks.get(task, {}).get("modality", "other"))
        modalities.setdefault(modality, []).append((task, model))
    if len(modalities) > 1:
        for modality, settings in modalities.items():
            scope = _scope(results, item, _called(item, f"{modality} ", settings), tuple(settings))
            if set(scope.labels) - set(found[0].labels):
                found.append(scope)
    return [
        scope
        for scope in found
        if len(scope.labels) > 1 and results.baseline in scope.labels and scope.settings
    ]


def _called(item: Paired, kind: str, settings: Sequence[Setting]) -> str:
    """Name a group of settings: "all tasks", "image tasks", "3 of 5 tasks", or the single task."""
    if len(settings) == 1:
        return item.settings[settings[0]]
    if kind:
        return f"{kind}tasks"
    whole = len(settings) == len(item.settings)
    return "all tasks" if whole else f"{len(settings)} of {len(item.settings)} tasks"


def _scope(results: Results, item: Paired, name: str, settings: tuple[Setting, ...]) -> Scope:
    planned = [
        label
        for label in labels(results)
        if all(setting in item.planned.get(label, frozenset()) for setting in settings)
    ]
    return Scope(name, settings, tuple(planned))


def left_out(results: Results, found: Sequence[Scope]) -> list[Prose]:
    """Say which labels no scope holds."""
    covered = {label for scope in found for label in scope.labels}
    missing = [label for label in labels(results) if label not in covered]
    if not missing or not found:
        return []
    names = ", ".join(f"“{label}”" for label in missing)
    text = f"Not planned for all tasks of any group, so without a rank here: {names}."
    return [Prose(text, "note")]
