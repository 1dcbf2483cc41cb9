"""From a spec to its cells: every combination, resolved, with the key that names its record."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.kinds.recipe import AUGMENTATIONS, Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.components import (
    SCHEMA,
    Components,
    DataIdentity,
    PluginIdentity,
    digest,
)
from reldrop_bench.matrix.controls import with_controls
from reldrop_bench.matrix.data import data_of, unknown_data
from reldrop_bench.matrix.entries import (
    ResolvedPlugin,
    refuse_equal_labels,
    resolve_all,
    resolve_evaluations,
    single,
)
from reldrop_bench.matrix.fitting import Offers, on_purpose, unfit
from reldrop_bench.matrix.recipe import changes_of, recipe_of
from reldrop_bench.matrix.spec import MOST_CELLS, BenchmarkSpec
from reldrop_bench.plugins import registry
from reldrop_bench.results import IDENTITY, Place, Unfit
from reldrop_bench.statistics.wording import counted


@dataclass(frozen=True)
class CellSpec:
    """One cell: all that decides its result."""

    task: ResolvedPlugin
    model: ResolvedPlugin
    regularizer: ResolvedPlugin
    relevance: ResolvedPlugin
    """What a guided regularizer is trained with."""
    evaluation_relevance: ResolvedPlugin
    """What all cells of a benchmark are explained with when they are evaluated."""
    evaluations: tuple[ResolvedPlugin, ...]
    recipe: Recipe
    seed: int
    threads: int
    uses_relevance: bool
    data: DataIdentity | None = None
    """What the files hold that the task reads; None where it makes its own data, or none is there."""
    companions: Mapping[str, CellSpec] = field(default_factory=dict)
    """The cells by role that the evaluations compare this one with (`Evaluation.companions`)."""

    @cached_property
    def components(self) -> Components:
        """What the key is made of; two keys are compared by it to say why a cell runs again."""
        return Components(
            schema=SCHEMA,
            task=self.task.identity,
            model=self.model.identity,
            regularizer=self.regularizer.identity,
            relevance=self.relevance.identity if self.uses_relevance else None,
            recipe=self.recipe.components(),
            seed=self.seed,
            threads=self.threads,
            data=self.data,
        )

    @cached_property
    def key(self) -> str:
        return digest(self.components)

    def evaluation_key(self, evaluation: ResolvedPlugin) -> str:
        """Return the key of one evaluation of this cell."""
        roles = evaluation.plugin.companions
        others = {role: cell.key for role, cell in self.companions.items() if role in roles}
        return digest([self.key, evaluation.identity, self._explainers(evaluation), others])

    def evaluation_identity(self, evaluation: ResolvedPlugin) -> str:
        """Return a digest of what an evaluation is, whatever the cell: equal ones can be compared."""
        return digest([evaluation.identity, self._explainers(evaluation)])

    def _explainers(self, evaluation: ResolvedPlugin) -> list[PluginIdentity]:
        """Return the attribution methods that an evaluation explains with."""
        plugin: Evaluation = evaluation.plugin
        own = [self.evaluation_relevance.identity] if plugin.uses_relevance else []
        return own + [single(name, "attributors").identity for name in plugin.explainers]

    def check_data(self, root: Path | None) -> None:
        """Raise RuntimeError if the files that the task reads are not what the key says."""
        if self.data is not None and data_of(self.task, root) != self.data:
            raise RuntimeError(
                f"the data of {self.task.label} changed after the run was started; run again"
            )

    @property
    def plugins(self) -> tuple[ResolvedPlugin, ...]:
        """All plugins of the cell."""
        methods = (self.relevance, self.evaluation_relevance)
        return (self.task, self.model, self.regularizer, *methods, *self.evaluations)

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

    @property
    def place(self) -> Place:
        """What names the cell in its benchmark, whatever its key is."""
        return (self.task.label, self.model.label, self.regularizer.label, self.seed)


def _models(spec: BenchmarkSpec, task: Task, task_label: str) -> list[ResolvedPlugin]:
    wanted = spec.model if isinstance(spec.model, list) else [spec.model]
    entries = [task.default_model if entry == "default" else entry for entry in wanted]
    models = [model for model, _ in resolve_all(entries, "models")]
    fitting = [model for model in models if model.error or task.modality in model.plugin.modalities]
    if not fitting:
        names = ", ".join(repr(model.label) for model in models) or "none given"
        raise UserError(
            f"no model takes the {task.modality} inputs of task {task_label!r} (model: {names})"
        )
    return fitting


class Matrix(NamedTuple):
    """What a spec expands to."""

    cells: list[CellSpec]
    unfit: Unfit
    """What it asks for and leaves out because it does not fit."""


def expand(
    spec: BenchmarkSpec,
    data: Callable[[ResolvedPlugin], DataIdentity | None] = unknown_data,
    offers: Offers = lambda task: None,
) -> Matrix:
    """Return all cells of a spec, in its order: task, model, seed, regularizer; and what does not fit.

    data: gives what the files of a task hold, which belongs to the keys of its cells.

    Raises
    ------
    UserError
        A name, parameter or combination that cannot be run.
    """
    reserved = ("label", "relevance", "controls")
    regularizers = with_controls(
        resolve_all(spec.regularizers, "regularizers", reserved), spec.controls
    )
    labels = [regularizer.label for regularizer, _ in regularizers]
    refuse_equal_labels(labels, "regularizers")
    pairs = [frozenset(pair) for pair in spec.contrasts]
    for first, second in spec.contrasts:
        if first == second or pairs.count(frozenset((first, second))) > 1:
            raise UserError(
                f"spec: contrasts: [{first}, {second}] is a label with itself, or stands twice; remove it"
            )
    for label in itertools.chain.from_iterable(spec.contrasts):
        if label not in labels:
            raise UserError(
                f"spec: contrasts: {label!r} is no regularizer of the spec; {suggest(label, labels)}"
            )
    if spec.baseline not in labels:
        raise UserError(
            f"spec: baseline = {spec.baseline!r} is no regularizer of the spec; {suggest(spec.baseline, labels)}"
        )
    resolved = resolve_all(spec.tasks, "tasks", ("label", "recipe"))
    tasks = [task for task, _ in resolved]
    for task in tasks:
        if task.error:
            registry.create("tasks", task.name)
    skipped = on_purpose(spec, [task.label for task in tasks], labels)
    skipped |= {
        (task, regularizer.label)
        for task, label in skipped
        for regularizer, settings in regularizers
        if settings.get("control of") == label
    }
    plugins = [regularizer for regularizer, _ in regularizers]
    left_out = unfit(plugins, tasks, offers, skipped, spec.baseline, spec.strict)
    relevance = single(spec.relevance, "attributors")
    evaluations = resolve_evaluations(spec.evaluations)
    models = len(spec.model) if isinstance(spec.model, list) else 1
    seeds = spec.seed_list
    if (count := len(tasks) * models * len(seeds) * len(regularizers)) > MOST_CELLS:
        sizes = (len(tasks), "task"), (models, "model"), (len(seeds), "seed")
        product = " × ".join(counted(number, noun) for number, noun in sizes)
        raise UserError(
            f"spec: {product} × {counted(len(regularizers), 'regularizer')} are {count} cells; at most "
            f"{MOST_CELLS} fit into a benchmark"
        )
    cells = []
    for_all = changes_of(spec.recipe, "spec: recipe")
    for task, own in resolved:
        where = f"spec: {task.label}: recipe" if "recipe" in own else "spec: recipe"
        recipe = recipe_of(task.plugin, for_all | changes_of(own.get("recipe", {}), where), where)
        identity = data(task)
        fitting = _models(spec, task.plugin, task.label)
        for model, seed, (regularizer, settings) in itertools.product(fitting, seeds, regularizers):
            if (task.label, regularizer.label) in skipped:
                continue
            if regularizer.label in left_out.get(task.label, {}):
                continue
            method = relevance
            if "relevance" in settings:
                method = single(settings["relevance"], "attributors")
            guided = not regularizer.error and regularizer.plugin.uses_relevance
            if "relevance" in settings and not (guided or regularizer.error):
                raise UserError(
                    f"regularizer {regularizer.label!r} explains nothing in training, so that its "
                    "'relevance' has no meaning; leave it out"
                )
            cells.append(
                CellSpec(
                    task=task,
                    model=model,
                    regularizer=regularizer,
                    relevance=method,
                    evaluation_relevance=relevance,
                    evaluations=evaluations,
                    recipe=recipe,
                    seed=seed,
                    threads=spec.threads,
                    uses_relevance=guided,
                    data=identity,
                )
            )
    _refuse_equal_cells(cells)
    _refuse_idle_augmentations(spec, tasks)
    return Matrix(_with_companions(cells, spec.baseline, seeds[0]), left_out)


def _with_companions(cells: Sequence[CellSpec], baseline: str, first: int) -> list[CellSpec]:
    """Return the cells, each with the others that its evaluations compare it with."""
    by_place = {cell.place: cell for cell in cells}

    def companions(cell: CellSpec) -> dict[str, CellSpec]:
        task, model, label, seed = cell.place
        places = {"reference": (baseline, first)}
        if label != baseline:
            places["baseline"] = (baseline, seed)
        if seed != first:
            places["first-seed"] = (label, first)
        wanted = {role for evaluation in cell.evaluations for role in evaluation.plugin.companions}
        return {role: by_place[task, model, *places[role]] for role in places if role in wanted}

    return [replace(cell, companions=companions(cell)) for cell in cells]


def _refuse_equal_cells(cells: Sequence[CellSpec]) -> None:
    """Raise UserError if two entries of a spec are the same in all but their label."""
    if not cells:
        raise UserError("spec: skip leaves no cell to run")
    first: dict[str, CellSpec] = {}
    for cell in cells:
        other = first.setdefault(cell.key, cell)
        if other is not cell:
            raise UserError(
                f"{other.task.label} · {other.regularizer.label!r} and {cell.task.label} · "
                f"{cell.regularizer.label!r} are the same with all parameters; remove one"
            )


def _refuse_idle_augmentations(spec: BenchmarkSpec, tasks: Sequence[ResolvedPlugin]) -> None:
    modalities = {task.plugin.modality for task in tasks}
    asked = spec.recipe.get("augmentation", ()) if isinstance(spec.recipe, Mapping) else ()
    for name in asked:
        if AUGMENTATIONS[name] not in modalities:
            raise UserError(
                f"spec: recipe.augmentation: {name!r} is for {AUGMENTATIONS[name]} inputs, "
                "which no task of the spec has"
            )


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
        if not equals or column not in IDENTITY[1:]:
            known = column in IDENTITY[1:]
            hint = "" if known else f"; {suggest(column, IDENTITY[1:])}"
            raise UserError(
                f"--only {condition!r}: write COLUMN=PATTERN, such as task=digits{hint}"
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
