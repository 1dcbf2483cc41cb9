"""Cell records on disk: every file complete or absent, every damage noticed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
from torch import Tensor

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError, one_line
from reldrop_bench.matrix.cells import SCHEMA, CellSpec
from reldrop_bench.matrix.entries import Choice
from reldrop_bench.matrix.spec import BenchmarkSpec, Entry

BENCHMARK_FILE = "benchmark.json"
CELL_FILE = "cell.json"
EPOCHS_FILE = "train.parquet"
WEIGHTS_FILE = "model.safetensors"

CellRecord = dict[str, Any]
"""The content of cell.json."""


MATRIX_KEYS = {"key", "task", "model", "regularizer", "label", "seed", "relevance", "evaluations"}
PARTS = {"task", "model", "regularizer", "recipe", "seed"}
"""What the components of a record hold at least."""
EMPTY_RECORD: CellRecord = {
    "schema": SCHEMA,
    "key": "",
    "components": {},
    "status": "interrupted",
    "error": "",
    "traceback": "",
    "trained": False,
    "evaluations": {},
    "files": {},
    "training": {},
    "facts": {},
    "environment": {},
    "warnings": [],
    "deviations": [],
}


def new_record(cell: CellSpec) -> CellRecord:
    """Return the record of a cell that nothing is known of yet."""
    return {**copy.deepcopy(EMPTY_RECORD), "key": cell.key, "components": cell.components}


def facts_record(facts: Facts) -> CellRecord:
    """Return a task's facts as a record holds them."""
    return dataclasses.asdict(facts)


def evaluation_identities(cells: Sequence[CellSpec]) -> dict[str, str]:
    """Return by name what the evaluations of a benchmark are: equal digests can be compared."""
    return {
        choice.name: cell.evaluation_identity(choice)
        for cell in cells[:1]  # all cells of a benchmark are measured alike
        for choice in cell.evaluations
    }


def matrix_entry(cell: CellSpec) -> CellRecord:
    """Return what benchmark.json says of a cell."""
    return {
        **cell.identity,
        "relevance": cell.relevance.label if cell.uses_relevance else "",
        "evaluations": {choice.name: cell.evaluation_key(choice) for choice in cell.evaluations},
    }


def evaluation_file(name: str) -> str:
    """Return the file name of an evaluation's table."""
    return f"{name}.parquet"


def write_atomically(path: Path, content: bytes) -> str:
    """Write to a temporary name beside `path`, then rename; returns the content's SHA-256."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return hashlib.sha256(content).hexdigest()


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON atomically; not-a-number is refused, so that any reader can read it."""
    write_atomically(path, json.dumps(value, indent=1, allow_nan=False).encode())


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what names a cell whatever its key is."""
    return tuple(entry[name] for name in ("task", "model", "label", "seed"))


def _is_key(value: Any) -> bool:
    """Return whether it can name the folder of a cell: a results folder may be a stranger's."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]+", value) is not None


def _is_file_name(value: Any) -> bool:
    """Return whether it names a file of a folder, and not one elsewhere."""
    return (
        isinstance(value, str)
        and value not in ("", ".", "..")
        and not re.search(r"[/\\\0]", value)
        and Path(value).name == value
    )


def _check_matrix(matrix: Sequence[CellRecord]) -> None:
    """Raise ValueError where a key or an evaluation cannot be the name of a cell or of its table."""
    for entry in matrix:
        if not _is_key(entry["key"]):
            raise ValueError(f"{entry['key']!r} is no key of a cell")
        for name in entry["evaluations"]:
            if not _is_file_name(evaluation_file(name)):
                raise ValueError(f"{name!r} is no name of an evaluation")


