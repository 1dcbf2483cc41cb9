"""Two or more result sets as one: what is the same is put together, all else kept apart."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.comparing.alignment import Alignment, align, listed
from reldrop_bench.comparing.reproduction import reproduction, reproduction_remarks
from reldrop_bench.comparing.result_sets import ResultSet, open_sets, places
from reldrop_bench.errors import UserError
from reldrop_bench.reporting.question import asked
from reldrop_bench.results import CELL, ItemTable, Results

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
        return measured([each.results.by_item.of_cells(index) for each in sets])

    agreement = reproduction(sets, alignment)
    table = json.loads(agreement.to_json(orient="records", double_precision=15))
    environments = {
        json.dumps(found, sort_keys=True): found
        for each in sets
        for found in each.results.environments
    }
    tasks: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    directions: dict[str, str] = {}
    for place, each in enumerate(sets):
        for setting, (task, _) in alignment.settings[place].items():
            if setting[0] in each.results.tasks:
                tasks.setdefault(task, each.results.tasks[setting[0]])
        for label, known in each.results.parameters.items():
            parameters.setdefault(alignment.labels[place][label], known)
        for name, direction in each.results.directions.items():
            directions.setdefault(name, direction)
    labels = (alignment.labels[i][label] for i, each in enumerate(sets) for label in each.labels)
    return Results(
        name=" and ".join(each.name for each in sets),
        baseline=baseline,
        labels=tuple(dict.fromkeys(labels)),
        cells=cells.drop(columns="_set"),
        epochs=_of_owners(_named(sets, alignment, [each.results.epochs for each in sets]), owners),
        metrics=measured([each.results.metrics for each in sets]),
        curves=measured([each.results.curves for each in sets]),
        by_item=ItemTable(measured([each.results.with_examples() for each in sets]), examples),
        samples=measured([each.results.samples for each in sets]),
        notes=measured([each.results.notes for each in sets]),
        tasks=tasks,
        directions=directions,
        environments=tuple(environments.values()),
        parameters=parameters,
        spec=_spec(sets, alignment) | {"reproduction": table},
        remarks=(
            *alignment.incomparable,
            *reproduction_remarks(agreement, sets),
            *alignment.remarks,
            *remarks,
            *_seed_remarks(cells),
        ),
        trained_elsewhere=all(each.results.trained_elsewhere for each in sets),
    )


def _spec(sets: Sequence[ResultSet], alignment: Alignment) -> dict[str, Any]:
    """Return what each set ran, and what all have in common as a spec says it."""
    skip: dict[str, list[str]] = {}
    for place, each in enumerate(sets):
        for task, left_out in each.spec.skip.items():
            common = {
                name for (own, _), (name, _) in alignment.settings[place].items() if own == task
            }
            for name in sorted(common):
                labels = [alignment.labels[place].get(label, label) for label in left_out]
                skip[name] = list(dict.fromkeys([*skip.get(name, []), *labels]))
    relevance = [each.spec.relevance for each in sets]
    same = all(rule == relevance[0] for rule in relevance)
    return {
        "sets": [
            {
                "set": each.name,
                "cells": len(each.results.cells),
                "done": int((each.results.cells["status"] == "done").sum()),
                "schema": each.benchmark.schema_version,
                "spec": dict(each.results.spec),
            }
            for each in sets
        ],
        **({"relevance": relevance[0]} if same else {}),
        **({"skip": skip} if skip else {}),
    }


def _named(
    sets: Sequence[ResultSet], alignment: Alignment, frames: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return a frame of each set below one another, under common names; `_set` says whose."""
    parts: list[pd.DataFrame] = []
    for place, frame in enumerate(frames):
        if frame.empty and (parts or place + 1 < len(sets)):
            continue
        labels = alignment.labels[place]
        changed = {own: new for own, new in alignment.settings[place].items() if own != new}
        frame = frame.assign(_set=place)
        frame["label"] = frame["label"].astype(object).map(lambda label, to=labels: to[label])
        for own, new in changed.items():
            here = (frame["task"] == own[0]) & (frame["model"] == own[1])
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
    cells = _named(sets, alignment, [each.results.cells for each in sets])
    place = pd.Series(pd.factorize(places(cells))[0], cells.index)
    order = pd.DataFrame({"place": place, "undone": cells["status"] != "done"})
    kept = order.sort_values(["place", "undone"], kind="stable").drop_duplicates("place").index
    return _without_foreign_times(sets, cells.loc[kept].reset_index(drop=True), baseline)


