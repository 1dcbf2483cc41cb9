"""One benchmark.json for several result sets: their specs and matrices put together."""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from reldrop_bench.comparing.alignment import evaluation_difference
from reldrop_bench.comparing.result_sets import ResultSet
from reldrop_bench.errors import UserError, one_line
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.components import DataIdentity
from reldrop_bench.matrix.controls import Ladders
from reldrop_bench.matrix.entries import ResolvedPlugin, by_name, entry_name
from reldrop_bench.matrix.outcomes import Declaration, DeclaredOutcome
from reldrop_bench.matrix.spec import BenchmarkSpec, SpecEntry
from reldrop_bench.results import Place, Unfit
from reldrop_bench.store.benchmarks import BenchmarkRecord, MatrixEntry
from reldrop_bench.store.declared import DeclaredMetric
from reldrop_bench.store.state import differences

EQUAL = ("baseline", "controls", "outcomes", "relevance", "recipe", "threads")
"""Keys of a spec that have to be the same."""
FREE = ("name", "keep_models", "limits")
"""Keys that decide no result: the first set's are taken."""


def merged_benchmark(sets: Sequence[ResultSet], tell: Callable[[str], None]) -> BenchmarkRecord:
    """Return the content of benchmark.json for all cells of the sets.

    Where the union of the specs plans cells that no set has, they are in the matrix as well (they
    are missing); `tell` is given a line where that cannot be found out here.

    Raises
    ------
    UserError
        The specs differ in what decides results, or a place has different keys in two sets.
    """
    first = sets[0]
    for other in sets[1:]:
        _refuse_differences(first, other)
        for name in FREE:
            ours, theirs = (result_set.spec.stated().get(name) for result_set in (first, other))
            if ours != theirs:
                tell(
                    f"{name}: {_text(ours)} of {first.name} is taken, not {_text(theirs)} of {other.name}"
                )
    _refuse_other_evaluations(sets)
    matrix = _matrix(sets)
    spec = _spec(sets)
    if not first.is_checkpoints:
        matrix = _completed(sets, spec, matrix, tell)
    identities: dict[str, str] = {}
    metrics: dict[str, dict[str, DeclaredMetric]] = {}
    for result_set in reversed(sets):
        identities |= result_set.benchmark.evaluation_identities
        metrics |= result_set.benchmark.metrics
    return BenchmarkRecord(
        schema=first.benchmark.schema_version,
        name=spec.name,
        spec=spec,
        added=_by_name(entry for result_set in sets for entry in result_set.benchmark.added),
        evaluation_identities=identities,
        metrics=metrics,
        guided=_ladders(sets),
        trains_with={
            label: kinds
            for result_set in reversed(sets)
            for label, kinds in result_set.benchmark.trains_with.items()
        },
        unfit=_unfit(sets),
        declarations=united([result_set.benchmark.declarations for result_set in sets]),
        matrix=matrix,
        checkpoints=first.is_checkpoints,
    )


def _ladders(sets: Sequence[ResultSet]) -> Ladders:
    """Return the guided labels of all sets, each with the controls that any of them has."""
    found: Ladders = {}
    for result_set in sets:
        for label, rungs in result_set.benchmark.guided.items():
            known = {rung: name for rung, name in found.get(label, {}).items() if name}
            found[label] = rungs | known
    return found


def united(each: Sequence[Sequence[Declaration]]) -> list[Declaration]:
    """Return what any set is judged by, after the cells that were done by then in all of them.

    What they leave to the defaults goes by their tasks. each: the declarations of each set.
    """
    if not all(each):
        return []
    last = [declarations[-1] for declarations in each]
    outcomes: dict[str, DeclaredOutcome] = {}
    for outcome in (outcome for declaration in last for outcome in declaration.outcomes):
        known = outcomes.setdefault(outcome.name, outcome)
        primary = known.primary or outcome.primary
        outcomes[outcome.name] = known.model_copy(update={"primary": primary})
    return [
        Declaration(
            outcomes=sorted(outcomes.values(), key=lambda outcome: not outcome.primary),
            done=sum(declaration.done for declaration in last),
            cells=sum(declaration.cells for declaration in last),
        )
    ]


def _text(value: Any) -> str:
    return one_line(json.dumps(value), 80)


def _refuse_differences(first: ResultSet, other: ResultSet) -> None:
    if first.is_checkpoints != other.is_checkpoints:
        raise UserError(
            f"one of {first.name} and {other.name} holds checkpoints, the other a benchmark"
        )
    names = [name for name in EQUAL if not (first.is_checkpoints and name == "baseline")]
    ours, theirs = (
        {"schema": result_set.benchmark.schema_version}
        | {name: value for name, value in result_set.spec.stated().items() if name in names}
        for result_set in (first, other)
    )
    if told := differences(ours, theirs):
        raise UserError(
            f"{first.name} and {other.name} cannot be merged: {'; '.join(told)}; "
            "reldrop-bench compare can show them beside one another"
        )


def _refuse_other_evaluations(sets: Sequence[ResultSet]) -> None:
    for index, other in enumerate(sets):
        for first in sets[:index]:
            for name in other.evaluations:
                if name not in first.evaluations:
                    continue
                text = evaluation_difference(first, other, name)[0]
                if text:
                    raise UserError(
                        f"{first.name} and {other.name} cannot be merged: evaluation {name} differs "
                        f"({text})"
                    )


