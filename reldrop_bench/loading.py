"""Read a results folder into tidy data frames."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pandas as pd

from reldrop_bench import registry
from reldrop_bench.choices import with_evaluations
from reldrop_bench.errors import UserError, one_line
from reldrop_bench.evaluation.contract import Evaluation
from reldrop_bench.results import (
    CELL_COLUMNS,
    CURVE_COLUMNS,
    EPOCH_COLUMNS,
    EXAMPLE_COLUMNS,
    IDENTITY,
    METRIC_COLUMNS,
    NOTE_COLUMNS,
    SAMPLE_COLUMNS,
    Results,
)
from reldrop_bench.spec import BenchmarkSpec
from reldrop_bench.store import BENCHMARK_FILE, EPOCHS_FILE, CellRecord, Store, evaluation_file

NUMBERS = (
    "train_seconds",
    "step_seconds",
    "explained",
    "occluded_fraction",
    "peak_memory",
    "energy",
    "parameters",
    "epochs",
    "samples",
)
"""Columns of a cell that its training fills."""

Tables = dict[str, list[pd.DataFrame]]


def _cell_row(entry: CellRecord, record: CellRecord | None, problem: str) -> dict[str, Any]:
    """Return the cell's row, whatever state its record is in."""
    row: dict[str, Any] = {name: entry[name] for name in (*IDENTITY, "relevance")}
    if record is None:
        return {
            **row,
            "status": "failed" if problem else "missing",
            "error": problem,
            "warnings": [],
            "deviations": [],
        }
    training = record["training"]
    return {
        **row,
        "status": "failed" if problem else record["status"],
        "error": problem or record["error"],
        **{name: training.get(name) for name in NUMBERS},
        "warnings": record["warnings"],
        "deviations": record["deviations"],
    }


def _read_tables(store: Store, entry: CellRecord, record: CellRecord, tables: Tables) -> str:
    """Add a cell's tables; returns what is wrong with them, or ""."""
    problem = ""
    identity = {name: entry[name] for name in IDENTITY}

    def add(kind: str, frame: pd.DataFrame, **extra: Any) -> None:
        tables.setdefault(kind, []).append(frame.assign(**identity, **extra))

    try:
        if EPOCHS_FILE in record["files"]:
            add("epoch", store.read_table(record, EPOCHS_FILE))
    except ValueError as error:
        problem = str(error)
    for name, key in entry["evaluations"].items():
        outcome = record["evaluations"].get(name)
        if outcome is None or outcome["status"] != "done" or outcome["key"] != key:
            continue
        try:
            frame = store.read_table(record, evaluation_file(name))
        except ValueError as error:
            problem = problem or str(error)
            continue
        for kind, part in frame.groupby("table", sort=False):
            add(str(kind), part, evaluation=name)
        if notes := outcome.get("notes"):
            add("note", pd.DataFrame(notes), evaluation=name)
    return f"{problem}; run the spec again to compute it anew" if problem else ""


def _stale(entry: CellRecord, record: CellRecord | None) -> str:
    """Say which wanted evaluations a finished cell does not have yet; "" when none."""
    if record is None or record["status"] != "done":
        return ""
    lacking = [
        name
        for name, key in entry["evaluations"].items()
        if record["evaluations"].get(name, {}).get("key") != key
    ]
    return f"not evaluated yet: {', '.join(lacking)}; run the spec again" if lacking else ""


def _frame(parts: Iterable[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    found = [part for part in parts if len(part)]
    if not found:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(found, ignore_index=True)[list(columns)]


def _directions(metrics: pd.DataFrame) -> dict[str, str]:
    """Return by metric which direction is better, as the evaluation says that wrote it."""
    known = {entry.name: entry.cls for entry in registry.entries("evaluations")}
    found: dict[str, str] = {}
    pairs = metrics[["evaluation", "metric"]].drop_duplicates()
    for evaluation, metric in pairs.itertuples(index=False, name=None):
        cls = cast(type[Evaluation] | None, known.get(evaluation))
        direction = None if cls is None else cls.direction(metric)
        found.setdefault(metric, direction or "neither")
    return found


def _description(name: str) -> str:
    try:
        cls = registry.find("tasks", name).cls
    except UserError:
        return ""
    return cls.description() if cls else ""


def load_results(folder: str | Path) -> Results:
    """Read everything that a benchmark has measured.

    Cells that failed, are missing or are damaged have a row too, with the reason.

    Raises
    ------
    UserError
        The folder holds no results, or a newer version of this package wrote them.
    """
    store = Store(Path(os.path.expanduser(folder)))
    benchmark = store.read_benchmark()
    if benchmark is None:
        raise UserError(
            f"{folder} holds no results ({BENCHMARK_FILE} is missing); give the folder of a run"
        )
    spec = BenchmarkSpec.model_validate(benchmark["spec"])
    resolved = benchmark["spec"]
    if benchmark.get("added"):
        resolved = with_evaluations(spec, benchmark["added"]).model_dump(mode="json")
    rows: list[dict[str, Any]] = []
    tables: Tables = {}
    tasks: dict[str, dict[str, Any]] = {}
    environments: dict[str, Any] = {}
    for entry in benchmark["matrix"]:
        problem = ""
        try:
            record = store.read_cell(entry["key"])
        except ValueError as error:
            record, problem = None, f"{one_line(error)}; run the spec again to compute it anew"
        if record is not None:
            problem = _read_tables(store, entry, record, tables) or _stale(entry, record)
            if record["facts"] and entry["task"] not in tasks:
                components = record["components"]
                tasks[entry["task"]] = {
                    **record["facts"],
                    "description": _description(components["task"]["name"]),
                    "recipe": components["recipe"],
                }
            if record["environment"]:
                environments[json.dumps(record["environment"], sort_keys=True)] = record[
                    "environment"
                ]
        rows.append(_cell_row(entry, record, problem))
    cells = pd.DataFrame(rows, columns=list(CELL_COLUMNS))
    cells[list(NUMBERS)] = cells[list(NUMBERS)].apply(pd.to_numeric).fillna(math.nan)
    metrics = _frame(tables.get("metric", []), METRIC_COLUMNS)
    return Results(
        name=benchmark["name"],
        baseline=spec.baseline,
        labels=tuple(dict.fromkeys(entry["label"] for entry in benchmark["matrix"])),
        cells=cells,
        metrics=metrics,
        curves=_frame(tables.get("curve", []), CURVE_COLUMNS),
        examples=_frame(tables.get("example", []), EXAMPLE_COLUMNS),
        samples=_frame(tables.get("sample", []), SAMPLE_COLUMNS),
        epochs=_frame(tables.get("epoch", []), EPOCH_COLUMNS),
        notes=_frame(tables.get("note", []), NOTE_COLUMNS),
        tasks=tasks,
        directions=_directions(metrics),
        environments=tuple(environments.values()),
        spec=resolved,
        trained_elsewhere=bool(benchmark.get("checkpoints")),
    )
