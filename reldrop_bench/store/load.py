"""Read a results folder into tidy data frames."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.kinds.record import first_fit
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.components import Components
from reldrop_bench.matrix.entries import with_evaluations
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
    ItemTable,
    Results,
)
from reldrop_bench.store.benchmarks import BenchmarkRecord, MatrixEntry
from reldrop_bench.store.data import data_remarks
from reldrop_bench.store.documents import NewerSchemaError
from reldrop_bench.store.folder import BENCHMARK_FILE, EPOCHS_FILE, Store
from reldrop_bench.store.records import CellRecord, Training, evaluation_file
from reldrop_bench.store.tables import CellNames, Gathered, LongTables

NUMBERS = [name for name in Training.model_fields if name in CELL_COLUMNS]
"""Columns of a cell that its training fills."""


@dataclass
class Gathering:
    """What the cells of a benchmark have written, gathered as it is read."""

    store: Store
    values: LongTables = field(default_factory=lambda: LongTables({"metric", "curve", "sample"}))
    epochs: Gathered = field(default_factory=Gathered)
    notes: list[dict[str, Any]] = field(default_factory=list)
    read_tables: list[tuple[CellNames, str, str]] = field(default_factory=list)
    """Cell, evaluation and checksum."""

    def read(self, entry: MatrixEntry, record: CellRecord) -> str:
        """Add a cell's tables; returns what is wrong with them, or ""."""
        problem, identity = "", entry.identity
        try:
            if checksum := record.files.get(EPOCHS_FILE):
                self.epochs.add(identity, self.store.read_arrow(entry.key, EPOCHS_FILE, checksum))
        except ValueError as error:
            problem = str(error)
        done = record.done
        for name, key in entry.evaluations.items():
            if name not in done or done[name].key != key:
                continue
            file = evaluation_file(name)
            checksum = record.files.get(file, "")
            try:
                self.values.add(identity, name, self.store.read_arrow(entry.key, file, checksum))
            except ValueError as error:
                problem = problem or str(error)
                continue
            self.read_tables.append((identity, name, checksum))
            given = {**identity, "evaluation": name}
            self.notes += [{**given, **note.plain()} for note in done[name].notes]
        return f"{problem}; run the spec again to compute it anew" if problem else ""

    def by_item(self) -> ItemTable:
        """Return the numbers by item, which are read from their files when they are used."""
        self.values.sort()
        with_items = {
            (self.values.identities[place]["key"], name)
            for place, name in self.values.with_examples
        }
        tables = [table for table in self.read_tables if (table[0]["key"], table[1]) in with_items]
        rows = [{**identity, "evaluation": name} for identity, name, _ in tables]
        index = pd.DataFrame(rows, columns=[*IDENTITY, "evaluation"])
        checksums = {(identity["key"], name): checksum for identity, name, checksum in tables}
        return ItemTable(index, partial(read_examples, self.store, checksums))


def read_examples(
    store: Store, checksums: Mapping[tuple[str, str], str], index: pd.DataFrame
) -> pd.DataFrame:
    """Return the examples that rows of an index stand for; see `ItemTable`.

    checksums: of the tables, by key and evaluation.

    Raises
    ------
    UserError
        A table has changed since the results were read.
    """
    examples = LongTables({"example"})
    for row in index.to_dict("records"):
        key, name = row["key"], row["evaluation"]
        file = evaluation_file(name)
        try:
            table = store.read_arrow(key, file, checksums[key, name])
        except ValueError:
            raise UserError(
                f"{file} of cell {key} has changed since the results were read; read them again"
            ) from None
        examples.add({column: row[column] for column in IDENTITY}, name, table)
    return examples.frame("example", EXAMPLE_COLUMNS)


def _cell_row(entry: MatrixEntry, record: CellRecord | None, problem: str) -> dict[str, Any]:
    """Return the cell's row, whatever state its record is in."""
    row: dict[str, Any] = {**entry.identity, "relevance": entry.relevance}
    row |= {"error": problem, "traceback": "", "warnings": [], "deviations": []}
    if record is None:
        return row | {"status": "failed" if problem else "missing"}
    row |= record.training.plain() | {"status": "failed" if problem else record.status}
    if not problem:
        row |= {"error": record.error, "traceback": record.traceback}
    return row | {"warnings": record.warnings, "deviations": record.deviations}