def _aside(path: Path) -> Path:
    """Return a free name for a damaged file or folder to be kept under."""
    number = 1
    while (target := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    return target


@dataclass(frozen=True)
class Store:
    """The folder of one benchmark's results."""

    folder: Path

    @property
    def cells(self) -> Path:
        return self.folder / "cells"

    def cell_folder(self, key: str) -> Path:
        return self.cells / key

    def read_benchmark(self) -> CellRecord | None:
        """Return benchmark.json, or None where no benchmark was run.

        Raises
        ------
        UserError
            It cannot be read, or a newer version of this package wrote it.
        """
        path = self.folder / BENCHMARK_FILE
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            schema = found["schema"]
            if isinstance(schema, int) and schema <= SCHEMA:
                BenchmarkSpec.model_validate(found["spec"])
                assert found["name"] == found["spec"]["name"]
                assert all(set(entry) >= MATRIX_KEYS for entry in found["matrix"])
                _check_matrix(found["matrix"])
        except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            raise UserError(
                f"{path} cannot be read ({one_line(error)}); move it away and run the spec again: "
                "the cells are kept"
            ) from None
        if not isinstance(schema, int) or schema > SCHEMA:
            raise UserError(
                f"{path} has schema {schema}, this version reads up to {SCHEMA}; "
                "install the newer reldrop-bench, or choose another --output"
            )
        return found

    def write_benchmark(
        self,
        spec: Mapping[str, Any],
        cells: Sequence[CellSpec],
        added: Sequence[Entry] = (),
        only: Collection[str] | None = None,
    ) -> None:
        """Claim the folder for a benchmark and note its matrix.

        `added`: evaluations that were asked for beside the spec's own, and stay for later runs.
        `only`: keys of the cells that this is about; the others keep what the matrix says of them.

        Raises
        ------
        UserError
            The folder belongs to another benchmark, or holds something else.
        """
        self.check_owner(spec["name"])
        self.cells.mkdir(parents=True, exist_ok=True)
        known, identities = {}, {}
        if only is not None:
            found = self.read_benchmark() or {"matrix": []}
            known = {_place(entry): entry for entry in found["matrix"]}
            identities = found.get("evaluation_identities", {})
        matrix = [
            known[_place(cell.identity)]
            if only is not None and cell.key not in only and _place(cell.identity) in known
            else matrix_entry(cell)
            for cell in cells
        ]
        content = {
            "schema": SCHEMA,
            "name": spec["name"],
            "spec": spec,
            "added": list(added),
            "evaluation_identities": {**identities, **evaluation_identities(cells)},
            "matrix": matrix,
        }
        write_json(self.folder / BENCHMARK_FILE, content)

    def check_owner(self, name: str) -> None:
        """Raise UserError unless the folder is empty, missing or of the benchmark `name`."""
        found = self.read_benchmark()
        if found is None:
            foreign = self.folder.exists() and (
                not self.folder.is_dir()
                or any(not path.name.startswith(".") for path in self.folder.iterdir())
            )
            if foreign and not self.cells.is_dir():
                raise UserError(
                    f"{self.folder} holds something else than results; choose another --output"
                )
        elif found["name"] != name:
            raise UserError(
                f"{self.folder} holds the results of benchmark {found['name']!r}, not of {name!r}; "
                "choose another --output"
            )

    def read_cell(self, key: str) -> CellRecord | None:
        """Return a cell's record, or None where there is none.

        Raises
        ------
        ValueError
            cell.json is damaged, or names files that are none of the cell's.
        """
        if not _is_key(key):
            raise ValueError(f"{key!r} is no key of a cell")
        path = self.cell_folder(key) / CELL_FILE
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{CELL_FILE} is damaged: {one_line(error)}") from None
        if (
            not isinstance(record, dict)
            or not EMPTY_RECORD.keys() <= record.keys()
            or record["key"] != key
            or not isinstance(record["components"], dict)
            or not record["components"].keys() >= PARTS
            or not isinstance(record["files"], dict)
        ):
            raise ValueError(f"{CELL_FILE} is not the record of cell {key}")
        if not isinstance(record["schema"], int) or record["schema"] > SCHEMA:
            raise ValueError(
                f"{CELL_FILE} has schema {record['schema']}, this version reads up to {SCHEMA}"
            )
        for name in record["files"]:
            if not _is_file_name(name):
                raise ValueError(f"{CELL_FILE} names a file that is none of the cell's: {name!r}")
        return record

    def write_cell(self, record: CellRecord) -> None:
        """Write a cell's record."""
        folder = self.cell_folder(record["key"])
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CELL_FILE, record)

    def write_table(self, record: CellRecord, file: str, frame: pd.DataFrame) -> None:
        """Write a table of a cell and note its checksum in `record` (which the caller then writes)."""
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, compression="zstd")
        folder = self.cell_folder(record["key"])
        folder.mkdir(parents=True, exist_ok=True)
        record.setdefault("files", {})[file] = write_atomically(folder / file, buffer.getvalue())

    def write_weights(self, record: CellRecord, state: Mapping[str, Tensor]) -> None:
        """Write a model's weights and buffers."""
        tensors = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()
        }
        folder = self.cell_folder(record["key"])
        folder.mkdir(parents=True, exist_ok=True)
        content = safetensors.torch.save(tensors)
        record.setdefault("files", {})[WEIGHTS_FILE] = write_atomically(
            folder / WEIGHTS_FILE, content
        )

    def read_weights(self, record: CellRecord) -> dict[str, Tensor]:
        """Return a model's weights and buffers.

        Raises
        ------
        ValueError
            The file is missing or damaged.
        """
        return safetensors.torch.load(self._read(record, WEIGHTS_FILE))

    def drop_weights(self, record: CellRecord) -> None:
        """Forget a cell's weights (`keep_models: none`)."""
        record.get("files", {}).pop(WEIGHTS_FILE, None)
        self.write_cell(record)
        (self.cell_folder(record["key"]) / WEIGHTS_FILE).unlink(missing_ok=True)

    def damaged_files(self, record: CellRecord) -> list[str]:
        """Return the files of a record that are missing or differ from their checksum."""
        folder = self.cell_folder(record["key"])
        damaged = []
        for name, checksum in record.get("files", {}).items():
            path = folder / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != checksum:
                damaged.append(name)
        return damaged

    def read_table(self, record: CellRecord, file: str) -> pd.DataFrame:
        """Return a table of a cell.

        Raises
        ------
        ValueError
            The file is missing or damaged.
        """
        frame = self.read_arrow(record, file).to_pandas()
        named = frame.select_dtypes("category").columns
        return frame.astype(dict.fromkeys(named, "str"))

    def read_arrow(self, record: CellRecord, file: str) -> pa.Table:
        """Return a table of a cell as Arrow reads it: several times faster than as a frame.

        Raises
        ------
        ValueError
            The file is missing or damaged.
        """
        content = pa.BufferReader(self._read(record, file))
        # One small buffer: threads and reading ahead would only cost.
        return pq.ParquetFile(content, pre_buffer=False).read(use_threads=False)

    def _read(self, record: CellRecord, file: str) -> bytes:
        """Return a file of a cell after a look at its checksum."""
        path = self.cell_folder(record["key"]) / file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {one_line(error.strerror)}") from None
        if hashlib.sha256(content).hexdigest() != record.get("files", {}).get(file):
            raise ValueError(f"{file} is damaged (its checksum differs)")
        return content

    def repair(self, cell: CellSpec, tell: Callable[[str], None]) -> CellRecord | None:
        """Return the record of a cell after moving damaged files aside, so that they are made again.

        Nothing is deleted. What was found is told as one line and noted in the record.
        """
        folder = self.cell_folder(cell.key)
        try:
            record = self.read_cell(cell.key)
        except ValueError as error:
            target = _aside(folder)
            folder.rename(target)
            note = f"{one_line(error)}; moved to {target.name}, computed again"
            tell(f"cell {cell.key}: {note}")
            record = {**new_record(cell), "deviations": [note]}
            self.write_cell(record)
            return record
        if record is None:
            return None
        damaged = self.damaged_files(record)
        for name in damaged:
            note = f"{name} was damaged or missing and was computed again"
            path = folder / name
            if path.exists():
                target = _aside(path)
                path.rename(target)
                note = f"{name} was damaged, kept as {target.name}, and was computed again"
            tell(f"cell {cell.key}: {note}")
            del record["files"][name]
            record.setdefault("deviations", []).append(note)
            for evaluation in [
                key for key in record["evaluations"] if evaluation_file(key) == name
            ]:
                del record["evaluations"][evaluation]
        if EPOCHS_FILE in damaged:
            # Without its training log a cell is not trained: the same bits come out again.
            record["trained"] = False
        if damaged:
            record["status"] = "interrupted"
            self.write_cell(record)
        return record


