"""Two or more result sets as one: what is the same is put together, all else kept apart."""

import json
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.comparing.alignment import Alignment, align, listed
from reldrop_bench.comparing.merged_spec import united
from reldrop_bench.comparing.reproduction import reproduction, reproduction_remarks
from reldrop_bench.comparing.result_sets import ResultSet, open_sets, places
from reldrop_bench.errors import UserError
from reldrop_bench.reporting.question import asked
from reldrop_bench.results import CELL, ItemTable, Results
from reldrop_bench.statistics.wording import counted

HARDWARE = ("system", "processor", "accelerator", "device", "threads")
"""What of an environment decides how long a training step takes."""


def compare(
    folders: Sequence[str | Path],
    baseline: str | None = None,
    metric: str | None = None,
    margin: float | None = None,
    strict: bool = False,
    plugins: Sequence[str | Path] = (),
) -> Results:
    """Read several folders of results as one.

    Cells are put together where everything that decides them is the same. A setting, label or
    evaluation that only has the same name is kept apart as "name (SET)", or left out; `remarks` of
    the results say what and why, and how well cells agree that several sets have computed. `spec`
    holds what each set ran ("sets") and that comparison in numbers ("reproduction").

    baseline: a label; the first set's by default. metric, margin: as for a report. strict: refuse
    where anything cannot be compared. plugins: folders with plugins.

    Raises
    ------
    UserError
        Fewer than two folders, one twice or without results, an unknown label or metric; with
        `strict`, anything that is not comparable.
    """
    sets = open_sets(folders, plugins)
    alignment = align(sets)
    if strict and alignment.incomparable:
        more = len(alignment.incomparable) - 1
        also = f" (and {more} more)" if more else ""
        raise UserError(f"{alignment.incomparable[0].rstrip('.')}{also}; compare without --strict")
    return asked(combined(sets, alignment, baseline), baseline, metric, margin)


