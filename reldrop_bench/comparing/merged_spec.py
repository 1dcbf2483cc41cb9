"""One benchmark.json for several result sets: their specs and matrices put together."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reldrop_bench.comparing.alignment import evaluation_difference
from reldrop_bench.comparing.result_sets import ResultSet
from reldrop_bench.errors import UserError, one_line
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.entries import entry_name
from reldrop_bench.matrix.spec import BenchmarkSpec, Entry
from reldrop_bench.store.folder import CellRecord, matrix_entry
from reldrop_bench.store.records import differences

EQUAL = ("baseline", "relevance", "recipe", "threads")
"""Keys of a spec that have to be the same."""
FREE = ("name", "keep_models", "limits")
"""Keys that decide no result: the first set's are taken."""
PLACE = ("task", "model", "label", "seed")


def merged_benchmark(sets: Sequence[ResultSet], tell: Callable[[str], None]) -> CellRecord:
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
            ours, theirs = first.benchmark["spec"].get(name), other.benchmark["spec"].get(name)
            if ours != theirs:
                tell(
                    f"{name}: {_text(ours)} of {first.name} is taken, not {_text(theirs)} of {other.name}"
                )
    _refuse_other_evaluations(sets)
    matrix = _matrix(sets)
    spec = _spec(sets)
    if not first.benchmark.get("checkpoints"):
        matrix = _completed(sets, spec, matrix, tell)
    identities: dict[str, str] = {}
    for each in reversed(sets):
        identities |= each.benchmark.get("evaluation_identities", {})
    content = {
        "schema": first.benchmark["schema"],
        "name": spec["name"],
        "spec": spec,
        "added": _by_name(entry for each in sets for entry in each.benchmark.get("added") or []),
        "evaluation_identities": identities,
        "matrix": matrix,
    }
    return content | ({"checkpoints": True} if first.benchmark.get("checkpoints") else {})


def _text(value: Any) -> str:
    return one_line(json.dumps(value), 80)


def _refuse_differences(first: ResultSet, other: ResultSet) -> None:
    ours, theirs = first.benchmark, other.benchmark
    if bool(ours.get("checkpoints")) != bool(theirs.get("checkpoints")):
        raise UserError(
            f"one of {first.name} and {other.name} holds checkpoints, the other a benchmark"
        )
    parts = [name for name in EQUAL if not (ours.get("checkpoints") and name == "baseline")]
    left, right = (
        {"schema": each["schema"]} | {name: each["spec"].get(name) for name in parts}
        for each in (ours, theirs)
    )
    found = differences(left, right)
    if found:
        raise UserError(
            f"{first.name} and {other.name} cannot be merged: {'; '.join(found)}; "
            "reldrop-bench compare can show them beside one another"
        )


def _refuse_other_evaluations(sets: Sequence[ResultSet]) -> None:
    for place, other in enumerate(sets):
        for first in sets[:place]:
            for name in other.evaluations:
                if name not in first.evaluations:
                    continue
                text = evaluation_difference(first, other, name)[0]
                if text:
                    raise UserError(
                        f"{first.name} and {other.name} cannot be merged: evaluation {name} differs "
                        f"({text})"
                    )


def _matrix(sets: Sequence[ResultSet]) -> list[CellRecord]:
    """Return the cells of all sets, those of the first one first."""
    found: dict[tuple[Any, ...], tuple[CellRecord, ResultSet]] = {}
    places: dict[str, tuple[tuple[Any, ...], ResultSet]] = {}
    for each in sets:
        for entry in each.benchmark["matrix"]:
            place = tuple(entry[name] for name in PLACE)
            known, owner = found.setdefault(place, (copy.deepcopy(entry), each))
            if known["key"] != entry["key"]:
                raise UserError(
                    f"{_cell(place)} has another key in {each.name} than in {owner.name}: something "
                    "that decides its result differs; reldrop-bench compare can show both"
                )
            known["evaluations"] = {**entry["evaluations"], **known["evaluations"]}
            other, holder = places.setdefault(entry["key"], (place, each))
            if other != place:
                raise UserError(
                    f"{_cell(place)} of {each.name} is what {holder.name} calls {_cell(other)}; give "
                    "it the same label: there and run its spec again, which computes nothing"
                )
    return [entry for entry, _ in found.values()]