def _matrix(sets: Sequence[ResultSet]) -> list[MatrixEntry]:
    """Return the cells of all sets, those of the first one first."""
    merged: dict[Place, tuple[MatrixEntry, ResultSet]] = {}
    places: dict[str, tuple[Place, ResultSet]] = {}
    for result_set in sets:
        for entry in result_set.benchmark.matrix:
            first, owner = merged.setdefault(entry.place, (entry.model_copy(deep=True), result_set))
            if first.key != entry.key:
                raise UserError(
                    f"{_cell(entry.place)} has another key in {result_set.name} than in {owner.name}: "
                    "something that decides its result differs; reldrop-bench compare can show both"
                )
            first.evaluations = {**entry.evaluations, **first.evaluations}
            other, holder = places.setdefault(entry.key, (entry.place, result_set))
            if other != entry.place:
                raise UserError(
                    f"{_cell(entry.place)} of {result_set.name} is what {holder.name} calls {_cell(other)}; "
                    "give it the same label: there and run its spec again, which computes nothing"
                )
    return [entry for entry, _ in merged.values()]


def _cell(place: Place) -> str:
    task, model, label, seed = place
    return f"{task} · {model} · {label}, seed {seed}"


def _spec(sets: Sequence[ResultSet]) -> BenchmarkSpec:
    """Return the union of the specs."""
    specs = [result_set.spec for result_set in sets]
    seeds = (seed for spec in specs for seed in spec.seed_list)
    merged = specs[0].stated() | {
        "tasks": _different(entry for spec in specs for entry in spec.tasks),
        "regularizers": _different(entry for spec in specs for entry in spec.regularizers),
        "seeds": list(dict.fromkeys(seeds)),
        "contrasts": list(dict.fromkeys(pair for spec in specs for pair in spec.contrasts)),
        "skip": _skip(sets),
    }
    models = [spec.model for spec in specs]
    if any(model != models[0] for model in models):
        lists = (model if isinstance(model, list) else [model] for model in models)
        merged["model"] = _different(entry for entries in lists for entry in entries)
    if any(spec.evaluations != specs[0].evaluations for spec in specs):
        merged["evaluations"] = _by_name(
            entry for result_set in sets for entry in _measured(result_set)
        )
    return BenchmarkSpec.model_validate(merged)


def _different(entries: Iterable[SpecEntry]) -> list[SpecEntry]:
    found = {json.dumps(entry, sort_keys=True): entry for entry in entries}
    return list(found.values())


def _by_name(entries: Iterable[SpecEntry]) -> list[SpecEntry]:
    """Return the first entry of each name."""
    first: dict[str, SpecEntry] = {}
    for entry in entries:
        first.setdefault(entry_name(entry), entry)
    return list(first.values())


def _measured(result_set: ResultSet) -> Sequence[SpecEntry]:
    """Return what a set's spec measured, also where it names nothing."""
    if result_set.spec.evaluations is not None:
        return result_set.spec.evaluations
    added = by_name(result_set.benchmark.added)
    return [name for name in result_set.evaluations if name not in added]


def _skip(sets: Sequence[ResultSet]) -> dict[str, list[str]]:
    """Return what some set leaves out and none has."""
    there = {
        (entry.task, entry.label) for result_set in sets for entry in result_set.benchmark.matrix
    }
    skip: dict[str, list[str]] = {}
    for result_set in sets:
        for task, labels in result_set.spec.skip.items():
            for label in labels:
                if (task, label) not in there and label not in skip.setdefault(task, []):
                    skip[task].append(label)
    return {task: labels for task, labels in skip.items() if labels}


def _data(sets: Sequence[ResultSet], task: ResolvedPlugin) -> DataIdentity | None:
    """Return what the files of a task held when cells of it were computed."""
    parts = [record.components for result_set in sets for record in result_set.records.values()]
    known = (part.data for part in parts if part.task == task.identity)
    return next((data for data in known if data is not None), None)


def _unfit(sets: Sequence[ResultSet]) -> Unfit:
    """Return what does not fit a task and none has."""
    there = {(each.task, each.label) for one in sets for each in one.benchmark.matrix}
    found: Unfit = {}
    for result_set in sets:
        for task, reasons in result_set.benchmark.unfit.items():
            left_out = {label: why for label, why in reasons.items() if (task, label) not in there}
            found[task] = found.get(task, {}) | left_out
    return {task: reasons for task, reasons in found.items() if reasons}


def _without_unfit(spec: BenchmarkSpec, unfit: Unfit) -> BenchmarkSpec:
    """Return the spec with what does not fit as skipped: its data need not be here."""
    skip = {
        task: list({*spec.skip.get(task, ()), *unfit.get(task, ())})
        for task in {*spec.skip, *unfit}
    }
    return spec.model_copy(update={"skip": skip})


def _completed(
    sets: Sequence[ResultSet],
    spec: BenchmarkSpec,
    matrix: list[MatrixEntry],
    tell: Callable[[str], None],
) -> list[MatrixEntry]:
    """Return the matrix in the order of the spec, with the cells that it plans and no set has."""
    for result_set in sets:
        try:
            expand(_without_unfit(result_set.spec, result_set.benchmark.unfit))
        except UserError as error:
            tell(
                f"cells that no set has are not listed: the spec of {result_set.name} is not known here "
                f"({one_line(error)})"
            )
            return matrix
    try:
        fitting = _without_unfit(spec, _unfit(sets))
        planned = {cell.place: cell for cell in expand(fitting, partial(_data, sets)).cells}
    except UserError as error:
        raise UserError(f"the specs cannot be one: {one_line(error)}") from None
    entries = {entry.place: entry for entry in matrix}
    lost = [place for place in entries if place not in planned]
    if lost:
        raise UserError(
            f"{_cell(lost[0])} would have another label in one spec; give its entry a label: and run "
            "its spec again, which computes nothing"
        )
    return [entries.get(place) or MatrixEntry.of(cell) for place, cell in planned.items()]
