"""Results of many cells, made of a few that were run, and written through `Store` as a run writes them."""

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.running.runner import run
from reldrop_bench.seeding import numpy_generator
from reldrop_bench.store.benchmarks import BenchmarkRecord
from reldrop_bench.store.folder import BENCHMARK_FILE, EPOCHS_FILE, Store
from reldrop_bench.store.records import CellRecord, evaluation_file

SHAPES = {100: (5, 4, 5), 1000: (10, 10, 10), 10000: (20, 25, 20)}
"""Labels, tasks and seeds by the number of cells."""
BASELINE = "none"
EVALUATIONS: list[str | dict[str, Any]] = [
    "accuracy", "calibration", "shifts", {"occlusion": {"fills": ["mean", "noise", "inpaint"]}},
    "faithfulness", "diversity", "agreement", "cues", "generalization", "cost", "gallery",
]  # fmt: skip


def spec_of(labels: int, tasks: int, seeds: int) -> BenchmarkSpec:
    data = {"samples": 160, "test_samples": 200}
    sizes = [round(0.2 + 0.02 * number, 2) for number in range(labels - 1)]
    return BenchmarkSpec.model_validate(
        {
            "name": f"speed-{labels * tasks * seeds}",
            "tasks": [{"cue-images": data | {"generation_seed": seed}} for seed in range(tasks)],
            "model": {"small-cnn": {"width": 4}},
            "regularizers": [BASELINE, *({"cutout": {"size": size}} for size in sizes)],
            "recipe": {"epochs": 8},
            "seeds": seeds,
            "evaluations": EVALUATIONS,
        }
    )


def role(cell: CellSpec) -> tuple[bool, bool]:
    """Return what decides which other cells a cell is compared with, and whether it has pictures."""
    return cell.regularizer.label == BASELINE, cell.seed == 0


def varied(frame: pd.DataFrame, cell: CellSpec, file: str) -> pd.DataFrame:
    """Return a table with other values of its metrics and curves."""
    noise = numpy_generator("speed", cell.key, file).normal(1, 0.02, len(frame))
    return frame.assign(value=frame["value"].where(frame["item"] >= 0, frame["value"] * noise))


def write_cells(cells: list[CellSpec], folder: Path, patterns: Path) -> None:
    """Write each cell as a finished run leaves it, but for the weights."""
    store, source = Store(folder), Store(patterns)
    run_before = {role(cell): source.read_cell(cell.key) for cell in expand(spec_of(2, 1, 2)).cells}
    tables = {
        key: {file: source.read_table(record, file) for file in record.files if "parquet" in file}
        for key, record in run_before.items()
        if record is not None
    }
    for cell in cells:
        pattern = run_before[role(cell)]
        assert pattern is not None
        record = CellRecord.new(cell)
        record.training, record.facts = pattern.training, pattern.facts
        record.environment, record.trained = pattern.environment, True
        store.write_table(record, EPOCHS_FILE, tables[role(cell)][EPOCHS_FILE])
        for evaluation in cell.evaluations:
            file = evaluation_file(evaluation.name)
            store.write_table(record, file, varied(tables[role(cell)][file], cell, file))
            outcome = pattern.evaluations[evaluation.name]
            key = cell.evaluation_key(evaluation)
            record.evaluations[evaluation.name] = outcome.model_copy(update={"key": key})
        record.end("done")
        store.write_cell(record)


def write_results(count: int, folder: Path) -> None:
    """Write a results folder of so many cells, unless it is there."""
    if (folder / BENCHMARK_FILE).is_file():
        return
    spec = spec_of(*SHAPES[count])
    cells = expand(spec).cells
    folder.mkdir(parents=True, exist_ok=True)
    print(f"writing {count} cells", file=sys.stderr)
    with tempfile.TemporaryDirectory() as patterns, ProcessPoolExecutor(2) as pool:
        run(spec_of(2, 1, 2), output=patterns, workers=0)
        work = partial(write_cells, folder=folder, patterns=Path(patterns))
        list(pool.map(work, [cells[::2], cells[1::2]]))
    Store(folder).write_benchmark(BenchmarkRecord.of(spec, cells))  # last: all is there
