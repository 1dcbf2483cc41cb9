"""Evaluate a trained model and write what was found into its record."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from reldrop_bench.data import Facts, Split
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Record
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.results import Status
from reldrop_bench.running.training import build_model
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.folder import EPOCHS_FILE, Store
from reldrop_bench.store.records import CellRecord, EvaluationOutcome, Note, evaluation_file

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
    import pandas as pd


@dataclass(frozen=True)
class Workplace:
    """Where models' records lie, where their data lies, and what computes."""

    store: Store
    root: Path | None
    device: torch.device


def failure_status(error: BaseException) -> Status:
    """Return "oom" for an exception that means that memory ran out, else "failed"."""
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return "oom" if memory or "can't allocate memory" in str(error) else "failed"


def trained_context(
    cell: CellSpec,
    record: CellRecord,
    workplace: Workplace,
    model: nn.Module,
    facts: Facts,
    epochs: pd.DataFrame,
    test: Split | None = None,
) -> Context:
    """Return what the evaluations of a cell are given; test: the test split if it is open already."""
    context = Context(
        model=model.eval(),
        task=cell.task.plugin,
        facts=facts,
        root=workplace.root,
        regularizer=cell.regularizer.plugin,
        attributor=cell.evaluation_relevance.plugin,
        training_attributor=cell.relevance.plugin,
        seed=cell.seed,
        device=workplace.device,
        epochs=epochs,
        training=record.training.plain(),
        recipe=cell.recipe,
        test_split=test,
    )
    others = {other.key: other for other in cell.companions.values()}

    @functools.cache  # one cell may have several roles
    def companion(key: str) -> Context | None:
        return context if key == cell.key else _companion(others[key], workplace, context.test)

    context.companions = {
        role: partial(companion, other.key) for role, other in cell.companions.items()
    }
    return context


def _companion(cell: CellSpec, workplace: Workplace, test: Split) -> Context | None:
    """Return the context of another cell on the same data; None where its model cannot be had."""
    try:
        record = workplace.store.read_cell(cell.key)
        if record is None or not record.is_trained:
            return None
        return restored(cell, record, workplace, test)
    except ValueError:  # damaged: the next run of that cell mends it
        return None


def restored(
    cell: CellSpec, record: CellRecord, workplace: Workplace, test: Split | None = None
) -> Context:
    """Return the context of a cell that was trained before: its model is built and loaded again.

    Raises
    ------
    ValueError
        A file of the record is missing or damaged.
    """
    facts = cell.task.plugin.facts(workplace.root)
    model = build_model(cell, facts)
    model.load_state_dict(workplace.store.read_weights(record))
    epochs = workplace.store.read_table(record, EPOCHS_FILE)
    model = model.to(workplace.device)
    return trained_context(cell, record, workplace, model, facts, epochs, test)


def measure(
    cell: CellSpec, context: Context, evaluation: ResolvedPlugin, store: Store, record: CellRecord
) -> None:
    """Run one evaluation and note how it ended; a failure is noted, and ends nothing else."""
    plugin: Evaluation = evaluation.plugin
    started = time.perf_counter()
    outcome = EvaluationOutcome(key=cell.evaluation_key(evaluation), status="done")
    try:
        table = Record()
        context.lacking = set()
        if plugin.applies_to(context.facts):
            plugin.evaluate(context, table)
            if table.is_empty:
                table.note("test", evaluation.name, "it wrote nothing and gave no reason")
        else:
            outcome.error = "does not apply to this task"
        frame = table.frame()
        _refuse_holes(evaluation.name, frame)
        cell.check_data(context.root)
        store.write_table(record, evaluation_file(evaluation.name), frame)
        outcome.notes = [Note(**note) for note in table.notes]
        outcome.lacking = sorted(context.lacking)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        outcome.status = failure_status(error)
        outcome.error = one_line(f"{type(error).__name__}: {error}")
        outcome.traceback = traceback.format_exc()
    outcome.seconds = time.perf_counter() - started
    record.evaluations[evaluation.name] = outcome
    store.write_cell(record)


def _refuse_holes(name: str, frame: pd.DataFrame) -> None:
    """Raise ValueError if an evaluation wrote a value that is none: a mean over it would be none."""
    wrong = frame[~np.isfinite(frame["value"].to_numpy(dtype=np.float64))]
    if len(wrong):
        names = ", ".join(sorted(set(wrong["metric"].astype(str)))[:5])
        raise ValueError(
            f"{name} wrote {counted(len(wrong), 'value')} not finite ({names}); an evaluation leaves "
            "such a value out and says why with record.note"
        )


def conclude(record: CellRecord, evaluations: Sequence[ResolvedPlugin]) -> None:
    """Set the record's status by how its evaluations have ended."""
    failed = [each.name for each in evaluations if each.name not in record.done]
    if failed:
        first = record.evaluations[failed[0]]
        record.end(first.status, f"evaluation {failed[0]}: {first.error}", first.traceback)
    else:
        record.end("done")
