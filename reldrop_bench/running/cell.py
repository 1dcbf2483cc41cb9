"""Compute one cell from whatever its record already holds: train, evaluate, write."""

from __future__ import annotations

import importlib
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.plugins import registry
from reldrop_bench.results import Status
from reldrop_bench.running import foreign
from reldrop_bench.running.environment import compute_device, describe
from reldrop_bench.running.foreign import IntegrityError, Watch
from reldrop_bench.running.measuring import (
    Workplace,
    conclude,
    failure_status,
    measure,
    restored,
    trained_context,
)
from reldrop_bench.running.output import drop_if_empty, kept_in
from reldrop_bench.running.training import Trained, cell_stream, train
from reldrop_bench.running.watch import ProcessWatch
from reldrop_bench.seeding import global_seed
from reldrop_bench.store.folder import EPOCHS_FILE, Store
from reldrop_bench.store.records import CellRecord, Heartbeat, Training
from reldrop_bench.store.state import is_trained, pending_evaluations

Beat = Callable[[str, int, int], None]
"""Tells other processes what a cell is at: the stage, how much of it is done, and of how much."""


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
    sources: frozenset[str] = frozenset()
    """Plugin modules, not built in, that the cell runs."""
    after: frozenset[str] = frozenset()
    """Keys of the jobs that have to end first: their models are what this one is compared with."""

    @property
    def key(self) -> str:
        return self.cell.key

    @property
    def store(self) -> Store:
        return Store(self.folder)

    @property
    def device(self) -> torch.device:
        return compute_device(self.device_index)

    def on_device(self, index: int) -> Job:
        """Return the job for a GPU."""
        return replace(self, device_index=index)

    def is_running(self) -> bool:
        """Return whether some process has begun and has not ended it."""
        return self.store.heartbeat_file(self.key).exists()

    def spoiled(self) -> bool:
        """Return, in the process that ran it, whether that must not run any other job."""
        return foreign.is_spoiled()

    def note_stopped(self, status: Status, reason: str) -> None:
        """Write why the cell stopped that could not do so itself."""
        record = self.store.read_cell(self.key) or CellRecord.new(self.cell)
        record.end(status, reason)
        self._conclude(record)
        drop_if_empty(self.store.output_file(self.key))

    def _conclude(self, record: CellRecord) -> None:
        self.store.write_cell(record)
        self.store.heartbeat_file(self.key).unlink(missing_ok=True)

    def run(self, worker: bool = True) -> Status:
        """Compute what the cell's record lacks and write it; returns the status.

        Every failure that Python can catch becomes the cell's status and traceback. What kills the
        process is noted by the executor that started it.
        """
        if not worker:  # what is printed is for who looks for a fault
            return self._run(worker)
        with (
            registry.restricted_to(self.sources),
            kept_in(self.store.output_file(self.key)) as look_at_output,
        ):
            status = self._run(worker, look_at_output)
            if not registry.is_restricted():
                foreign.spoil()  # it asked for a plugin that its spec does not name
        return status

    def _run(self, worker: bool, look_at_output: Callable[[], None] = lambda: None) -> Status:
        cell = self.cell
        record = self.store.read_cell(self.key) or CellRecord.new(cell)
        with (
            warnings.catch_warnings(record=True) as caught,
            ProcessWatch(self.memory_limit, worker, look_at_output) as watch,
            numerics(cell),
            global_seed("cell", *cell_stream(cell)),  # what is drawn depends on nothing before it
        ):
            warnings.simplefilter("default")
            if self.device.type == "cuda":
                torch.cuda.set_device(self.device)
                torch.cuda.reset_peak_memory_stats()
            _import_built_in(
                cell
            )  # in a worker, before any other code can have changed what they do
            integrity = Watch(record, self.sources, worker)
            try:
                if cell.regularizer.error:
                    reason = cell.regularizer.error.strip().rpartition("\n")[2]
                    record.end("failed", f"import: {reason}", cell.regularizer.error)
                else:
                    for plugin in cell.plugins:
                        plugin.check_source()
                    cell.check_data(self.root)
                    _refuse_replaced(integrity.look("import", foreign.foreign(cell.plugins)))
                    _compute(self, record, watch, integrity)
            # A plugin may even call sys.exit; in a worker, where Ctrl-C is not heard, nothing else
            # is meant.
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not worker:
                    raise
                text = f"{type(error).__name__}: {error}"
                record.end(failure_status(error), text, traceback.format_exc())
            integrity.look("what it left behind", foreign.foreign(cell.plugins))
        record.note_warnings(caught)
        if record.training.peak_memory is None:  # of a training that failed
            record.training.peak_memory = _peak_memory(watch)
        if record.status == "done" and not self.keep_model:
            self.store.drop_weights(record)
        self._conclude(record)
        return record.status


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


