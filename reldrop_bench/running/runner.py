"""Run a benchmark from its spec to its results."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    by_name,
    entry_name,
    measured,
    single,
    with_evaluations,
)
from reldrop_bench.matrix.spec import BenchmarkSpec, Entry, load_spec, read_value
from reldrop_bench.plugins import registry
from reldrop_bench.results import Results
from reldrop_bench.running.cell import Job
from reldrop_bench.running.plan import Plan, PlannedCell, make_plan
from reldrop_bench.store.folder import Store
from reldrop_bench.store.load import load_results
from reldrop_bench.store.records import WEIGHTS_FILE, BenchmarkRecord

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

    def needed(self) -> Iterable[CellSpec]:
        """Return the chosen cells and those that they are compared with."""
        whole = (other for cell in self.chosen for other in (cell, *cell.companions.values()))
        return {cell.key: cell for cell in whole}.values()

    def record(self, only: Collection[str] | None = None) -> BenchmarkRecord:
        """Return what benchmark.json is to say; only: keys of the cells that this is about."""
        before = self.store.read_benchmark() if only is not None else None
        return BenchmarkRecord.of(self.spec, self.cells, self.added, before, only)


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
    plugins = {(plugin.kind, plugin.name) for cell in cells for plugin in cell.plugins}
    for kind, name in sorted(plugins):
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
    store = Store(
        Path(os.path.expanduser(output)) if output is not None else Path("results") / loaded.name
    )
    before = store.claimed(loaded.name)
    own = by_name(measured(loaded))
    added = [] if before is None else before.added
    kept = [entry for entry in added if entry_name(entry) not in own]
    return assemble(loaded, store, kept, (), workers, data, only, executor)


def assemble(
    spec: BenchmarkSpec,
    store: Store,
    kept: Sequence[Entry],
    asked: Sequence[Entry],
    workers: int | None,
    data: str | Path | None,
    only: Sequence[str],
    executor: Entry | None,
) -> Benchmark:
    """Return a benchmark, checked; kept, asked: evaluations beside the spec's, from before and new."""
    installed = registry.names("evaluations")
    usable = [entry for entry in kept if entry_name(entry) in installed]
    root = data_root(data)
    cells = expand(with_evaluations(spec, [*usable, *asked]))
    _check_plugins(cells, root)
    if workers is not None and workers < 0:
        raise UserError(f"workers = {workers} is not allowed: 0 (this process) or more")
    computing = _chosen_executor(executor, workers)
    if computing.name == INLINE_EXECUTOR:
        workers = 0
    count = workers if workers is not None else _devices() or default_workers(spec.threads)
    notes = [
        f"the evaluation {entry_name(entry)!r}, which was added to {store.folder}, cannot be had "
        "here (--plugins?) and is left out"
        for entry in kept
        if entry not in usable
    ]
    chosen, added = select(cells, only), [*kept, *asked]
    return Benchmark(spec, cells, chosen, store, count, computing, root, added, notes)


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


def execute(benchmark: Benchmark, listener: Listener, train: bool = True) -> None:
    """Compute every chosen cell that is not complete, and write its record.

    Without `train` only what is trained already is evaluated.
    """
    store = benchmark.store
    with store.locked():
        if train:
            store.write_benchmark(benchmark.record())
        store.remove_leftovers()
        for note in benchmark.notes:
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
