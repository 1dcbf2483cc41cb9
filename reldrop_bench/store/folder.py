"""The folder of a benchmark's results: every file complete or absent, every damage noticed."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import safetensors.torch
from torch import Tensor

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.files import write_atomically
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.store.benchmarks import BenchmarkRecord
from reldrop_bench.store.documents import NewerSchemaError, read_record, write_record
from reldrop_bench.store.records import (
    EPOCHS_FILE,
    OUTPUT_FILE,
    WEIGHTS_FILE,
    CellRecord,
    Heartbeat,
    evaluation_file,
)

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
    import pandas as pd
    import pyarrow as pa

BENCHMARK_FILE = "benchmark.json"
CELL_FILE = "cell.json"


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

    @property
    def running(self) -> Path:
        return self.folder / "running"

    def cell_folder(self, key: str) -> Path:
        return self.cells / key

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, which the system frees when the process ends in whatever way.

        Raises
        ------
        UserError
            Another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UserError(
                f"another run is writing to {self.folder}; wait for it (reldrop-bench status) or "
                "choose another --output"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def read_benchmark(self) -> BenchmarkRecord | None:
        """Return benchmark.json, or None where no benchmark was run.

        Raises
        ------
        UserError
            It cannot be read, or a newer version of this package wrote it; the folder is a file.
        """
        if self.folder.is_file():
            raise UserError(f"{self.folder} is a file; give a folder")
        path = self.folder / BENCHMARK_FILE
        try:
            return read_record(path, BenchmarkRecord)
        except NewerSchemaError as error:
            raise UserError(f"{path} {error}, or choose another --output") from None
        except ValueError as error:
            hint = "move it away and run the spec again: the cells are kept"
            raise UserError(f"{path} {error}; {hint}") from None

    def write_benchmark(self, record: BenchmarkRecord) -> None:
        """Claim the folder for a benchmark and note its matrix.

        Raises
        ------
        UserError
            The folder belongs to another benchmark, or holds something else.
        """
        self.claimed(record.name)
        self.cells.mkdir(parents=True, exist_ok=True)
        write_record(self.folder / BENCHMARK_FILE, record)

    def claimed(self, name: str) -> BenchmarkRecord | None:
        """Return benchmark.json of the benchmark `name`, or None where the folder is free for it.

        Raises
        ------
        UserError
            The folder belongs to another benchmark, or holds something else.
        """
        benchmark = self.read_benchmark()
        if benchmark is None:
            foreign = self.folder.exists() and (
                not self.folder.is_dir()
                or any(not path.name.startswith(".") for path in self.folder.iterdir())
            )
            if foreign and not self.cells.is_dir():
                raise UserError(
                    f"{self.folder} holds something else than results; choose another --output"
                )
        elif benchmark.name != name:
            raise UserError(
                f"{self.folder} holds the results of benchmark {benchmark.name!r}, not of {name!r}; "
                "choose another --output"
            )
        return benchmark

    def read_cell(self, key: str) -> CellRecord | None:
        """Return a cell's record, or None where there is none.

        Raises
        ------
        NewerSchemaError
            A newer version of this package wrote it.
        ValueError
            cell.json is damaged, contradicts itself, or names files that are none of the cell's.
        """
        path = self.cell_folder(key) / CELL_FILE
        try:
            record = read_record(path, CellRecord)
        except NewerSchemaError as error:
            raise NewerSchemaError(f"{CELL_FILE} {error}") from None
        except ValueError as error:
            raise ValueError(f"{CELL_FILE} {error}") from None
        if record is None:
            return None
        if record.key != key:
            raise ValueError(f"{CELL_FILE} is not the record of cell {key}")
        if problem := record.inconsistency:
            raise ValueError(f"{CELL_FILE} contradicts itself: {problem}")
        return record

    def records(self) -> Iterator[CellRecord]:
        """Yield every readable record of a cell, also of cells that the matrix no longer holds."""
        for path in sorted(self.cells.glob(f"*/{CELL_FILE}")):
            with suppress(ValueError):
                if record := self.read_cell(path.parent.name):
                    yield record

    def write_cell(self, record: CellRecord) -> None:
        """Write a cell's record."""
        write_record(self.cell_folder(record.key) / CELL_FILE, record)

    def write_table(self, record: CellRecord, file: str, frame: pd.DataFrame) -> None:
        """Write a table of a cell and note its checksum in `record` (which the caller then writes)."""
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, compression="zstd")
        self._write(record, file, buffer.getvalue())

    def write_weights(self, record: CellRecord, state: Mapping[str, Tensor]) -> None:
        """Write a model's weights and buffers, as `write_table`."""
        tensors = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()
        }
        self._write(record, WEIGHTS_FILE, safetensors.torch.save(tensors))

    def _write(self, record: CellRecord, file: str, content: bytes) -> None:
        record.files[file] = write_atomically(self.cell_folder(record.key) / file, content)

    def read_weights(self, record: CellRecord) -> dict[str, Tensor]:
        """Return a model's weights and buffers.

        Raises
        ------
        ValueError
            The file is missing or damaged.
        """
        return safetensors.torch.load(
            self.read(record.key, WEIGHTS_FILE, record.files.get(WEIGHTS_FILE))
        )

    def drop_weights(self, record: CellRecord) -> None:
        """Forget a cell's weights (`keep_models: none`)."""
        record.files.pop(WEIGHTS_FILE, None)
        self.write_cell(record)
        (self.cell_folder(record.key) / WEIGHTS_FILE).unlink(missing_ok=True)

    def damaged_files(self, record: CellRecord) -> list[str]:
        """Return the files of a record that are missing or differ from their checksum."""
        damaged = []
        for file, checksum in record.files.items():
            try:
                self.read(record.key, file, checksum)
            except ValueError:
                damaged.append(file)
        return damaged

    def read_table(self, record: CellRecord, file: str) -> pd.DataFrame:
        """Return a table of a cell; errors as those of `read_arrow`."""
        frame = self.read_arrow(record.key, file, record.files.get(file)).to_pandas()
        named = frame.select_dtypes("category").columns
        return frame.astype(dict.fromkeys(named, "str"))

    def read_arrow(self, key: str, file: str, checksum: str | None) -> pa.Table:
        """Return a table of a cell as Arrow reads it: several times faster than as a frame.

        Raises
        ------
        ValueError
            The file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = pa.BufferReader(self.read(key, file, checksum))
        # One small buffer: threads and reading ahead would only cost.
        return pq.ParquetFile(content, pre_buffer=False).read(use_threads=False)

    def read(self, key: str, file: str, checksum: str | None) -> bytes:
        """Return a file of a cell.

        Raises
        ------
        ValueError
            It is missing or damaged.
        """
        try:
            content = (self.cell_folder(key) / file).read_bytes()
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {one_line(error.strerror)}") from None
        if hashlib.sha256(content).hexdigest() != checksum:
            raise ValueError(f"{file} is damaged (its checksum differs)")
        return content

    def copy_file(self, source: Store, record: CellRecord, file: str) -> None:
        """Copy a file of a cell's record from another folder.

        Raises
        ------
        ValueError
            It is missing or damaged there.
        """
        content = source.read(record.key, file, record.files.get(file))
        write_atomically(self.cell_folder(record.key) / file, content, durable=False)

    def repair(self, cell: CellSpec, tell: Callable[[str], None]) -> CellRecord | None:
        """Return the record of a cell after moving damaged files aside, so that they are made again.

        Nothing is deleted. What was found is told as one line and noted in the record.

        Raises
        ------
        UserError
            A newer version of this package wrote the record.
        """
        folder = self.cell_folder(cell.key)
        try:
            record = self.read_cell(cell.key)
        except NewerSchemaError as error:
            raise UserError(f"{folder}: {error}, or choose another --output") from None
        except ValueError as error:
            target = _aside(folder)
            folder.rename(target)
            note = f"{one_line(error)}; moved to {target.name}, computed again"
            tell(f"cell {cell.key}: {note}")
            record = CellRecord.new(cell)
            record.error = note  # until it is computed
            record.deviations.append(note)
            self.write_cell(record)
            return record
        damaged = [] if record is None else self.damaged_files(record)
        if record is None or not damaged:
            return record
        for name in damaged:
            note = f"{name} was damaged or missing and was computed again"
            path = folder / name
            if path.exists():
                target = _aside(path)
                path.rename(target)
                note = f"{name} was damaged, kept as {target.name}, and was computed again"
            tell(f"cell {cell.key}: {note}")
            del record.files[name]
            record.deviations.append(note)
            for evaluation in [*record.evaluations]:
                if evaluation_file(evaluation) == name:
                    del record.evaluations[evaluation]
        # Without its training log a cell is not trained: the same bits come out again.
        record.trained = record.trained and EPOCHS_FILE not in damaged
        record.status = "interrupted"
        self.write_cell(record)
        return record

    def output_file(self, key: str) -> Path:
        """Return the file that keeps what the code of a cell prints."""
        return self.cell_folder(key) / OUTPUT_FILE

    def heartbeat_file(self, key: str) -> Path:
        """Return the file that tells other processes what is computed of a cell."""
        return self.running / f"{key}.json"

    def write_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Tell other processes what a cell is at."""
        # Windows, while another process reads it: the next one counts.
        with suppress(PermissionError):
            write_record(self.heartbeat_file(heartbeat.key), heartbeat, durable=False)

    def heartbeats(self) -> list[Heartbeat]:
        """Return what running cells were at when they last told; their processes may have died."""
        heartbeats = []
        for path in sorted(self.running.glob("*.json")):
            with suppress(ValueError):
                heartbeats.append(read_record(path, Heartbeat))
        return [heartbeat for heartbeat in heartbeats if heartbeat is not None]

    def remove_leftovers(self) -> None:
        """Remove temporary files that a killed process left behind."""
        for path in self.cells.glob("*/.*.tmp"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.running, ignore_errors=True)
