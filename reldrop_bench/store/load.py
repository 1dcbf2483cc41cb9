"""Read a results folder into tidy data frames."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pandas as pd

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.matrix.entries import with_evaluations
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.plugins import registry
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
    UnreadExamples,
)
from reldrop_bench.store.folder import (
    BENCHMARK_FILE,
    EPOCHS_FILE,
    CellRecord,
    Store,
    evaluation_file,
)
from reldrop_bench.store.tables import Gathered, Identity, LongTables

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


@dataclass
class Found:
    """What the cells of a benchmark have written, gathered as it is read."""

    store: Store
    values: LongTables = field(default_factory=lambda: LongTables({"metric", "curve", "sample"}))
    epochs: Gathered = field(default_factory=Gathered)
    notes: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[Identity, str, str]] = field(default_factory=list)
    """Cell, evaluation and checksum of every table that was read."""

    def read(self, entry: CellRecord, record: CellRecord) -> str:
        """Add a cell's tables; returns what is wrong with them, or ""."""
        problem = ""
        identity = {name: entry[name] for name in IDENTITY}
        try:
            if EPOCHS_FILE in record["files"]:
                self.epochs.add(identity, self.store.read_arrow(record, EPOCHS_FILE))
        except ValueError as error:
            problem = str(error)
        for name, key in entry["evaluations"].items():
            outcome = record["evaluations"].get(name)
            if outcome is None or outcome["status"] != "done" or outcome["key"] != key:
                continue
            file = evaluation_file(name)
            try:
                self.values.add(identity, name, self.store.read_arrow(record, file))
            except ValueError as error:
                problem = problem or str(error)
                continue
            self.files.append((identity, name, record["files"][file]))
            given = {**identity, "evaluation": name}
            self.notes += [{**given, **note} for note in outcome.get("notes") or ()]
        return f"{problem}; run the spec again to compute it anew" if problem else ""

    def frame(self, kind: str, columns: tuple[str, ...]) -> pd.DataFrame:
        return self.values.frame(kind, columns)

    def examples(self) -> ExampleFiles:
        """Return what reads the numbers by item, from the files that hold any."""
        self.values.sort()
        wanted = {
            (self.values.identities[place]["key"], name)
            for place, name in self.values.with_examples
        }
        files = (file for file in self.files if (file[0]["key"], file[1]) in wanted)
        return ExampleFiles(self.store, tuple(files))


@dataclass(frozen=True)
class ExampleFiles(UnreadExamples):
    """The tables that hold numbers by item; calling it reads them."""

    store: Store
    files: tuple[tuple[Identity, str, str], ...]
    """Cell, evaluation and checksum."""

    def only(self, task: str, model: str, evaluation: str) -> ExampleFiles:
        """Return those of one evaluation within one task and model."""
        place = {"task": task, "model": model}
        files = (
            file
            for file in self.files
            if place.items() <= file[0].items() and file[1] == evaluation
        )
        return ExampleFiles(self.store, tuple(files))

    def index(self) -> pd.DataFrame:
        """Return a row a table: what names its cell, and the evaluation."""
        rows = [{**identity, "evaluation": name} for identity, name, _ in self.files]
        return pd.DataFrame(rows, columns=[*IDENTITY, "evaluation"])

    def __call__(self) -> pd.DataFrame:
        """Return them as `Results.examples`.

        Raises
        ------
        UserError
            A table has changed since the results were read.
        """
        found = LongTables({"example"})
        for identity, evaluation, checksum in self.files:
            file = evaluation_file(evaluation)
            record = {"key": identity["key"], "files": {file: checksum}}
            try:
                table = self.store.read_arrow(record, file)
            except ValueError:
                raise UserError(
                    f"{file} of cell {identity['key']} has changed since the results were read; "
                    "read them again"
                ) from None
            found.add(identity, evaluation, table)
        return found.frame("example", EXAMPLE_COLUMNS)


def _cell_row(entry: CellRecord, record: CellRecord | None, problem: str) -> dict[str, Any]:
    """Return the cell's row, whatever state its record is in."""
    row: dict[str, Any] = {name: entry[name] for name in (*IDENTITY, "relevance")}
    if record is None:
        return {
            **row,
            "status": "failed" if problem else "missing",
            "error": problem,
            "traceback": "",
            "warnings": [],
            "deviations": [],
        }
    training = record["training"]
    return {
        **row,
        "status": "failed" if problem else record["status"],
        "error": problem or record["error"],
        "traceback": "" if problem else record["traceback"],
        **{name: training.get(name) for name in NUMBERS},
        "warnings": record["warnings"],
        "deviations": record["deviations"],
    }


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


def _parameters(components: CellRecord) -> dict[str, Any]:
    """Return what a label stands for; see `Results.parameters`."""
    regularizer, relevance = components["regularizer"], components.get("relevance")
    found = {"regularizer": regularizer["name"], **regularizer["parameters"]}
    return found | ({"relevance": relevance["name"]} if relevance else {})


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
    found = Found(store)
    tasks: dict[str, dict[str, Any]] = {}
    environments: dict[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}
    for entry in benchmark["matrix"]:
        problem = ""
        try:
            record = store.read_cell(entry["key"])
        except ValueError as error:
            record, problem = None, f"{one_line(error)}; run the spec again to compute it anew"
        if record is not None:
            problem = found.read(entry, record) or _stale(entry, record)
            if record["facts"] and entry["task"] not in tasks:
                components = record["components"]
                tasks[entry["task"]] = {
                    **record["facts"],
                    "description": _description(components["task"]["name"]),
                    "recipe": components["recipe"],
                }
            parameters.setdefault(entry["label"], _parameters(record["components"]))
            if record["environment"]:
                environments[json.dumps(record["environment"], sort_keys=True)] = record[
                    "environment"
                ]
        rows.append(_cell_row(entry, record, problem))
    cells = pd.DataFrame(rows, columns=list(CELL_COLUMNS))
    cells[list(NUMBERS)] = cells[list(NUMBERS)].apply(pd.to_numeric).fillna(math.nan)
    metrics = found.frame("metric", METRIC_COLUMNS)
    return Results(
        name=benchmark["name"],
        baseline=spec.baseline,
        labels=tuple(dict.fromkeys(entry["label"] for entry in benchmark["matrix"])),
        cells=cells,
        metrics=metrics,
        curves=found.frame("curve", CURVE_COLUMNS),
        examples=found.examples(),
        samples=found.frame("sample", SAMPLE_COLUMNS),
        epochs=found.epochs.frame(EPOCH_COLUMNS),
        notes=pd.DataFrame(found.notes, columns=list(NOTE_COLUMNS)),
        tasks=tasks,
        directions=_directions(metrics),
        environments=tuple(environments.values()),
        parameters=parameters,
        spec=resolved,
        trained_elsewhere=bool(benchmark.get("checkpoints")),
    )
