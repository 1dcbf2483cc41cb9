"""What a run would do, before it does it: cells, reasons, time and disk."""

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import Components
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.running.estimates import NO_TIME, Book, Estimate, Span
from reldrop_bench.running.timings import Timing, remembered, this_machine, timing_of
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import CellRecord
from reldrop_bench.store.state import (
    data_change,
    differences,
    is_complete,
    is_trained,
    pending_evaluations,
)

Action = Literal["train", "evaluate", "cached"]

MOST_MEASURING = 0.5
"""What evaluations may take of the training's time without a word."""
START = Span(10.0, 4.0, 30.0)
"""What processes take until they compute their first cell."""
MOST_LOAD = 4.0
"""Factor by which other work on the machine draws a range out at most."""
TABLES_BYTES = 400_000
"""Disk that the tables of a cell take where no finished cell tells."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell, what is to be done for it and why."""

    cell: CellSpec
    action: Action
    reason: str
    evaluations: tuple[ResolvedPlugin, ...] = ()
    """Those that are to be done."""
    estimate: Estimate = NO_TIME

    @property
    def seconds(self) -> float | None:
        """Estimated seconds on one worker; None: nothing to go by."""
        total = self.estimate.total
        return None if total is None else total.middle

    def row(self) -> dict[str, Any]:
        """Return plain data for tables and JSON."""
        total = self.estimate.total
        return {
            **self.cell.identity,
            "action": self.action,
            "reason": self.reason,
            "seconds": None if total is None else total.middle,
            "seconds_low": None if total is None else total.low,
            "seconds_high": None if total is None else total.high,
        }


@dataclass(frozen=True)
class Plan:
    """All cells of a run with the totals."""

    cells: tuple[PlannedCell, ...]
    workers: int
    disk_bytes: int
    """Estimated disk that the cells still to be trained will take."""
    load: float = 1.0
    """How many processes wait for each core; above 1, the truth may be that much longer."""
    fast: Mapping[str, float] = field(default_factory=dict)
    """Which share of its time an evaluation takes in size fast, where that is less."""

    @property
    def to_do(self) -> list[PlannedCell]:
        return [planned for planned in self.cells if planned.action != "cached"]

    @property
    def span(self) -> Span | None:
        """Estimated wall time with this number of workers; None where nothing is known.

        Cells of which nothing is known count like the others.
        """
        totals = [planned.estimate.total for planned in self.to_do]
        known = [total for total in totals if total is not None]
        if not self.to_do:
            return Span()
        if not known:
            return None
        whole = sum(known, start=Span()) * (len(totals) / len(known))
        if self.workers:
            busy = min(self.workers, len(totals))
            whole = whole * (1 / busy) + START
        return replace(whole, high=whole.high * min(max(self.load, 1.0), MOST_LOAD))

    @property
    def seconds(self) -> float | None:
        """What is expected of `span`."""
        return None if self.span is None else self.span.middle

    @property
    def not_counted(self) -> list[str]:
        """Evaluations of which it is not known, for some cell, how long they take."""
        missing = (name for planned in self.to_do for name in planned.estimate.missing)
        return list(dict.fromkeys(missing))

    @property
    def advice(self) -> str:
        """Say that evaluations take more than half of the training's time, where they do, and what helps."""
        training, evaluations = self.shares
        measuring = sum(evaluations.values())
        if measuring <= MOST_MEASURING * training or not training:
            return ""
        line = f"evaluations take about {_times(measuring / training)} as long as training"
        saved = {name: evaluations[name] * (1 - share) for name, share in self.fast.items()}
        worth = [name for name in saved if saved[name] > 0.05 * measuring]
        if worth:
            left = (measuring - sum(saved[name] for name in worth)) / training
            names = ", ".join(f"{name}:fast" for name in worth)
            line += f"; with {names} in 'evaluations:' about {_times(left)}"
        return line

    @property
    def shares(self) -> tuple[float, Mapping[str, float]]:
        """Seconds of training, and of each evaluation, of the cells that are trained, on one worker."""
        training, evaluations = 0.0, defaultdict[str, float](float)
        for planned in self.to_do:
            if planned.action == "train" and planned.estimate.training is not None:
                training += planned.estimate.training.middle
                for name, span in planned.estimate.evaluations.items():
                    evaluations[name] += span.middle
        return training, evaluations


def _load() -> float:
    """Return how many processes there were for each core in the last minute; 0 where that is unknown."""
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return 0.0


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _relatives(cell: CellSpec, records: Sequence[CellRecord]) -> list[CellRecord]:
    """Return the records that were the same cell before something about it changed."""

    def names(components: Components) -> tuple[str, str, str, int]:
        parts = (components.task, components.model, components.regularizer)
        task, model, regularizer = (part.name for part in parts)
        return task, model, regularizer, components.seed

    return [record for record in records if names(record.components) == names(cell.components)]


def change_of_data(cell: CellSpec, records: Sequence[CellRecord]) -> str:
    """Say how the data differ on which the same cell was trained before; "" where none was, or none do."""
    task = cell.components.task
    for record in _relatives(cell, records):
        then, now = record.components.data, cell.data
        same_task = record.components.task.parameters == task.parameters
        if same_task and record.trained and then is not None and now is not None and then != now:
            return data_change(then.plain(), now.plain())
    return ""


