"""Compute one cell from whatever its record already holds: train, evaluate, write."""

from __future__ import annotations

import json
import os
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reldrop_bench.errors import one_line
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.running.environment import compute_device, describe
from reldrop_bench.running.measuring import (
    Place,
    conclude,
    failure_status,
    measure,
    restored,
    trained_context,
)
from reldrop_bench.running.training import Trained, train
from reldrop_bench.running.watch import ProcessWatch
from reldrop_bench.store.folder import (
    EPOCHS_FILE,
    CellRecord,
    Store,
    facts_record,
    is_trained,
    new_record,
    pending_evaluations,
)


@dataclass(frozen=True)
class Job:
    """A cell with all that a worker needs to compute it; plain data, picklable under spawn."""

    cell: CellSpec
    folder: Path
    root: Path | None
    keep_model: bool = True
    memory_limit: int | None = None
    """Bytes; above it the worker ends itself."""
    device_index: int = 0
    """Which GPU, where there are any."""
    after: frozenset[str] = frozenset()
    """Keys of the jobs that have to end first: their models are what this one is compared with."""

    @property
    def key(self) -> str:
        return self.cell.key

    @property
    def device(self) -> torch.device:
        return compute_device(self.device_index)

    @property
    def heartbeat(self) -> Path:
        """The file that tells other processes what the cell is doing."""
        return self.folder / "running" / f"{self.cell.key}.json"

    def on_device(self, index: int) -> Job:
        """Return the job for a GPU."""
        return replace(self, device_index=index)

    def run(self, worker: bool = True) -> str:
        """Compute what the cell's record lacks; see `run_job`."""
        return run_job(self, worker)

    def is_running(self) -> bool:
        """Return whether some process has begun and has not ended it."""
        return self.heartbeat.exists()

    def note_stopped(self, status: str, reason: str) -> None:
        """Write why the cell stopped that could not do so itself."""
        store = Store(self.folder)
        record = store.read_cell(self.cell.key)
        store.write_cell(failed_record(record, self.cell, status, reason))
        self.heartbeat.unlink(missing_ok=True)


class Heartbeat:
    """A small file that tells other processes what a cell is doing."""

    def __init__(self, job: Job) -> None:
        self.path = job.heartbeat
        self.path.parent.mkdir(parents=True, exist_ok=True)
        identity = job.cell.identity
        self.content: dict[str, Any] = {**identity, "pid": os.getpid(), "started": time.time()}

    def beat(self, stage: str, done: int = 0, total: int = 0) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        temporary.write_text(
            json.dumps({**self.content, "stage": stage, "done": done, "total": total})
        )
        with suppress(
            PermissionError
        ):  # Windows, while another process reads it: the next one counts
            os.replace(temporary, self.path)

    def end(self) -> None:
        self.path.unlink(missing_ok=True)


def failed_record(
    record: CellRecord | None, cell: CellSpec, status: str, error: str, trace: str = ""
) -> CellRecord:
    """Return the record with a failure noted; what it already holds is kept."""
    kept = new_record(cell) if record is None else record
    return {**kept, "status": status, "error": one_line(error), "traceback": trace}


@contextmanager
def numerics(cell: CellSpec) -> Iterator[None]:
    """Fix what changes the last bits: the number of threads, and the choice of kernels on a GPU."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(cell.threads)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


def _peak_memory(watch: ProcessWatch) -> int:
    """Return the bytes used at most so far: on the GPU where there is one, else by the process."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else watch.peak


def _train(
    job: Job, store: Store, record: CellRecord, heartbeat: Heartbeat, watch: ProcessWatch
) -> Trained:
    heartbeat.beat("training", 0, job.cell.recipe.epochs)
    trained = train(
        job.cell,
        job.root,
        progress=lambda epoch, epochs: heartbeat.beat("training", epoch, epochs),
        device=job.device,
    )
    record["facts"] = facts_record(trained.facts)
    record["environment"] = describe(trained.device, job.cell.threads)
    record["training"] = {
        "train_seconds": trained.train_seconds,
        "step_seconds": trained.step_seconds,
        "explained": trained.explained,
        "occluded_fraction": trained.occluded_fraction,
        "samples": trained.samples,
        "epochs": len(trained.epochs),
        "selected_epoch": trained.selected_epoch,
        "energy": trained.energy,
        # Here, so that what evaluations need on top is not held against the method.
        "peak_memory": _peak_memory(watch),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
    }
    store.write_weights(record, trained.model.state_dict())
    store.write_table(record, EPOCHS_FILE, trained.epochs)
    record["trained"] = True
    record["error"] = "stopped before all evaluations were done"
    store.write_cell(record)
    return trained


def _beat(heartbeat: Heartbeat, name: str, index: int, total: int, stage: str) -> None:
    heartbeat.beat(f"{name}: {stage}", index, total)


def _compute(
    job: Job, store: Store, record: CellRecord, heartbeat: Heartbeat, watch: ProcessWatch
) -> None:
    cell, place = job.cell, Place(store, job.root, job.device)
    if is_trained(record):
        context = restored(cell, record, place)
    else:
        trained = _train(job, store, record, heartbeat, watch)
        context = trained_context(cell, record, place, trained.model, trained.facts, trained.epochs)

    def available(key: str) -> bool:
        return is_trained(store.read_cell(key))

    pending = pending_evaluations(cell, record, available)
    for index, choice in enumerate(pending):
        heartbeat.beat(choice.name, index, len(pending))
        context.progress = partial(_beat, heartbeat, choice.name, index, len(pending))
        measure(context, choice, cell.evaluation_key(choice), store, record)
    conclude(record, [choice.name for choice in cell.evaluations])


def run_job(job: Job, worker: bool = True) -> str:
    """Compute what a cell's record lacks and write it; returns the status.

    Every failure that Python can catch becomes the cell's status and traceback. What kills the
    process is noted by the executor that started it.
    """
    store = Store(job.folder)
    cell = job.cell
    heartbeat = Heartbeat(job)
    record = store.read_cell(cell.key) or new_record(cell)
    with (
        warnings.catch_warnings(record=True) as caught,
        ProcessWatch(job.memory_limit, worker) as watch,
        numerics(cell),
    ):
        warnings.simplefilter("default")
        if job.device.type == "cuda":
            torch.cuda.set_device(job.device)
            torch.cuda.reset_peak_memory_stats()
        try:
            if cell.regularizer.error:
                reason = cell.regularizer.error.strip().rpartition("\n")[2]
                record = failed_record(
                    record, cell, "failed", f"import: {reason}", cell.regularizer.error
                )
            else:
                for choice in cell.choices:
                    choice.check_source()
                _compute(job, store, record, heartbeat, watch)
        # A plugin may even call sys.exit; in a worker, where Ctrl-C is not heard, nothing else is meant.
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and not worker:
                raise
            text = f"{type(error).__name__}: {error}"
            record = failed_record(
                record, cell, failure_status(error), text, traceback.format_exc()
            )
    told = dict.fromkeys(one_line(f"{item.category.__name__}: {item.message}") for item in caught)
    record["warnings"] = list(dict.fromkeys([*record["warnings"], *told]))
    record["training"].setdefault("peak_memory", _peak_memory(watch))  # of a training that failed
    store.write_cell(record)
    if record["status"] == "done" and not job.keep_model:
        store.drop_weights(record)
    heartbeat.end()
    return record["status"]
