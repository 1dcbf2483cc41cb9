"""Measure more on what was trained: further evaluations of a results folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from reldrop_bench.errors import UserError
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import by_name, entry_name
from reldrop_bench.matrix.spec import SpecEntry, read_value
from reldrop_bench.plugins import registry
from reldrop_bench.results import Results
from reldrop_bench.running.benchmark import Benchmark, Options, assemble
from reldrop_bench.running.plan import change_of_data
from reldrop_bench.running.runner import Listener, execute
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.folder import Store
from reldrop_bench.store.load import load_results


def prepare_evaluation(
    folder: str | Path, evaluations: Sequence[str], options: Options
) -> Benchmark:
    """Read and check what is needed to evaluate the trained cells of a results folder further.

    Raises
    ------
    UserError
        The folder holds no benchmark, an evaluation cannot be had, or no cell is trained.
    """
    store = Store(Path(os.path.expanduser(folder)))
    before = store.read_benchmark()
    if before is None:
        raise UserError(f"{folder} holds no results; give the folder of a run")
    if before.checkpoints:
        raise UserError(
            f"{folder} holds checkpoints, whose models only their own files can build; "
            "give --model and --weights again"
        )
    asked = [evaluation_entry(text) for text in evaluations]
    registry.refresh(options.plugins)
    names = by_name(asked)
    kept = [entry for entry in before.added if entry_name(entry) not in names]
    benchmark = assemble(before.spec, store, kept, asked, options)
    plan = benchmark.plan()
    missing = [planned for planned in plan.cells if planned.action == "train"]
    _refuse_other_data(store, [planned.cell for planned in missing if planned.cell.data])
    if missing and len(missing) == len(plan.cells):
        raise UserError(
            f"{folder}: of {counted(len(missing), 'cell')}, none can be evaluated without training "
            f"({missing[0].reason}); run the spec first"
        )
    return benchmark


def _refuse_other_data(store: Store, cells: Sequence[CellSpec]) -> None:
    """Raise UserError where cells of a task were trained, and its files hold something else by now."""
    records = list(store.records()) if cells else []
    for cell in cells:
        if change := change_of_data(cell, records):
            raise UserError(
                f"{store.folder}: cells of {cell.task.label} were trained on other data: {change}; "
                "put that back, or run the spec again, which trains them on what lies there now"
            )


def evaluation_entry(text: str) -> SpecEntry:
    """Return what a text of the command line says is to be measured.

    Raises
    ------
    UserError
        It is neither a name nor a mapping.
    """
    entry = read_value(text, "--evaluations")
    if not isinstance(entry, str | dict) or not entry:
        raise UserError(
            f"--evaluations {text!r} is neither a name such as quantus:standard nor a mapping such "
            "as '{occlusion: {max_samples: 100}}'"
        )
    return entry


def evaluate(
    folder: str | Path,
    evaluations: Sequence[str],
    workers: int | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    only: Sequence[str] = (),
    listener: Listener | None = None,
    executor: SpecEntry | None = None,
) -> Results:
    """Add evaluations to the trained cells of a results folder; nothing is trained.

    `evaluations`: names, with a preset behind a colon ("quantus:standard"), or mappings in YAML
    ("{occlusion: {max_samples: 100}}"). They stay with the folder: later runs of the spec keep
    them. One of the same name takes the place of the spec's until the spec is run again. The other
    parameters are those of `run`.

    Raises
    ------
    UserError
        The folder holds no trained cell, or an evaluation cannot be had.
    """
    options = Options(None, workers, plugins, data, (), only, executor)
    benchmark = prepare_evaluation(folder, evaluations, options)
    execute(benchmark, listener or Listener(), train=False)
    return load_results(benchmark.store.folder)
