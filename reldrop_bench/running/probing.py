"""What a few training steps and forward passes of a cell take on this machine."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reldrop_bench.kinds.attributor import explain_with
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.running.cell import numerics
from reldrop_bench.running.environment import compute_device
from reldrop_bench.running.estimates import Book, Measured
from reldrop_bench.running.timings import CellKind
from reldrop_bench.running.training import Trained, train
from reldrop_bench.seeding import torch_generator

STEPS = 3
BATCH = 64
"""Samples that are predicted together, as evaluations do."""
EXPLAINED = 16
SECONDS = 4.0
"""After so long no further kind of cell is measured: what is left goes by others of its task."""


@dataclass(frozen=True)
class Bare:
    """What `train` needs of Fabric, which takes seconds to import: one device, full precision."""

    device: torch.device

    def setup(self, model: nn.Module, optimizer: Any) -> tuple[nn.Module, Any]:
        """Return both as they are, the model on the device."""
        return model.to(self.device), optimizer

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_gradients(self, model: nn.Module, optimizer: Any, *, max_norm: float) -> Any:
        return nn.utils.clip_grad_norm_(model.parameters(), max_norm)


def measure_unknown(cells: Sequence[CellSpec], book: Book, root: Path | None) -> None:
    """Time a few steps of each kind of cell that the book does not know, for `SECONDS` about.

    cells: those that are to be trained or evaluated. First each task and model, then what differs
    by regularizer. A cell that fails is left out: it will be a failed cell, not a failed plan.
    """
    deadline = time.perf_counter() + SECONDS
    settings: dict[str, list[CellSpec]] = {}
    for cell in cells:
        if not cell.regularizer.error:
            settings.setdefault(CellKind.of(cell.components).setting, []).append(cell)
    others = []
    for group in settings.values():
        unknown = [cell for cell in group if not book.knows(cell)]
        if unknown or not book.knows_evaluations(group[0], group[0].evaluations):
            # The plainest: what it takes says most of the others.
            first = min(unknown or group, key=lambda cell: cell.uses_relevance)
            _measure(first, book, root, whole=True)
        others += unknown
    for cell in others:
        if time.perf_counter() > deadline:
            break
        if not book.knows(cell):
            _measure(cell, book, root, whole=False)


def _measure(cell: CellSpec, book: Book, root: Path | None, whole: bool) -> None:
    """Add a cell's epoch to the book; whole: and what evaluations of its task and model take."""
    setting = CellKind.of(cell.components).setting
    with warnings.catch_warnings(), numerics(cell):
        warnings.simplefilter("ignore")
        try:
            trained = _few_steps(cell, root)
            train_split, validation = cell.task.plugin.splits(root, cell.seed)
            if whole:
                book.measured[setting] = _passing(cell, trained, root)
            steps = max(1, len(train_split) // cell.recipe.batch_size)
            seconds = trained.step_seconds * steps
            if setting in book.measured:
                # As many training items are looked at as there are for validation.
                seconds += 2 * len(validation) * book.measured[setting].passing
            book.add_probe(CellKind.of(cell.components), seconds)
        except (Exception, SystemExit):  # noqa: BLE001 - a plugin may raise anything
            return


def _few_steps(cell: CellSpec, root: Path | None) -> Trained:
    short = replace(cell, recipe=cell.recipe.model_copy(update={"epochs": 1}))
    device = compute_device()
    return train(short, root, device=device, steps=STEPS, fabric=Bare(device))


def _passing(cell: CellSpec, trained: Trained, root: Path | None) -> Measured:
    """Return what a forward pass of the trained model takes, and how much there is to pass."""
    task, model, facts = cell.task.plugin, trained.model, trained.facts
    split = task.splits(root, cell.seed).train
    some = split.batch(torch.arange(min(BATCH, len(split)))).to(trained.device)
    with torch.no_grad():
        passing = _seconds(lambda: model(some.inputs)) / len(some)
    explanation = Workload.explanation
    if any(evaluation.plugin.uses_relevance for evaluation in cell.evaluations):
        few, labels = some.inputs[:EXPLAINED], some.labels[:EXPLAINED]
        method, generator = cell.evaluation_relevance.plugin, torch_generator("probe")
        with torch.no_grad():
            alone = _seconds(lambda: model(few))
        explained = _seconds(lambda: explain_with(method, model, few, labels, generator))
        explanation = explained / alone
    workload = Workload(
        facts=facts,
        items=len(task.test(root)),
        shifts=len(task.shifts(root)),
        training=len(split),
        explanation=explanation,
    )
    return Measured(workload, passing)


def _seconds(work: Callable[[], object]) -> float:
    """Return the wall time of `work`, without what only its first call takes."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
