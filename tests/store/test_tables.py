"""Many tables as few frames: the same values that pandas reads one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from reldrop_bench import load_results
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.record import Record
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.results import EPOCH_COLUMNS, EXAMPLE_COLUMNS, IDENTITY, METRIC_COLUMNS
from reldrop_bench.store.benchmarks import BenchmarkRecord
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import EPOCHS_FILE, CellRecord, EvaluationOutcome, evaluation_file
from reldrop_bench.store.tables import Gathered, LongTables

pytestmark = pytest.mark.usefixtures("plugin_folder")


def made_up(number: int) -> Record:
    record = Record()
    random = np.random.default_rng(number)
    for name in range(60):  # few names a table, many in all
        record.metric("test", f"metric {number} {name}", random.normal())
    record.examples("test", "right", random.random(5))
    record.curve("test", "curve", [0, 1], random.random(2))
    return record


@pytest.fixture
def folder(tiny_spec: dict[str, Any], tmp_path: Path) -> Path:
    """Results of which no cell was really trained: tables as evaluations write them, whatever they say."""
    spec = BenchmarkSpec.model_validate(tiny_spec)
    cells, store = expand(spec).cells, Store(tmp_path)
    store.write_benchmark(BenchmarkRecord.of(spec, cells))
    epochs = pd.DataFrame({name: [1.0] for name in EPOCH_COLUMNS if name not in IDENTITY})
    for number, cell in enumerate(cells):
        record = CellRecord.new(cell)
        record.trained = True
        store.write_table(record, EPOCHS_FILE, epochs)
        record.end("done")
        for evaluation in cell.evaluations:
            store.write_table(record, evaluation_file(evaluation.name), made_up(number).frame())
            key = cell.evaluation_key(evaluation)
            record.evaluations[evaluation.name] = EvaluationOutcome(key=key, status="done")
        store.write_cell(record)
    return tmp_path


def by_pandas(folder: Path, kind: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read the same tables one by one, in the order of the matrix."""
    benchmark = Store(folder).read_benchmark()
    assert benchmark is not None
    parts = []
    for entry in benchmark.matrix:
        for name in entry.evaluations:
            frame = pd.read_parquet(folder / "cells" / entry.key / evaluation_file(name))
            frame = frame[frame["table"] == kind].astype({"split": "str", "metric": "str"})
            parts.append(frame.assign(**entry.identity, evaluation=name))
    return pd.concat(parts, ignore_index=True)[list(columns)]


def test_frames_are_those_that_pandas_reads_file_by_file(folder: Path) -> None:
    results = load_results(folder)
    assert results.metrics["metric"].nunique() > 128  # more names than one table's codes can tell
    for found, kind, columns in (
        (results.metrics, "metric", METRIC_COLUMNS),
        (results.examples, "example", EXAMPLE_COLUMNS),
    ):
        pd.testing.assert_frame_equal(found, by_pandas(folder, kind, columns), check_exact=True)


def test_examples_are_read_when_they_are_first_used(folder: Path) -> None:
    results = load_results(folder).changed(margin=0.02)
    assert results.margin == 0.02
    first = next(folder.glob("cells/*/*.parquet"))
    content = first.read_bytes()
    first.write_bytes(content[:-1])
    with pytest.raises(UserError, match="has changed since the results were read"):
        _ = results.examples
    first.write_bytes(content)
    assert results.examples is results.examples
    assert len(results.examples) == 5 * len(results.metrics) / 60


def test_names_may_come_as_plain_texts_and_tables_without_rows_leave_nothing() -> None:
    values = LongTables({"metric"})
    names = {"table": ["metric"] * 2, "split": ["test"] * 2, "metric": ["b", "a"]}
    table = pa.table({**names, "item": [-1, -1], "x": [None, None], "value": [1.0, 2.0]})
    identity = dict(zip(IDENTITY, ("k", "task", "model", "plain", "label", 3), strict=True))
    values.add(identity, "own", table)
    values.add(identity, "none", table.slice(0, 0))
    frame = values.frame("metric", METRIC_COLUMNS)
    assert frame[["metric", "value", "seed"]].to_numpy().tolist() == [["b", 1, 3], ["a", 2, 3]]
    assert set(frame["evaluation"]) == {"own"}
    assert list(values.frame("curve", METRIC_COLUMNS)) == list(METRIC_COLUMNS)


def test_a_column_that_no_table_has_is_told() -> None:
    gathered = Gathered()
    gathered.add({"key": "k"}, pa.table({"epoch": [1, 2]}))
    assert gathered.frame(("key", "epoch"))["epoch"].tolist() == [1, 2]
    with pytest.raises(KeyError, match="seconds"):
        gathered.frame(("key", "seconds"))


def test_the_examples_of_one_evaluation_are_those_of_the_whole(folder: Path) -> None:
    unread, read = load_results(folder), load_results(folder)
    rows = read.examples
    first = rows.iloc[0]
    own = unread.examples_of(first["task"], first["model"], first["evaluation"])
    assert 0 < len(own) < len(rows)
    pd.testing.assert_frame_equal(
        own, read.examples_of(first["task"], first["model"], first["evaluation"])
    )
    found, expected = (
        results.with_examples().sort_values(["key", "evaluation"], ignore_index=True)
        for results in (unread, read)
    )
    pd.testing.assert_frame_equal(found, expected)
