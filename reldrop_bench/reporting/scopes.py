"""Tasks that the same labels have run on: what ranks and aggregates are made over."""

from collections.abc import Sequence
from dataclasses import dataclass

from reldrop_bench.kinds.section import Prose
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import Setting, labels
from reldrop_bench.results import Results
from reldrop_bench.statistics.wording import counted


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
    every = _scope(results, item, item.telling)
    modalities: dict[str, list[Setting]] = {}
    for task, model in item.telling:
        modality = str(results.tasks.get(task, {}).get("modality", "other"))
        modalities.setdefault(modality, []).append((task, model))
    parts = [_scope(results, item, part, modality) for modality, part in modalities.items()]
    further = [part for part in parts if len(parts) > 1 and set(part.labels) - set(every.labels)]
    return [
        scope
        for scope in (every, *further)
        if len(scope.labels) > 1 and results.baseline in scope.labels and scope.settings
    ]


def _scope(results: Results, item: Paired, chosen: Sequence[Setting], kind: str = "") -> Scope:
    """Name a group of settings "all tasks", "image tasks", "3 of 5 tasks", or as the single task."""
    planned = {
        label
        for label, where in item.planned.items()
        if all(setting in where for setting in chosen)
    }
    name = f"{kind} tasks" if kind else counted(len(chosen), "task", total=len(item.settings))
    if len(chosen) == 1:
        name = item.settings[chosen[0]]
    elif not kind and len(chosen) == len(item.settings):
        name = "all tasks"
    return Scope(name, tuple(chosen), tuple(labels(results, planned)))


def left_out(results: Results, ranked: Sequence[Scope]) -> list[Prose]:
    """Say which labels no scope holds."""
    covered = {label for scope in ranked for label in scope.labels}
    missing = [label for label in labels(results) if label not in covered]
    if not missing or not ranked:
        return []
    names = ", ".join(f"“{label}”" for label in missing)
    text = f"Not planned for all tasks of any group, so without a rank here: {names}."
    return [Prose(text, "note")]
