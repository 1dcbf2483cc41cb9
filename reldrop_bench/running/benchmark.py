"""A spec made ready to be run: its cells, checked, its folder, and what computes them."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.executor import DEFAULT_EXECUTOR, INLINE_EXECUTOR, Executor
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.cells import CellSpec, expand, select
from reldrop_bench.matrix.data import data_of
from reldrop_bench.matrix.entries import (
    ResolvedPlugin,
    by_name,
    entry_name,
    measured,
    single,
    with_evaluations,
)
from reldrop_bench.matrix.outcomes import (
    Declaration,
    DeclaredOutcome,
    declared_outcomes,
    restamped,
)
from reldrop_bench.matrix.spec import BenchmarkSpec, SpecEntry, load_spec, read_value
from reldrop_bench.plugins import registry
from reldrop_bench.results import Unfit
from reldrop_bench.running.foreign import Surroundings, notes_of_imports
from reldrop_bench.running.integrity import State
from reldrop_bench.running.plan import Plan, make_plan
from reldrop_bench.store.benchmarks import BenchmarkRecord
from reldrop_bench.store.declared import declared_directions
from reldrop_bench.store.folder import Store

DATA_VARIABLE = "RELDROP_DATA"

Source = str | Path | Mapping[str, Any] | BenchmarkSpec


@dataclass(frozen=True)
class Options:
    """How a spec is to be run: the arguments of `run`, which says what they are."""

    output: str | Path | None = None
    workers: int | None = None
    plugins: Sequence[str | Path] = ()
    data: str | Path | None = None
    settings: Sequence[str] = ()
    only: Sequence[str] = ()
    executor: SpecEntry | None = None


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
    root: Path | None
    added: Sequence[SpecEntry]
    """Evaluations that were added to the folder beside those of the spec."""
    unfit: Unfit
    """What is left out because it does not fit."""
    notes: Sequence[str]
    """What is to be told when it runs."""
    surroundings: Surroundings
    """What workers are to inherit: as it was before any plugin was imported."""
    outcomes: list[DeclaredOutcome]
    """What it is judged by."""

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
        before = self.store.read_benchmark()
        return BenchmarkRecord.of(
            self.spec, self.cells, self.added, before, only, self._declarations(before), self.unfit
        )

    def _declarations(self, before: BenchmarkRecord | None) -> list[Declaration]:
        former = before.declarations if before is not None else []
        matrix = before.matrix if before is not None else []
        # Of what the folder held, and of what this spec takes over from it.
        keys = {entry.key for entry in matrix} | {cell.key for cell in self.cells}
        done = sum(_is_done(self.store, key) for key in keys)
        cells = max(done, len(matrix) or len(self.cells))
        return restamped(former, self.outcomes, done, cells, self.spec.seed_list)


def _is_done(store: Store, key: str) -> bool:
    try:
        record = store.read_cell(key)
    except ValueError:  # damaged: it will be computed anew
        return False
    return record is not None and record.status == "done"


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


def devices() -> int:
    """Return how many GPUs there are."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def default_workers(threads: int) -> int:
    """Return how many cells fit on this machine at a time: GPUs, or cores / threads a cell."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return devices() or max(1, cores // threads)


def _computing(options: Options, threads: int) -> tuple[int, Executor]:
    """Return how many workers compute the cells, and what starts them."""
    workers, entry = options.workers, options.executor
    if workers is not None and workers < 0:
        raise UserError(f"workers = {workers} is not allowed: 0 (this process) or more")
    if entry is None:
        entry = INLINE_EXECUTOR if workers == 0 else DEFAULT_EXECUTOR
    if isinstance(entry, str):
        entry = read_value(entry, "--executor")
    executor: Executor = single(entry, "executors").plugin
    inline = executor.name == INLINE_EXECUTOR
    if workers is not None and (workers == 0) != inline:
        raise UserError(
            f"workers = {workers} does not go with the executor {executor.name!r}: 0 stands for "
            f"{INLINE_EXECUTOR!r}, this process, and only for that; leave one of the two out"
        )
    count = default_workers(threads) if workers is None and not inline else workers or 0
    return count, executor


def _check_plugins(cells: Sequence[CellSpec], root: Path | None) -> Mapping[str, Facts]:
    """Return the facts of every task.

    Raises
    ------
    UserError
        Data is missing, or a file has changed.
    """
    facts = {cell.task.label: _facts(cell.task, root) for cell in cells}
    plugins = {(plugin.kind, plugin.name) for cell in cells for plugin in cell.plugins}
    for kind, name in sorted(plugins):
        registry.find(kind, name).check_unchanged()
    return facts


def _facts(task: ResolvedPlugin, root: Path | None) -> Facts:
    """Return a task's facts; an error of its data names the command that says what they are."""
    plugin: Task = task.plugin
    try:
        return plugin.facts(root)
    except UserError as error:
        if plugin.origin is None:
            raise
        raise UserError(f"{error}; reldrop-bench data {task.name} says what it needs") from None


def _unprepared(cells: Sequence[CellSpec], root: Path | None) -> list[str]:
    """Say of which tasks the data are yet to be read, which takes minutes."""
    tasks = {cell.task.label: cell.task for cell in cells}
    found = {label: task.plugin.unprepared(root) for label, task in tasks.items()}
    return [
        f"{label}: {text}, by the first cell that needs them (before: reldrop-bench data {tasks[label].name} --prepare)"
        for label, text in found.items()
        if text
    ]


def prepare(spec: Source, options: Options = Options()) -> Benchmark:
    """Read and check everything that a run needs, without writing anything.

    Raises
    ------
    UserError
        Anything in the spec, the settings or the folders that cannot be run.
    """
    registry.refresh(options.plugins)
    loaded = load_spec(spec, options.settings)
    output = Path("results") / loaded.name if options.output is None else options.output
    store = Store(Path(os.path.expanduser(output)))
    before = store.claimed(loaded.name)
    named = by_name(measured(loaded))
    added = [] if before is None else before.added
    kept = [entry for entry in added if entry_name(entry) not in named]
    return assemble(loaded, store, kept, (), options)


def assemble(
    spec: BenchmarkSpec,
    store: Store,
    kept: Sequence[SpecEntry],
    asked: Sequence[SpecEntry],
    options: Options,
) -> Benchmark:
    """Return a benchmark, checked; kept, asked: evaluations beside the spec's, from before and new."""
    surroundings, state = Surroundings.take(), State.take()
    installed = registry.names("evaluations")
    usable = [entry for entry in kept if entry_name(entry) in installed]
    root = data_root(options.data)
    whole = with_evaluations(spec, [*usable, *asked])
    cells, unfit = expand(
        whole, lambda task: data_of(task, root), lambda task: _facts(task, root).offers
    )
    facts = _check_plugins(cells, root)
    workers, executor = _computing(options, spec.threads)
    return Benchmark(
        spec=spec,
        cells=cells,
        chosen=select(cells, options.only),
        store=store,
        workers=workers,
        executor=executor,
        root=root,
        added=[*kept, *asked],
        unfit=unfit,
        notes=[
            f"the evaluation {entry_name(entry)!r}, which was added to {store.folder}, cannot be "
            "had here (--plugins?) and is left out"
            for entry in kept
            if entry not in usable
        ]
        + notes_of_imports(state)
        + _unprepared(cells, root),
        surroundings=surroundings,
        outcomes=declared_outcomes(
            spec.outcomes, declared_directions(cells), [each.offers for each in facts.values()]
        ),
    )