def _cell(place: Sequence[Any]) -> str:
    task, model, label, seed = place
    return f"{task} · {model} · {label}, seed {seed}"


def _spec(sets: Sequence[ResultSet]) -> dict[str, Any]:
    """Return the union of the specs as plain data."""
    specs = [each.benchmark["spec"] for each in sets]
    evaluations = [spec.get("evaluations") for spec in specs]
    seeds = [seed for each in sets for seed in each.spec.seed_list]
    models = [spec.get("model", "default") for spec in specs]
    merged = {
        **specs[0],
        "tasks": _different(entry for spec in specs for entry in spec["tasks"]),
        "regularizers": _different(entry for spec in specs for entry in spec["regularizers"]),
        "seeds": list(dict.fromkeys(seeds)),
        "skip": _skip(sets),
    }
    if any(model != models[0] for model in models):
        lists = (model if isinstance(model, list) else [model] for model in models)
        merged["model"] = _different(entry for entries in lists for entry in entries)
    if any(entries != evaluations[0] for entries in evaluations):
        merged["evaluations"] = _by_name(
            entry
            for each, entries in zip(sets, evaluations, strict=True)
            for entry in (_measured(each) if entries is None else entries)
        )
    return merged


def _different(entries: Iterable[Entry]) -> list[Entry]:
    found = {json.dumps(entry, sort_keys=True): entry for entry in entries}
    return list(found.values())


def _by_name(entries: Iterable[Entry]) -> list[Entry]:
    """Return the first entry of each name."""
    found: dict[str, Entry] = {}
    for entry in entries:
        found.setdefault(entry_name(entry), entry)
    return list(found.values())


def _measured(each: ResultSet) -> list[Entry]:
    """Return what a spec without `evaluations` measured."""
    added = {entry_name(entry) for entry in each.benchmark.get("added") or []}
    return [name for name in each.evaluations if name not in added]


def _skip(sets: Sequence[ResultSet]) -> dict[str, list[str]]:
    """Return what some set leaves out and none has."""
    there = {(entry["task"], entry["label"]) for each in sets for entry in each.benchmark["matrix"]}
    skip: dict[str, list[str]] = {}
    for each in sets:
        for task, labels in each.spec.skip.items():
            for label in labels:
                if (task, label) not in there and label not in skip.setdefault(task, []):
                    skip[task].append(label)
    return {task: labels for task, labels in skip.items() if labels}


def _completed(
    sets: Sequence[ResultSet],
    spec: dict[str, Any],
    matrix: list[CellRecord],
    tell: Callable[[str], None],
) -> list[CellRecord]:
    """Return the matrix in the order of the spec, with the cells that it plans and no set has."""
    own = [_cells(each.benchmark["spec"]) for each in sets]
    unknown = [
        (each, cells) for each, cells in zip(sets, own, strict=True) if isinstance(cells, str)
    ]
    if unknown:
        each, reason = unknown[0]
        tell(
            f"cells that no set has are not listed: the spec of {each.name} is not known here ({reason})"
        )
        return matrix
    planned = _cells(spec)
    if isinstance(planned, str):
        raise UserError(f"the specs cannot be one: {planned}")
    known = {tuple(entry[name] for name in PLACE): entry for entry in matrix}
    places = [tuple(cell.identity[name] for name in PLACE) for cell in planned]
    lost = [place for place in known if place not in set(places)]
    if lost:
        raise UserError(
            f"{_cell(lost[0])} would have another label in one spec; give its entry a label: and run "
            "its spec again, which computes nothing"
        )
    return [
        known.get(place) or matrix_entry(cell) for place, cell in zip(places, planned, strict=True)
    ]


def _cells(spec: dict[str, Any]) -> list[CellSpec] | str:
    """Return the cells of a spec, or why they cannot be told here."""
    try:
        return expand(BenchmarkSpec.model_validate(spec))
    except UserError as error:
        return one_line(error)
