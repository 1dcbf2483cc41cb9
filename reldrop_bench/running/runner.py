"""Run a benchmark from its spec to its results."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from reldrop_bench.errors import FULL, UserError, one_line, where
from reldrop_bench.kinds.executor import Executor, Resources
from reldrop_bench.kinds.executor import Job as AnyJob
from reldrop_bench.matrix.spec import SpecEntry
from reldrop_bench.plugins import registry
from reldrop_bench.results import Results, Status, told
from reldrop_bench.running.benchmark import Benchmark, Options, Source, devices, prepare
from reldrop_bench.running.cell import Job
from reldrop_bench.running.foreign import sources
from reldrop_bench.running.plan import Plan, PlannedCell
from reldrop_bench.running.timings import remember, timing_of
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import WEIGHTS_FILE, CellRecord


class Listener:
    """What is told while a benchmark runs; this one stays silent."""

    def note(self, text: str) -> None:
        """Something worth a line, such as a damaged file that was moved aside."""

    def planned(self, plan: Plan) -> None:
        """The plan is made; computing starts."""

    def finished(self, planned: PlannedCell, status: str) -> None:
        """A cell has ended."""


def _jobs(benchmark: Benchmark, to_do: Sequence[PlannedCell]) -> list[Job]:
    memory = benchmark.spec.limits.memory
    training = frozenset(planned.cell.key for planned in to_do if planned.action == "train")
    # Models that others are compared with are needed for as long as others may come.
    needed = {other.key for cell in benchmark.cells for other in cell.companions.values()}
    return [
        Job(
            cell=cell,
            folder=benchmark.store.folder.resolve(),
            root=benchmark.root,
            keep_model=benchmark.spec.keep_models == "all" or cell.key in needed,
            memory_limit=None if memory is None else round(memory * 2**30),
            sources=sources(cell),
            after=training & {other.key for other in cell.companions.values()} - {cell.key},
        )
        for cell in (planned.cell for planned in to_do)
    ]


def _without_weights(store: Store, key: str) -> bool:
    """Return whether a cell's weights should be there and are not as they were written."""
    try:
        record = store.read_cell(key)
    except ValueError:
        return False
    return record is not None and record.is_trained and WEIGHTS_FILE in store.damaged_files(record)


def _repair(benchmark: Benchmark, listener: Listener, train: bool) -> set[str]:
    """Move damaged files aside; returns the keys of cells that cannot be had without training.

    Without `train` the records of those stay as they are.
    """
    store, lost = benchmark.store, set()
    for cell in benchmark.needed():
        if not train and _without_weights(store, cell.key):
            listener.note(f"cell {cell.key}: its weights are missing or damaged; it is left out")
            lost.add(cell.key)
        else:
            store.repair(cell, listener.note)
    return lost


def _tell_of_lost_processes(store: Store, listener: Listener) -> None:
    """Name the cells whose process has ended, some time before, without being able to say so."""
    for beat in store.heartbeats():
        listener.note(
            f"{beat.task} · {beat.label} · seed {beat.seed}: the process that computed it before (pid "
            f"{beat.pid}) ended without a word while it was at {beat.stage}; if that happens again, "
            "run with --workers 1 to see why"
        )


def _stop_where_the_disk_is_full(record: CellRecord, store: Store) -> None:
    """End the run where a cell failed for want of disk: every further one would be trained in vain."""
    full = next((code for code in FULL if os.strerror(code) in record.error), None)
    if full is not None:
        raise OSError(full, os.strerror(full), str(store.folder))


def _remember_times(store: Store, ended: Sequence[PlannedCell]) -> None:
    """Keep how long the cells took that are done by now, for the plans of other benchmarks."""
    timings = []
    for planned in ended:
        try:
            record = store.read_cell(planned.cell.key)
        except ValueError:  # damaged: the next run says so
            continue
        if record is not None and record.status == "done":
            trained = planned.action == "train"
            timings.append(timing_of(record, planned.evaluations, trained))
    remember(timing for timing in timings if timing is not None)