def is_trained(record: CellRecord | None) -> bool:
    """Return whether a cell's model can be had from its record."""
    return record is not None and record["trained"] and WEIGHTS_FILE in record["files"]


def pending_evaluations(
    cell: CellSpec, record: CellRecord | None, available: Callable[[str], bool]
) -> list[Choice]:
    """Return the evaluations of a cell that are to be done.

    Those that its record lacks, has under another key or has failed; and those that lacked the
    model of another cell which is `available`, by key, by now.
    """
    done = {} if record is None else record["evaluations"]

    def is_done(choice: Choice) -> bool:
        outcome = done.get(choice.name)
        if outcome is None or outcome["key"] != cell.evaluation_key(choice):
            return False
        lacking = [cell.companions[role].key for role in outcome.get("lacking", ())]
        return outcome["status"] == "done" and not any(map(available, lacking))

    return [choice for choice in cell.evaluations if not is_done(choice)]


def is_complete(
    cell: CellSpec, record: CellRecord | None, available: Callable[[str], bool]
) -> bool:
    """Return whether nothing is left to do for a cell; `available` as in `pending_evaluations`."""
    return (
        record is not None
        and record["status"] == "done"
        and not pending_evaluations(cell, record, available)
    )


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left behind."""
    for path in folder.glob("cells/*/.*.tmp"):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / "running", ignore_errors=True)