def _why_train(cell: CellSpec, record: CellRecord | None, records: Sequence[CellRecord]) -> str:
    if record is not None:
        if record.trained and not record.is_trained:
            return "an evaluation is missing and the model was not kept"
        return f"{record.status} before: {record.error}" if record.error else "was not finished"
    new = cell.components.plain()
    changes = [
        differences(relative.components.plain(), new) for relative in _relatives(cell, records)
    ]
    return "; ".join(sorted(changes, key=len)[0]) if changes else "new"


def plan_cell(
    cell: CellSpec,
    record: CellRecord | None,
    records: Sequence[CellRecord],
    available: Callable[[str], bool],
) -> PlannedCell:
    """Say what a cell needs, from its record as it lies on disk."""
    if is_complete(cell, record, available):
        return PlannedCell(cell, "cached", "")
    if record is not None and record.is_trained:
        pending = tuple(pending_evaluations(cell, record, available))
        names = ", ".join(evaluation.name for evaluation in pending)
        reason = f"evaluations: {names}" if pending else record.error
        return PlannedCell(cell, "evaluate", reason, pending)
    reason = _why_train(cell, record, records)
    return PlannedCell(cell, "train", reason, tuple(cell.evaluations))


def _folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir() if file.is_file())


def estimate_disk(
    store: Store, cells: Sequence[PlannedCell], records: Sequence[CellRecord], keep_models: bool
) -> int:
    """Return the bytes that the cells to be trained will take, going by finished cells where there are any."""
    sizes = [
        _folder_bytes(store.cell_folder(record.key))
        for record in records
        if record.status == "done"
    ]
    training = [planned.cell for planned in cells if planned.action == "train"]
    if sizes:
        return round(statistics.fmean(sizes)) * len(training)
    weights: dict[tuple[str, str], int] = {}
    total = 0
    for cell in training:
        name = (cell.task.label, cell.model.label)
        if keep_models and name not in weights:
            weights[name] = _model_bytes(cell)
        total += TABLES_BYTES + weights.get(name, 0)
    return total


def _model_bytes(cell: CellSpec) -> int:
    """Return the size of the cell's weights and buffers; 0 where its data is not there to tell."""
    import torch

    from reldrop_bench.errors import UserError

    try:
        facts = cell.task.plugin.facts(None)
    except UserError:
        return 0
    with torch.random.fork_rng(devices=[]):
        model = cell.model.plugin.build(facts)
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _own_timings(
    store: Store, cells: Sequence[CellSpec], records: Sequence[CellRecord]
) -> list[Timing]:
    """Return what the finished cells of a folder took."""
    benchmark = store.read_benchmark()
    identities = {} if benchmark is None else benchmark.evaluation_identities
    same = [  # a record does not hold the parameters that its evaluations had
        evaluation
        for cell in cells[:1]
        for evaluation in cell.evaluations
        if identities.get(evaluation.name) == cell.evaluation_identity(evaluation)
    ]
    timings = (timing_of(record, same, trained=True) for record in records if record.trained)
    return [timing for timing in timings if timing is not None]


def _known_times(
    store: Store, cells: Sequence[CellSpec], records: Sequence[CellRecord], here: str
) -> Book:
    """Return what is known of cells' times: of this folder first, whatever the machine, then here."""
    own, book = _own_timings(store, cells, records), Book()
    book.add(timing for timing in own if timing.machine == here)
    book.add(timing for timing in remembered() if timing.machine == here)
    book.add(timing for timing in own if timing.machine != here)
    return book


def make_plan(
    store: Store,
    cells: Sequence[CellSpec],
    workers: int,
    keep_models: bool,
    root: Path | None = None,
    measure: bool = False,
) -> Plan:
    """Compare the cells with what the folder holds; reads only.

    With `measure`, cells of which nothing is known are timed on a few training steps.
    """
    records = list(store.records())
    by_key = {record.key: record for record in records}
    coming = {
        cell.key
        for cell in cells
        if not is_trained(by_key.get(cell.key))
        and not is_complete(cell, by_key.get(cell.key), lambda key: False)
    }

    def planned_cell(cell: CellSpec) -> PlannedCell:
        record = by_key.get(cell.key)

        def available(key: str) -> bool:
            # What is to be trained is there when a cell that is compared with it is evaluated. A
            # cell without weights is not trained again for what may never come.
            return is_trained(by_key.get(key)) or (key in coming and is_trained(record))

        return plan_cell(cell, record, records, available)

    planned = [planned_cell(cell) for cell in cells]
    to_do = [each for each in planned if each.action != "cached"]
    book = Book()
    if to_do:
        book = _known_times(store, cells, records, this_machine(to_do[0].cell.threads))
        if measure:
            from reldrop_bench.running.probing import measure_unknown

            measure_unknown([each.cell for each in to_do], book, root)
    estimated = tuple(
        each
        if each.action == "cached"
        else replace(
            each, estimate=book.estimate(each.cell, each.evaluations, each.action == "train")
        )
        for each in planned
    )
    disk = estimate_disk(store, estimated, records, keep_models)
    fast = book.fast([each.cell for each in to_do], root)
    return Plan(estimated, workers, disk, _load(), fast)
