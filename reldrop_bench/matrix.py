"""From a spec to its cells: every combination, resolved, with the key that names its record."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import pydantic

from reldrop_bench import registry
from reldrop_bench.errors import UserError, suggest
from reldrop_bench.plugin import Plugin, field_accepts
from reldrop_bench.recipe import Recipe
from reldrop_bench.regularization import Regularizer
from reldrop_bench.spec import BenchmarkSpec, Entry, first_error
from reldrop_bench.tasks import Task

SCHEMA = 1
"""Version of records and of what the harness computes: raise it when results would change."""

TRAINING_LOG = "train"
"""Name of the table that training itself writes."""


@dataclass(frozen=True)
class Choice:
    """A plugin with all its parameters, resolved: plain data that travels to a worker."""

    kind: str
    name: str
    parameters: Mapping[str, Any]
    label: str
    source: str
    """Hash of the plugin's source."""
    error: str = ""
    """Traceback of a plugin that cannot be imported: its cells fail, the others run."""

    @cached_property
    def plugin(self) -> Any:
        return registry.create(self.kind, self.name, self.parameters)

    def check_source(self) -> None:
        """Raise RuntimeError if this process has another version of the plugin than the spec."""
        found = registry.find(self.kind, self.name)
        if found.source != self.source:
            raise RuntimeError(f"{found.file.name} changed after the run was started; run again")

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "parameters": dict(self.parameters), "source": self.source}

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True)
class CellSpec:
    """One cell: all that decides its result."""

    task: Choice
    model: Choice
    regularizer: Choice
    relevance: Choice
    evaluations: tuple[Choice, ...]
    recipe: Recipe
    seed: int
    threads: int
    uses_relevance: bool

    @cached_property
    def components(self) -> dict[str, Any]:
        """What the key is made of; two keys are compared by it to say why a cell runs again."""
        return {
            "schema": SCHEMA,
            "task": self.task.identity(),
            "model": self.model.identity(),
            "regularizer": self.regularizer.identity(),
            "relevance": self.relevance.identity() if self.uses_relevance else None,
            "recipe": self.recipe.model_dump(mode="json"),
            "seed": self.seed,
            "threads": self.threads,
        }

    @cached_property
    def key(self) -> str:
        return _digest(self.components)

    def evaluation_key(self, evaluation: Choice) -> str:
        """Return the key of one evaluation of this cell."""
        return _digest([self.key, evaluation.identity(), self.relevance.identity()])

    @property
    def identity(self) -> dict[str, Any]:
        """The columns that name the cell in every table."""
        return {
            "key": self.key,
            "task": self.task.label,
            "model": self.model.label,
            "regularizer": self.regularizer.name,
            "label": self.regularizer.label,
            "seed": self.seed,
        }


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _parse(
    entry: Entry, kind: str, reserved: Sequence[str]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return name, parameters and reserved settings (label …) of a spec's entry."""
    singular = registry.KINDS[kind].singular
    if isinstance(entry, str):
        return entry, {}, {}
    values = dict(entry)
    if "name" in values:
        name = values.pop("name")
    elif len(values) == 1:
        name, inner = next(iter(values.items()))
        if inner is not None and not isinstance(inner, dict):
            raise UserError(
                f"{singular} {name!r}: {inner!r} is not a mapping of parameters such as {{k: 3}}"
            )
        values = dict(inner or {})
    else:
        raise UserError(
            f"{singular} entry {entry!r} names no plugin; write {{name: NAME, …}} or NAME: {{…}}"
        )
    if not isinstance(name, str):
        raise UserError(f"{singular} {name!r} is not a name")
    settings = {key: values.pop(key) for key in reserved if key in values}
    return name, values, settings


def _expand(cls: type[Plugin], parameters: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Expand each list that a parameter does not itself accept; returns parameters and a label suffix."""
    lists = {
        key: value
        for key, value in parameters.items()
        if isinstance(value, list) and not field_accepts(cls, key, value)
    }
    for key, value in lists.items():
        if not value:
            raise UserError(f"{cls.name}: {key} = [] holds no value to run")
    expanded = []
    for combination in itertools.product(*lists.values()):
        chosen = dict(zip(lists, combination, strict=True))
        suffix = " ".join(f"{key}={value}" for key, value in chosen.items())
        expanded.append(({**parameters, **chosen}, suffix))
    return expanded


def _resolve(
    entry: Entry, kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[Choice, dict[str, Any]]]:
    """Resolve one entry of a spec to its plugins (several where it holds lists), with their settings."""
    name, parameters, settings = _parse(entry, kind, reserved)
    found = registry.find(kind, name)
    label = settings.get("label", name)
    if not isinstance(label, str) or not label.strip():
        raise UserError(f"{name}: label = {label!r} is not a text")
    if found.cls is None:
        broken = Choice(kind, name, parameters, label, found.source, found.error)
        return [(broken, settings)]
    choices = []
    for values, suffix in _expand(found.cls, parameters):
        plugin = found.cls.create(values)
        full = f"{label} {suffix}".strip()
        choices.append(
            (
                Choice(kind, name, plugin.parameters(), full, found.source),
                {**settings, "given": values},
            )
        )
    return choices


def _resolve_all(
    entries: Sequence[Entry], kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[Choice, dict[str, Any]]]:
    """Resolve a list of entries; labels come out unique or the spec is refused."""
    found = [pair for entry in entries for pair in _resolve(entry, kind, reserved)]
    counts = Counter(choice.label for choice, _ in found)
    named = []
    for choice, settings in found:
        given = {
            key: value
            for key, value in settings.get("given", {}).items()
            if f"{key}=" not in choice.label
        }
        if counts[choice.label] > 1 and "label" not in settings and given:
            text = " ".join(f"{key}={value}" for key, value in given.items())
            choice = dataclasses.replace(choice, label=f"{choice.label} {text}")
        named.append((choice, settings))
    for label, count in Counter(choice.label for choice, _ in named).items():
        if count > 1:
            raise UserError(
                f"two {kind} have the label {label!r}; give one of them a label: of its own"
            )
    return named


def _recipe(task: Task, changes: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate({**task.recipe.model_dump(), **changes})
    except pydantic.ValidationError as error:
        raise first_error(error, Recipe, "spec: recipe") from None


def _unfit(regularizer: Regularizer, task: Task, task_label: str, label: str) -> str | None:
    """Say why a regularizer cannot run on a task; None when it can."""
    if task.modality not in regularizer.modalities:
        kinds = " and ".join(sorted(regularizer.modalities))
        return (
            f"regularizer {label!r} works on {kinds} inputs, task {task_label!r} has {task.modality} inputs; "
            f"write 'skip: {{{task_label}: [{label}]}}' to leave it out there"
        )
    return None


def _models(spec: BenchmarkSpec, task: Task, task_label: str) -> list[Choice]:
    wanted = spec.model if isinstance(spec.model, list) else [spec.model]
    entries = [task.default_model if entry == "default" else entry for entry in wanted]
    choices = [choice for choice, _ in _resolve_all(entries, "models")]
    for choice in choices:
        if not choice.error and task.modality not in choice.plugin.modalities:
            raise UserError(
                f"model {choice.label!r} does not take the {task.modality} inputs of task {task_label!r}"
            )
    return choices


def _single(entry: Entry, kind: str) -> Choice:
    choices = _resolve(entry, kind)
    if len(choices) != 1:
        raise UserError(f"{kind}: {entry!r} holds a list; give one value")
    choice = choices[0][0]
    if choice.error:
        registry.create(kind, choice.name)
    return choice


def _evaluations(spec: BenchmarkSpec) -> tuple[Choice, ...]:
    if spec.evaluations is None:
        entries: list[Entry] = [
            entry.name
            for entry in registry.entries("evaluations")
            if entry.cls is not None and getattr(entry.cls, "default", False)
        ]
    else:
        entries = spec.evaluations
    choices = tuple(choice for choice, _ in _resolve_all(entries, "evaluations", ()))
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"evaluation {name!r} stands twice in evaluations:")
    if TRAINING_LOG in names:
        raise UserError(f"an evaluation cannot be called {TRAINING_LOG!r}: the training log is")
    return choices


def _skipped(
    spec: BenchmarkSpec, tasks: Sequence[str], labels: Sequence[str]
) -> set[tuple[str, str]]:
    pairs = set()
    for task, left_out in spec.skip.items():
        if task not in tasks:
            raise UserError(f"spec: skip.{task} is no task of the spec; {suggest(task, tasks)}")
        for label in left_out:
            if label not in labels:
                raise UserError(
                    f"spec: skip.{task}: {label!r} is no regularizer of the spec; {suggest(label, labels)}"
                )
            pairs.add((task, label))
    return pairs


def expand(spec: BenchmarkSpec) -> list[CellSpec]:
    """Return all cells of a spec, in its order: task, model, seed, regularizer.

    Raises
    ------
    UserError
        A name, parameter or combination that cannot be run.
    """
    regularizers = _resolve_all(spec.regularizers, "regularizers", ("label", "relevance"))
    labels = [choice.label for choice, _ in regularizers]
    if spec.baseline not in labels:
        raise UserError(
            f"spec: baseline = {spec.baseline!r} is no regularizer of the spec; {suggest(spec.baseline, labels)}"
        )
    tasks = [choice for choice, _ in _resolve_all(spec.tasks, "tasks")]
    skipped = _skipped(spec, [task.label for task in tasks], labels)
    relevance = _single(spec.relevance, "relevance")
    evaluations = _evaluations(spec)
    cells = []
    for task in tasks:
        if task.error:
            registry.create("tasks", task.name)
        recipe = _recipe(task.plugin, spec.recipe)
        models = _models(spec, task.plugin, task.label)
        for model, seed, (regularizer, settings) in itertools.product(
            models, spec.seed_list, regularizers
        ):
            if (task.label, regularizer.label) in skipped:
                continue
            rule = (
                _single(settings["relevance"], "relevance")
                if "relevance" in settings
                else relevance
            )
            guided = False
            if not regularizer.error:
                reason = _unfit(regularizer.plugin, task.plugin, task.label, regularizer.label)
                if reason:
                    raise UserError(reason)
                guided = regularizer.plugin.uses_relevance
            cells.append(
                CellSpec(
                    task, model, regularizer, rule, evaluations, recipe, seed, spec.threads, guided
                )
            )
    return cells


def select(cells: Sequence[CellSpec], conditions: Sequence[str]) -> list[CellSpec]:
    """Return the cells that meet all conditions such as ``task=digits`` or ``label=reldrop-*|none``.

    Raises
    ------
    UserError
        An unknown column, or conditions that no cell meets.
    """
    chosen = list(cells)
    for condition in conditions:
        column, equals, patterns = condition.partition("=")
        column = column.strip()
        known = ("task", "model", "regularizer", "label", "seed")
        if not equals or column not in known:
            raise UserError(
                f"--only {condition!r} is not of the form COLUMN=PATTERN; {suggest(column, known)}"
            )
        options = [pattern.strip() for pattern in patterns.split("|")]
        remaining = [
            cell
            for cell in chosen
            if any(fnmatchcase(str(cell.identity[column]), option) for option in options)
        ]
        if not remaining:
            present = {str(cell.identity[column]) for cell in chosen}
            raise UserError(
                f"--only {condition!r} matches no cell; {suggest(patterns.strip(), present)}"
            )
        chosen = remaining
    return chosen