def _heart(store: Store, cell: CellSpec) -> Beat:
    """Return what tells other processes what is computed of a cell."""
    begun = Heartbeat(
        **cell.identity, pid=os.getpid(), started=time.time(), stage="", done=0, total=0
    )

    def beat(stage: str, done: int, total: int) -> None:
        state = {"stage": stage, "done": done, "total": total}
        store.write_heartbeat(begun.model_copy(update=state))

    return beat


def _import_built_in(cell: CellSpec) -> None:
    """Import all built-in plugins of the kinds that a cell uses, and no others."""
    # What is first needed within a cell, so that no cell's time holds it; Fabric puts a function of
    # its own around torch.compile.
    for library in ("lightning_fabric", "pandas", "pyarrow.parquet"):
        importlib.import_module(library)
    with registry.restricted_to(()):
        for kind in {plugin.kind for plugin in cell.plugins}:
            registry.entries(kind)


def _refuse_replaced(replaced: str) -> None:
    if replaced:
        raise IntegrityError(
            f"a plugin replaced {replaced}; nothing that is computed with it is a result"
        )


def _train(
    job: Job, record: CellRecord, beat: Beat, watch: ProcessWatch, integrity: Watch
) -> Trained:
    cell = job.cell
    beat("training", 0, cell.recipe.epochs)
    try:
        trained = train(cell, job.root, progress=partial(beat, "training"), device=job.device)
    finally:
        suspects = foreign.foreign(foreign.training_plugins(cell))
        replaced = integrity.look("training", suspects)
    _refuse_replaced(replaced)
    cell.check_data(job.root)  # what changed meanwhile belongs to no key
    record.deviations = list(dict.fromkeys([*record.deviations, *trained.deviations]))
    record.facts = trained.facts
    record.environment = describe(trained.device, job.cell.threads)
    record.training = Training(
        train_seconds=trained.train_seconds,
        step_seconds=trained.step_seconds,
        explained=trained.explained,
        occluded_fraction=trained.occluded_fraction,
        samples=trained.samples,
        epochs=len(trained.epochs),
        selected_epoch=trained.selected_epoch,
        energy=trained.energy,
        # Here, so that what evaluations need on top is not held against the method.
        peak_memory=_peak_memory(watch),
        parameters=sum(parameter.numel() for parameter in trained.model.parameters()),
    )
    store = job.store
    store.write_weights(record, trained.model.state_dict())
    store.write_table(record, EPOCHS_FILE, trained.epochs)
    record.trained = True
    record.error = "stopped before all evaluations were done"
    store.write_cell(record)
    return trained


def _compute(job: Job, record: CellRecord, watch: ProcessWatch, integrity: Watch) -> None:
    """Train the cell where that has not been done, and do the evaluations that are to be done."""
    cell, store = job.cell, job.store
    beat, workplace = _heart(store, cell), Workplace(store, job.root, job.device)
    if record.is_trained:
        context = restored(cell, record, workplace)
    else:
        trained = _train(job, record, beat, watch, integrity)
        context = trained_context(
            cell, record, workplace, trained.model, trained.facts, trained.epochs
        )

    def available(key: str) -> bool:
        return is_trained(store.read_cell(key))

    pending = pending_evaluations(cell, record, available)
    for index, evaluation in enumerate(pending):
        name = evaluation.name
        beat(name, index, len(pending))

        def progress(stage: str, name: str = name, index: int = index) -> None:
            beat(f"{name}: {stage}", index, len(pending))

        context.progress = progress
        measure(cell, context, evaluation, store, record)
        if not job.sources:
            continue
        running = (
            *foreign.training_plugins(cell),
            *foreign.evaluation_plugins(cell, evaluation),
        )
        if replaced := integrity.look(f"evaluation {name}", foreign.foreign(running)):
            outcome = record.evaluations[name]
            outcome.status, outcome.error = "failed", f"a plugin replaced {replaced}"
        store.write_cell(record)
    conclude(record, cell.evaluations)