def _without_foreign_times(
    sets: Sequence[ResultSet], cells: pd.DataFrame, baseline: str
) -> tuple[pd.DataFrame, list[str]]:
    """Take out step times whose baseline was timed on another machine: their ratio means nothing."""
    machines = [
        _machine(sets[place], key) for place, key in zip(cells["_set"], cells["key"], strict=True)
    ]
    columns = ["task", "model", "seed"]
    timed = cells[columns].assign(machine=pd.Series(machines, dtype=object))[
        cells["label"] == baseline
    ]
    known = timed.dropna().set_index(columns)["machine"].to_dict()
    ids = list(cells[columns].itertuples(index=False, name=None))
    foreign = [
        machine is not None and known.get(pair, machine) != machine
        for machine, pair in zip(machines, ids, strict=True)
    ]
    affected = pd.Series(foreign, cells.index, dtype=bool) & cells["step_seconds"].notna()
    remarks = []
    if affected.any():
        cells["step_seconds"] = cells["step_seconds"].mask(affected)
        remarks.append(
            f"Step times of {int(affected.sum())} of {len(cells)} cells are left out: the baseline "
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


def _machine(each: ResultSet, key: str) -> str | None:
    environment = each.environment(key)
    if not environment:
        return None
    return json.dumps([str(environment.get(name)) for name in HARDWARE])


def _measured(
    sets: Sequence[ResultSet], alignment: Alignment, frames: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return what evaluations wrote, without what cannot stand beside that of an earlier set."""
    frame = _named(sets, alignment, frames)
    dropped = [
        (place, *alignment.settings[place][setting], evaluation)
        for place, left_out in enumerate(alignment.left_out)
        for setting, evaluations in left_out.items()
        for evaluation in evaluations
    ]
    for place, task, model, evaluation in dropped:
        here = (frame["_set"] == place) & (frame["evaluation"] == evaluation)
        frame = frame[~(here & (frame["task"] == task) & (frame["model"] == model))]
    return frame


def _providers(
    sets: Sequence[ResultSet], alignment: Alignment, owners: dict[Any, int]
) -> dict[tuple[Any, str], int] | None:
    """Return which set gives an evaluation of a cell: the cell's own, else the first that has it.

    None where no cell is in two sets.
    """
    if sum(len(each.results.cells) for each in sets) == len(owners):
        return None
    found: dict[tuple[Any, str], int] = {}
    for place, each in enumerate(sets):
        for entry in each.benchmark.matrix:
            label = alignment.labels[place][entry.label]
            cell = (*alignment.settings[place][entry.setting], label, entry.seed)
            dropped = alignment.left_out[place].get(entry.setting, ())
            done = each.evaluation_keys(entry.key)
            for name, key in entry.evaluations.items():
                if done.get(name) != key or name in dropped:
                    continue
                if owners[cell] == place or (cell, name) not in found:
                    found[cell, name] = place
    return found


def _of_providers(
    frame: pd.DataFrame, providers: dict[tuple[Any, str], int] | None
) -> pd.DataFrame:
    if providers is None or frame.empty:
        return frame.drop(columns="_set").reset_index(drop=True)
    columns = [*CELL, "evaluation"]
    return _chosen(frame, columns, lambda row, place: providers[row[:-1], row[-1]] == place)


def _of_owners(frame: pd.DataFrame, owners: dict[Any, int]) -> pd.DataFrame:
    return _chosen(frame, [*CELL], lambda row, place: owners[row] == place)


def _chosen(
    frame: pd.DataFrame, columns: list[str], wanted: Callable[[tuple[Any, ...], int], bool]
) -> pd.DataFrame:
    """Return the rows that `wanted`, asked once for all rows of equal `columns` and set, says."""
    names = [*columns, "_set"]
    groups = frame.groupby(names, sort=False).ngroup().to_numpy()
    different = frame[names].drop_duplicates().itertuples(index=False, name=None)
    kept = np.array([wanted(row[:-1], row[-1]) for row in different], dtype=bool)
    return frame[kept[groups]].drop(columns="_set").reset_index(drop=True)