def combined(
    sets: Sequence[ResultSet], alignment: Alignment, baseline: str | None = None
) -> Results:
    """Put the sets together as `alignment` says; baseline: the first set's by default."""
    if baseline is None:
        baseline = alignment.labels[0].get(sets[0].spec.baseline, sets[0].spec.baseline)
    cells, remarks = _kept_cells(sets, alignment, baseline)
    owners = dict(zip(places(cells), cells["_set"], strict=True))
    providers = _providers(sets, alignment, owners)

    def measured(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
        return _of_providers(_measured(sets, alignment, frames), providers)

    def examples(index: pd.DataFrame) -> pd.DataFrame:
        return measured([result_set.results.by_item.of_cells(index) for result_set in sets])

    agreement = reproduction(sets, alignment)
    table = json.loads(agreement.to_json(orient="records", double_precision=15))
    environments = {
        json.dumps(environment, sort_keys=True): environment
        for result_set in sets
        for environment in result_set.results.environments
    }
    tasks: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    declared: dict[tuple[str, str], tuple[str, str]] = {}
    guided: dict[str, dict[str, str]] = {}
    trains_with: dict[str, Set[str]] = {}
    for index, result_set in enumerate(sets):
        for setting, (task, _) in alignment.settings[index].items():
            if setting[0] in result_set.results.tasks:
                tasks.setdefault(task, result_set.results.tasks[setting[0]])
        for label, values in result_set.results.parameters.items():
            parameters.setdefault(alignment.labels[index][label], values)
        names = alignment.labels[index]
        for label, kinds in result_set.results.trains_with.items():
            trains_with[names[label]] = kinds | trains_with.get(names[label], frozenset())
        for label, rungs in result_set.results.guided.items():
            known = {rung: name for rung, name in guided.get(names[label], {}).items() if name}
            ours = {rung: names[control] if control else "" for rung, control in rungs.items()}
            guided[names[label]] = ours | known
        declared = {**result_set.results.declared, **declared}
    labels = (
        alignment.labels[i][label]
        for i, result_set in enumerate(sets)
        for label in result_set.labels
    )
    return Results(
        name=" and ".join(result_set.name for result_set in sets),
        baseline=baseline,
        labels=tuple(dict.fromkeys(labels)),
        cells=cells.drop(columns="_set"),
        epochs=_of_owners(
            _named(sets, alignment, [result_set.results.epochs for result_set in sets]), owners
        ),
        metrics=measured([result_set.results.metrics for result_set in sets]),
        curves=measured([result_set.results.curves for result_set in sets]),
        by_item=ItemTable(
            measured([result_set.results.with_examples() for result_set in sets]), examples
        ),
        samples=measured([result_set.results.samples for result_set in sets]),
        notes=measured([result_set.results.notes for result_set in sets]),
        tasks=tasks,
        declared=declared,
        guided=guided,
        trains_with=trains_with,
        declarations=_declarations(sets),
        environments=tuple(environments.values()),
        parameters=parameters,
        spec=_spec(sets, alignment) | {"reproduction": table},
        remarks=(
            *alignment.incomparable,
            *reproduction_remarks(agreement, sets),
            *alignment.remarks,
            *(f"{each.name}: {remark}" for each in sets for remark in each.results.remarks),
            *remarks,
            *_seed_remarks(cells),
        ),
        trained_elsewhere=all(result_set.results.trained_elsewhere for result_set in sets),
    )


def _declarations(sets: Sequence[ResultSet]) -> tuple[Mapping[str, Any], ...]:
    """Return what the sets are judged by, together; none where one of them declares nothing."""
    found = united([result_set.benchmark.declarations for result_set in sets])
    return tuple(declaration.plain() for declaration in found)


def _spec(sets: Sequence[ResultSet], alignment: Alignment) -> dict[str, Any]:
    """Return what each set ran, and what all have in common as a spec says it."""
    skip: dict[str, list[str]] = {}
    for index, result_set in enumerate(sets):
        for task, left_out in result_set.spec.skip.items():
            common = {
                name for (old, _), (name, _) in alignment.settings[index].items() if old == task
            }
            for name in sorted(common):
                labels = [alignment.labels[index].get(label, label) for label in left_out]
                skip[name] = list(dict.fromkeys([*skip.get(name, []), *labels]))
    relevance = [result_set.spec.relevance for result_set in sets]
    same = all(rule == relevance[0] for rule in relevance)
    return {
        "sets": [
            {
                "set": result_set.name,
                "cells": len(result_set.results.cells),
                "done": int((result_set.results.cells["status"] == "done").sum()),
                "schema": result_set.benchmark.schema_version,
                "spec": dict(result_set.results.spec),
            }
            for result_set in sets
        ],
        **({"relevance": relevance[0]} if same else {}),
        **({"skip": skip} if skip else {}),
    }


def _named(
    sets: Sequence[ResultSet], alignment: Alignment, frames: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return a frame of each set below one another, under common names; `_set` says whose."""
    parts: list[pd.DataFrame] = []
    for index, frame in enumerate(frames):
        if frame.empty and (parts or index + 1 < len(sets)):
            continue
        labels = alignment.labels[index]
        changed = {old: new for old, new in alignment.settings[index].items() if old != new}
        frame = frame.assign(_set=index)
        frame["label"] = frame["label"].astype(object).map(lambda label, to=labels: to[label])
        for old, new in changed.items():
            here = (frame["task"] == old[0]) & (frame["model"] == old[1])
            for column, value in zip(("task", "model"), new, strict=True):
                frame[column] = frame[column].astype(object).mask(here, f"\0{value}")
        for column in ("task", "model"):  # one setting's new name may be another one's old name
            if changed:
                frame[column] = frame[column].map(lambda text: text.removeprefix("\0"))
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def _kept_cells(
    sets: Sequence[ResultSet], alignment: Alignment, baseline: str
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row a cell: of those that several sets hold the first one that is done."""
    cells = _named(sets, alignment, [result_set.results.cells for result_set in sets])
    place = pd.Series(pd.factorize(places(cells))[0], cells.index)
    order = pd.DataFrame({"place": place, "undone": cells["status"] != "done"})
    kept = order.sort_values(["place", "undone"], kind="stable").drop_duplicates("place").index
    return _without_foreign_times(sets, cells.loc[kept].reset_index(drop=True), baseline)


def _without_foreign_times(
    sets: Sequence[ResultSet], cells: pd.DataFrame, baseline: str
) -> tuple[pd.DataFrame, list[str]]:
    """Take out step times whose baseline was timed on another machine: their ratio means nothing."""
    machines = [
        _machine(sets[index], key) for index, key in zip(cells["_set"], cells["key"], strict=True)
    ]
    columns = ["task", "model", "seed"]
    timed = cells[columns].assign(machine=pd.Series(machines, dtype=object))[
        cells["label"] == baseline
    ]
    machine_of = timed.dropna().set_index(columns)["machine"].to_dict()
    ids = list(cells[columns].itertuples(index=False, name=None))
    foreign = [
        machine is not None and machine_of.get(pair, machine) != machine
        for machine, pair in zip(machines, ids, strict=True)
    ]
    affected = pd.Series(foreign, cells.index, dtype=bool) & cells["step_seconds"].notna()
    remarks = []
    if affected.any():
        cells["step_seconds"] = cells["step_seconds"].mask(affected)
        remarks.append(
            f"Step times of {counted(int(affected.sum()), 'cell', total=len(cells))} are left out: the baseline "
            "that they are paired with was timed on another machine."
        )
    if len({machine for machine in machines if machine is not None}) > 1:
        remarks.append(
            "The cells were computed on different machines: seconds, memory and energy of different "
            "sets say nothing of the methods."
        )
    return cells, remarks


def _seed_remarks(cells: pd.DataFrame) -> list[str]:
    """Say where labels of a setting have different seeds: their means are over different cells."""
    uneven = []
    for (task, model), here in cells.groupby(["task", "model"], sort=False):
        seeds = here.groupby("label")["seed"].agg(lambda found: str(sorted(found)))
        if seeds.nunique() > 1:
            uneven.append(f"{task} · {model}")
    if not uneven:
        return []
    return [
        f"Not every label has every seed in {listed(uneven)}: means are over different seeds there; "
        "differences are over the seeds that the baseline has, too."
    ]


def _machine(result_set: ResultSet, key: str) -> str | None:
    environment = result_set.environment(key)
    if not environment:
        return None
    return json.dumps([str(environment.get(name)) for name in HARDWARE])


def _measured(
    sets: Sequence[ResultSet], alignment: Alignment, frames: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return what evaluations wrote, without what cannot stand beside that of an earlier set."""
    frame = _named(sets, alignment, frames)
    dropped = [
        (index, *alignment.settings[index][setting], evaluation)
        for index, left_out in enumerate(alignment.left_out)
        for setting, evaluations in left_out.items()
        for evaluation in evaluations
    ]
    for index, task, model, evaluation in dropped:
        here = (frame["_set"] == index) & (frame["evaluation"] == evaluation)
        frame = frame[~(here & (frame["task"] == task) & (frame["model"] == model))]
    return frame


def _providers(
    sets: Sequence[ResultSet], alignment: Alignment, owners: dict[Any, int]
) -> dict[tuple[Any, str], int] | None:
    """Return which set gives an evaluation of a cell: the cell's own, else the first that has it.

    None where no cell is in two sets.
    """
    if sum(len(result_set.results.cells) for result_set in sets) == len(owners):
        return None
    providers: dict[tuple[Any, str], int] = {}
    for index, result_set in enumerate(sets):
        for entry in result_set.benchmark.matrix:
            label = alignment.labels[index][entry.label]
            cell = (*alignment.settings[index][entry.setting], label, entry.seed)
            dropped = alignment.left_out[index].get(entry.setting, ())
            done = result_set.evaluation_keys(entry.key)
            for name, key in entry.evaluations.items():
                if done.get(name) != key or name in dropped:
                    continue
                if owners[cell] == index or (cell, name) not in providers:
                    providers[cell, name] = index
    return providers


def _of_providers(
    frame: pd.DataFrame, providers: dict[tuple[Any, str], int] | None
) -> pd.DataFrame:
    if providers is None or frame.empty:
        return frame.drop(columns="_set").reset_index(drop=True)
    columns = [*CELL, "evaluation"]
    return _chosen(frame, columns, lambda row, index: providers[row[:-1], row[-1]] == index)


def _of_owners(frame: pd.DataFrame, owners: dict[Any, int]) -> pd.DataFrame:
    return _chosen(frame, [*CELL], lambda row, index: owners[row] == index)


def _chosen(
    frame: pd.DataFrame, columns: list[str], wanted: Callable[[tuple[Any, ...], int], bool]
) -> pd.DataFrame:
    """Return the rows that `wanted`, asked once for all rows of equal `columns` and set, says."""
    names = [*columns, "_set"]
    groups = frame.groupby(names, sort=False).ngroup().to_numpy()
    different = frame[names].drop_duplicates().itertuples(index=False, name=None)
    kept = np.array([wanted(row[:-1], row[-1]) for row in different], dtype=bool)
    return frame[kept[groups]].drop(columns="_set").reset_index(drop=True)
