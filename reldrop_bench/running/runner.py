"""Run a benchmark from its spec to its results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from reldrop_bench import plugins as plugin_path
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.executor import (
    DEFAULT_EXECUTOR,
    INLINE_EXECUTOR,
    Executor,
    Resources,
)
from reldrop_bench.matrix.cells import CellSpec, expand, select
from reldrop_bench.matrix.entries import (
    default_evaluations,
    entry_name,
    single,
    with_evaluations,
)
from reldrop_bench.matrix.spec import BenchmarkSpec, Entry, load_spec, read_value
from reldrop_bench.plugins import registry
from reldrop_bench.results import Results
from reldrop_bench.running.cell import Job
from reldrop_bench.running.plan import Plan, PlannedCell, make_plan
from reldrop_bench.store.folder import WEIGHTS_FILE, Store, is_trained, remove_leftovers
from reldrop_bench.store.load import load_results

DATA_VARIABLE = "RELDROP_DATA"

Source = str | Path | Mapping[str, Any] | BenchmarkSpec


class Listener:
    """What is told while a benchmark runs; this one stays silent."""

    def note(self, text: str) -> None:
        """Something worth a line, such as a damaged file that was moved aside."""

    def planned(self, plan: Plan) -> None:
        """The plan is made; computing starts."""

    def finished(self, planned: PlannedCell, status: str) -> None:
        """A cell has ended."""


@dataclass
class Benchmark:
    """A spec with its cells and its folder: what `plan`, `run` and `status` share."""

    spec: BenchmarkSpec
    cells: list[CellSpec]
    chosen: list[CellSpec]
    """The cells that `only` leaves."""
    store: Store
    workers: int
    executor: Executor
    """What computes the cells."""
    root: Path | None = None
    added: Sequence[Entry] = ()
    """Evaluations that were added to the folder beside those of the spec."""
    notes: Sequence[str] = ()
    """What is to be told when it runs."""

    def plan(self, measure: bool = False) -> Plan:
        """Return what is to do; reads only. `measure` times a few steps where nothing is known."""
        keep = self.spec.keep_models == "all"
        return make_plan(self.store, self.chosen, self.workers, keep, self.root, measure)


def data_root(given: str | Path | None) -> Path | None:
    """Return the folder of local data sets: the one given, else RELDROP_DATA, else None."""
    text = given if given is not None else os.environ.get(DATA_VARIABLE)
    if text is None or str(text) == "":
        return None
    root = Path(os.path.expanduser(text))
    if not root.is_dir():
        raise UserError(
            f"data folder {text} does not exist; give an existing folder with --data or {DATA_VARIABLE}"
        )
    return root.resolve()


def default_workers(threads: int) -> int:
    """Return how many cells fit on this machine at a time: cores that may be used / threads a cell."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, cores // threads)


def _chosen_executor(entry: Entry | None, workers: int | None) -> Executor:
    """Return what computes the cells: an entry as specs have it, in YAML or as its text."""
    if entry is None:
        entry = INLINE_EXECUTOR if workers == 0 else DEFAULT_EXECUTOR
    if isinstance(entry, str):
        entry = read_value(entry, "--executor")
    executor: Executor = single(entry, "executors").plugin
    if workers is not None and (workers == 0) != (executor.name == INLINE_EXECUTOR):
        raise UserError(
            f"workers = {workers} does not go with the executor {executor.name!r}: 0 stands for "
            f"{INLINE_EXECUTOR!r}, this process, and only for that; leave one of the two out"
        )
    return executor


def _devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _check_plugins(cells: Sequence[CellSpec], root: Path | None) -> None:
    """Raise UserError where data is missing, a task lacks what is required, or a file has changed."""
    facts = {cell.task.label: cell.task.plugin.facts(root) for cell in cells}
    for kind, name in sorted({(each.kind, each.name) for cell in cells for each in cell.choices}):
        registry.find(kind, name).check_unchanged()
    for cell in cells:
        if cell.regularizer.error:
            continue
        lacking = sorted(cell.regularizer.plugin.requires - facts[cell.task.label].offers)
        if lacking:
            label, task = cell.regularizer.label, cell.task.label
            raise UserError(
                f"regularizer {label!r} needs a task with {' and '.join(lacking)}, which {task!r} has "
                f"not; write 'skip: {{{task}: [{label}]}}' to leave it out there"
            )