def execute(benchmark: Benchmark, listener: Listener, train: bool = True) -> None:
    """Compute every chosen cell that is not complete, and write its record.

    Without `train` only what is trained already is evaluated.
    """
    store = benchmark.store
    with store.locked():
        if train:
            store.write_benchmark(benchmark.record())
        _tell_of_lost_processes(store, listener)
        store.remove_leftovers()
        for note in [*benchmark.notes, *told(benchmark.unfit)]:
            listener.note(note)
        lost = _repair(benchmark, listener, train)
        plan = benchmark.plan()
        if not train:
            able = [planned for planned in plan.cells if planned.action != "train"]
            plan = replace(plan, cells=tuple(p for p in able if p.cell.key not in lost))
            keys = {planned.cell.key for planned in plan.cells}
            store.write_benchmark(benchmark.record(keys))
        listener.planned(plan)
        to_do = {planned.cell.key: planned for planned in plan.to_do}
        if not to_do:
            return
        try:
            _compute(benchmark, to_do, listener)
        finally:
            _remember_times(store, plan.to_do)


def _compute(benchmark: Benchmark, to_do: Mapping[str, PlannedCell], listener: Listener) -> None:
    """Let the executor compute cells, and take from it only what their records say as well."""
    executor, store = benchmark.executor, benchmark.store
    untold = set(to_do)
    stop: Exception | None = None

    def finished(job: AnyJob, told: Status) -> None:
        nonlocal stop
        if job.key not in untold:  # told before, or of no cell of this run
            return
        record = store.read_cell(job.key)
        status = "missing" if record is None else record.status
        untold.discard(job.key)
        try:
            if status != told:
                raise UserError(
                    f"executor {executor.name!r} tells {one_line(repr(told), 40)} of cell {job.key}, whose "
                    f"record says {status!r}; {_look_at(executor)}"
                )
            listener.finished(to_do[job.key], status)
            if record is not None and status == "failed":
                _stop_where_the_disk_is_full(record, store)
        except Exception as error:
            stop = error
            raise

    jobs = _jobs(benchmark, list(to_do.values()))
    resources = Resources(benchmark.workers, benchmark.spec.limits.seconds, devices())
    built_in = registry.find("executors", executor.name).built_in
    # One of one's own may need what it has set itself.
    ours = executor.isolates and built_in
    try:
        with benchmark.surroundings.restored() if ours else nullcontext():
            executor.run(jobs, finished, resources)
    except Exception as error:
        if built_in or error is stop:
            raise
        raise UserError(
            f"executor {executor.name!r} raised {one_line(f'{type(error).__name__}: {error}')} "
            f"({where(error)}); {_look_at(executor)}"
        ) from error
    if stop is not None:
        raise stop
    if untold:
        cells = counted(len(untold), "cell", total=len(to_do))
        raise UserError(
            f"executor {executor.name!r} returned without telling how {cells} ended; "
            f"{_look_at(executor)}"
        )


def _look_at(executor: Executor) -> str:
    return f"what is computed is kept; `reldrop-bench check {executor.name}` says what to mend"


def run(
    spec: Source,
    output: str | Path | None = None,
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    listener: Listener | None = None,
    executor: SpecEntry | None = None,
) -> Results:
    """Run a benchmark; what exists already is not computed again.

    Parameters
    ----------
    spec
        A shipped name, a YAML file, a mapping or a `BenchmarkSpec`.
    output
        Folder of the results; ``results/<name>`` by default.
    workers
        Processes that compute cells; by default as many as fit on the machine, 0 for this process
        alone (no isolation, no time limit: for a debugger). Results do not depend on it. Scripts
        that use processes need the usual ``if __name__ == "__main__":``.
    plugins
        Folders with plugins.
    data
        Folder of local data sets; RELDROP_DATA by default.
    settings
        Overrides of the spec such as ``recipe.epochs=3``.
    only
        Conditions such as ``task=digits`` that the cells to compute must meet.
    listener
        What is told while it runs.
    executor
        What computes the cells: the name of an executor or a mapping such as ``{NAME: {…}}``. Results
        and their keys do not depend on it.

    Raises
    ------
    UserError
        Something in the spec or the folders is wrong; nothing was started.
    """
    options = Options(output, workers, plugins, data, settings, only, executor)
    benchmark = prepare(spec, options)
    execute(benchmark, listener or Listener())
    from reldrop_bench.store.load import load_results

    return load_results(benchmark.store.folder)