def _stale(entry: MatrixEntry, record: CellRecord) -> str:
    """Say which wanted evaluations a finished cell does not have yet; "" when none."""
    if record.status != "done":
        return ""
    lacking = [
        name
        for name, key in entry.evaluations.items()
        if name not in record.evaluations or record.evaluations[name].key != key
    ]
    return f"not evaluated yet: {', '.join(lacking)}; run the spec again" if lacking else ""


def _declared(
    benchmark: BenchmarkRecord, metrics: pd.DataFrame
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what the evaluations say of the metrics they wrote; see `Results.declared`."""
    known: dict[str, Mapping[str, Any]] = dict(benchmark.metrics)
    declared = {}
    pairs = metrics[["evaluation", "metric"]].drop_duplicates()
    for evaluation, metric in pairs.itertuples(index=False, name=None):
        if evaluation not in known:  # written before the record said it
            known[evaluation] = _metrics_of(evaluation)
        if (found := first_fit(known[evaluation], metric)) is not None:
            declared[evaluation, metric] = (found.direction, found.measures)
    return declared


def _metrics_of(evaluation: str) -> Mapping[str, Any]:
    try:
        cls = registry.find("evaluations", evaluation).cls
    except UserError:
        return {}
    return cast(type[Evaluation], cls).metrics if cls else {}


def _told(name: str) -> dict[str, Any]:
    """Return what the class of a task says of it, where it is installed."""
    try:
        cls = cast(type[Task] | None, registry.find("tasks", name).cls)
    except UserError:
        cls = None
    return {
        "description": cls.description() if cls else "",
        "synthetic": cls.synthetic if cls else None,
    }


def _task(record: CellRecord) -> dict[str, Any]:
    """Return what is known of a cell's task; see `Results.tasks`."""
    components = record.components
    return {
        **record.plain()["facts"],
        **_told(components.task.name),
        "recipe": components.recipe,
        **({"data": components.data.plain()} if components.data else {}),
    }


def _parameters(components: Components) -> dict[str, Any]:
    """Return what a label stands for; see `Results.parameters`."""
    regularizer, relevance = components.regularizer, components.relevance
    whole = {"regularizer": regularizer.name, **regularizer.parameters}
    return whole | ({"relevance": relevance.name} if relevance else {})


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
    rows: list[dict[str, Any]] = []
    gathering = Gathering(store)
    tasks: dict[str, dict[str, Any]] = {}
    environments: dict[str, Any] = {}
    parameters: dict[str, dict[str, Any]] = {}
    matrix: list[tuple[MatrixEntry, CellRecord | None]] = []
    for entry in benchmark.matrix:
        problem = ""
        try:
            record = store.read_cell(entry.key)
        except NewerSchemaError as error:
            record, problem = None, one_line(error)
        except ValueError as error:
            record, problem = None, f"{one_line(error)}; run the spec again to compute it anew"
        if record is not None:
            problem = gathering.read(entry, record) or _stale(entry, record)
            if record.facts and entry.task not in tasks:
                tasks[entry.task] = _task(record)
            parameters.setdefault(entry.label, _parameters(record.components))
            if record.environment:
                text = json.dumps(record.environment, sort_keys=True)
                environments[text] = record.environment
        rows.append(_cell_row(entry, record, problem))
        matrix.append((entry, record))
    cells = pd.DataFrame(rows, columns=list(CELL_COLUMNS))
    cells[NUMBERS] = cells[NUMBERS].apply(pd.to_numeric).fillna(math.nan)
    metrics = gathering.values.frame("metric", METRIC_COLUMNS)
    return Results(
        name=benchmark.name,
        baseline=benchmark.spec.baseline,
        labels=tuple(dict.fromkeys(entry.label for entry in benchmark.matrix)),
        cells=cells,
        metrics=metrics,
        curves=gathering.values.frame("curve", CURVE_COLUMNS),
        by_item=gathering.by_item(),
        samples=gathering.values.frame("sample", SAMPLE_COLUMNS),
        epochs=gathering.epochs.frame(EPOCH_COLUMNS),
        notes=pd.DataFrame(gathering.notes, columns=list(NOTE_COLUMNS)),
        tasks=tasks,
        declared=_declared(benchmark, metrics),
        guided=benchmark.guided,
        trains_with={label: frozenset(kinds) for label, kinds in benchmark.trains_with.items()},
        unfit=benchmark.unfit,
        declarations=tuple(each.plain() for each in benchmark.declarations),
        environments=tuple(environments.values()),
        parameters=parameters,
        spec=with_evaluations(benchmark.spec, benchmark.added).stated(),
        remarks=data_remarks(matrix, store),
        trained_elsewhere=benchmark.checkpoints,
    )