def prepare(
    spec: Source,
    output: str | Path | None = None,
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    executor: Entry | None = None,
) -> Benchmark:
    """Read and check everything that a run needs, without writing anything.

    Raises
    ------
    UserError
        Anything in the spec, the settings or the folders that cannot be run.
    """
    for folder in plugins:
        plugin_path.add_folder(folder)
    registry.refresh()
    loaded = load_spec(spec, settings)
    root = data_root(data)
    store = Store(
        Path(os.path.expanduser(output)) if output is not None else Path("results") / loaded.name
    )
    store.check_owner(loaded.name)
    own = default_evaluations() if loaded.evaluations is None else loaded.evaluations
    named = {entry_name(entry) for entry in own}
    added = [entry for entry in _added(store) if entry_name(entry) not in named]
    there = registry.names("evaluations")
    usable = [entry for entry in added if entry_name(entry) in there]
    cells = expand(with_evaluations(loaded, usable))
    _check_plugins(cells, root)
    if workers is not None and workers < 0:
        raise UserError(f"workers = {workers} is not allowed: 0 (this process) or more")
    chosen = _chosen_executor(executor, workers)
    if chosen.name == INLINE_EXECUTOR:
        workers = 0
    count = workers if workers is not None else _devices() or default_workers(loaded.threads)
    notes = [
        f"the evaluation {entry_name(entry)!r}, which was added to {store.folder}, cannot be had "
        "here (--plugins?) and is left out"
        for entry in added
        if entry not in usable
    ]
    return Benchmark(loaded, cells, select(cells, only), store, count, chosen, root, added, notes)


def _added(store: Store) -> list[Entry]:
    found = store.read_benchmark() or {}
    return list(found.get("added", []))


@contextlib.contextmanager
def locked(store: Store) -> Iterator[None]:
    """Hold the folder's lock, which the system frees when the process ends in whatever way."""
    store.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(store.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(
            f"another run is writing to {store.folder}; wait for it (reldrop-bench status) or choose another --output"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _jobs(benchmark: Benchmark, to_do: Sequence[PlannedCell]) -> list[Job]:
    memory = benchmark.spec.limits.memory
    training = frozenset(each.cell.key for each in to_do if each.action == "train")
    # Models that others are compared with are needed for as long as others may come.
    needed = {other.key for cell in benchmark.cells for other in cell.companions.values()}
    return [
        Job(
            cell=cell,
            folder=benchmark.store.folder.resolve(),
            root=benchmark.root,
            keep_model=benchmark.spec.keep_models == "all" or cell.key in needed,
            memory_limit=None if memory is None else round(memory * 2**30),
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
    return record is not None and is_trained(record) and WEIGHTS_FILE in store.damaged_files(record)


def _note_matrix(benchmark: Benchmark, only: Collection[str] | None = None) -> None:
    spec = benchmark.spec.model_dump(mode="json")
    benchmark.store.write_benchmark(spec, benchmark.cells, benchmark.added, only)


def _all_of(cell: CellSpec) -> tuple[CellSpec, ...]:
    """Return a cell and those that it is compared with."""
    return (cell, *cell.companions.values())


def execute(benchmark: Benchmark, listener: Listener, train: bool = True) -> None:
    """Compute every chosen cell that is not complete, and write its record.

    Without `train` only what is trained already is evaluated.
    """
    store = benchmark.store
    with locked(store):
        if train:
            _note_matrix(benchmark)
        remove_leftovers(store.folder)
        for note in benchmark.notes:
            listener.note(note)
        needed = {other.key: other for cell in benchmark.chosen for other in _all_of(cell)}
        lost = set() if train else {key for key in needed if _without_weights(store, key)}
        for cell in needed.values():
            if cell.key in lost:  # nothing is trained again here: the record stays as it is
                listener.note(
                    f"cell {cell.key}: its weights are missing or damaged; it is left out"
                )
            else:
                store.repair(cell, listener.note)
        plan = benchmark.plan()
        if not train:
            able = [each for each in plan.cells if each.action != "train"]
            plan = replace(plan, cells=tuple(each for each in able if each.cell.key not in lost))
            _note_matrix(benchmark, {each.cell.key for each in plan.cells})
        listener.planned(plan)
        to_do = {planned.cell.key: planned for planned in plan.to_do}
        if not to_do:
            return
        jobs = _jobs(benchmark, plan.to_do)
        resources = Resources(benchmark.workers, benchmark.spec.limits.seconds, _devices())
        benchmark.executor.run(
            jobs, lambda job, status: listener.finished(to_do[job.key], status), resources
        )


def run(
    spec: Source,
    output: str | Path | None = None,
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    listener: Listener | None = None,
    executor: Entry | None = None,
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
    benchmark = prepare(spec, output, workers, plugins, data, settings, only, executor)
    execute(benchmark, listener or Listener())
    return load_results(benchmark.store.folder)
