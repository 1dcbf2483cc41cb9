"""What a run would do, before it does it: cells, reasons, time and disk."""

import json
import statistics
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import Components, PluginIdentity
from reldrop_bench.running.environment import compute_device
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

PROBE_STEPS = 4
TABLES_BYTES = 400_000
"""Disk that the tables of a cell take where no finished cell tells."""


@dataclass(frozen=True)
class PlannedCell:
    """A cell, what is to be done for it and why."""

    cell: CellSpec
    action: Action
    reason: str
    seconds: float | None
    """Estimated seconds on one worker, from finished cells of this folder; None: nothing to go by."""

    def row(self) -> dict[str, Any]:
        """Return plain data for tables and JSON."""
        return {
            **self.cell.identity,
            "action": self.action,
            "reason": self.reason,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Plan:
    """All cells of a run with the totals."""

    cells: tuple[PlannedCell, ...]
    workers: int
    disk_bytes: int
    """Estimated disk that the cells still to be trained will take."""

    @property
    def to_do(self) -> list[PlannedCell]:
        return [planned for planned in self.cells if planned.action != "cached"]

    @property
    def seconds(self) -> float | None:
        """Estimated wall time with this number of workers; None where nothing is known."""
        known = [planned.seconds for planned in self.to_do if planned.seconds is not None]
        if self.to_do and not known:
            return None
        mean = statistics.fmean(known) if known else 0.0
        total = sum(mean if planned.seconds is None else planned.seconds for planned in self.to_do)
        return total / max(1, min(self.workers or 1, len(self.to_do)))


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


class History:
    """Time of finished cells, for estimates: of the same kind, else of the same task, else any.

    Training is counted by epoch, and only for tasks and models with the same parameters.
    """

    def __init__(self, records: Sequence[CellRecord]) -> None:
        self._times: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
        for record in records:
            training = record.training
            if record.status == "done" and training.train_seconds is not None and training.epochs:
                outcomes = record.evaluations.values()
                evaluations = sum(outcome.seconds or 0.0 for outcome in outcomes)
                epoch = training.train_seconds / training.epochs
                self.add(record.components, epoch, evaluations)

    def add(self, components: Components, epoch: float, evaluations: float = 0.0) -> None:
        """Note the seconds that an epoch and all evaluations of a cell took."""
        times = (epoch, evaluations)
        for level in _levels(components):
            self._times[level].append(times)

    def knows(self, cell: CellSpec) -> bool:
        """Return whether a cell of the same task, model and regularizer was ever finished or timed."""
        return bool(self._times[_levels(cell.components)[0]])

    def estimate(self, cell: CellSpec) -> float | None:
        """Return the expected seconds of a cell, or None where nothing was ever finished."""
        for level in _levels(cell.components):
            if times := self._times[level]:
                epoch, evaluations = (statistics.median(part) for part in zip(*times, strict=True))
                return epoch * cell.recipe.epochs + evaluations
        return None


def _levels(components: Components) -> list[tuple[str, ...]]:
    def text(part: PluginIdentity) -> str:
        return json.dumps([part.name, part.parameters], sort_keys=True)

    setting = (text(components.task), text(components.model))
    return [(*setting, components.regularizer.name), setting, ()]


def plan_cell(
    cell: CellSpec,
    record: CellRecord | None,
    records: Sequence[CellRecord],
    history: History,
    available: Callable[[str], bool],
) -> PlannedCell:
    """Say what a cell needs, from its record as it lies on disk."""
    if is_complete(cell, record, available):
        return PlannedCell(cell, "cached", "", 0.0)
    if record is not None and record.is_trained:
        pending = [plugin.name for plugin in pending_evaluations(cell, record, available)]
        reason = f"evaluations: {', '.join(pending)}" if pending else record.error
        before = [record.evaluations.get(name) for name in pending]
        seconds = sum((outcome and outcome.seconds) or 1.0 for outcome in before)
        return PlannedCell(cell, "evaluate", reason, seconds)
    return PlannedCell(cell, "train", _why_train(cell, record, records), history.estimate(cell))


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


def measured_seconds(cell: CellSpec, root: Path | None) -> float:
    """Return the time of an epoch of a cell, extrapolated from a few steps on this machine."""
    from reldrop_bench.running.training import train

    short = replace(cell, recipe=cell.recipe.model_copy(update={"epochs": 1}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = train(short, root, device=compute_device(), steps=PROBE_STEPS)
        train_split, _ = cell.task.plugin.splits(root, cell.seed)
    per_epoch = max(1, len(train_split) // cell.recipe.batch_size)
    return probe.step_seconds * per_epoch


def _measure(cells: Sequence[CellSpec], history: History, root: Path | None) -> None:
    """Time a few steps of every (task, regularizer) that no finished cell tells of."""
    for cell in cells:
        if history.knows(cell) or cell.regularizer.error:
            continue
        try:
            seconds = measured_seconds(cell, root)
        except (Exception, SystemExit):  # noqa: BLE001 - what fails here will be a failed cell, not a failed plan
            continue
        history.add(cell.components, seconds)


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
    history = History(records)
    if measure:
        _measure([cell for cell in cells if cell.key not in by_key], history, root)
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

        return plan_cell(cell, record, records, history, available)

    planned = tuple(map(planned_cell, cells))
    return Plan(planned, workers, estimate_disk(store, planned, records, keep_models))
