"""Evaluate a trained model and write what was found into its record."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from reldrop_bench.data import Facts
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Record
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import Choice
from reldrop_bench.running.training import build_model
from reldrop_bench.store.folder import EPOCHS_FILE, CellRecord, Store, evaluation_file, is_trained


@dataclass(frozen=True)
class Place:
    """Where a model's record lies, where its data lies, and what computes."""

    store: Store
    root: Path | None
    device: torch.device


def failure_status(error: BaseException) -> str:
    """Return "oom" for an exception that means that memory ran out, else "failed"."""
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return "oom" if memory or "can't allocate memory" in str(error) else "failed"


def trained_context(
    cell: CellSpec,
    record: CellRecord,
    place: Place,
    model: nn.Module,
    facts: Facts,
    epochs: pd.DataFrame,
) -> Context:
    """Return what the evaluations of a cell are given."""
    context = Context(
        model=model.eval(),
        task=cell.task.plugin,
        facts=facts,
        root=place.root,
        regularizer=cell.regularizer.plugin,
        attributor=cell.evaluation_relevance.plugin,
        training_attributor=cell.relevance.plugin,
        seed=cell.seed,
        device=place.device,
        epochs=epochs,
        training=record["training"],
        recipe=cell.recipe,
    )
    others = _Companions(context, place)
    context.companions = {
        role: (lambda: context) if other.key == cell.key else partial(others.get, other)
        for role, other in cell.companions.items()
    }
    return context


def restored(cell: CellSpec, record: CellRecord, place: Place) -> Context:
    """Return the context of a cell that was trained before: its model is built and loaded again.

    Raises
    ------
    ValueError
        A file of the record is missing or damaged.
    """
    facts = cell.task.plugin.facts(place.root)
    model = build_model(cell, facts)
    model.load_state_dict(place.store.read_weights(record))
    epochs = place.store.read_table(record, EPOCHS_FILE)
    return trained_context(cell, record, place, model.to(place.device), facts, epochs)


class _Companions:
    """The contexts of other cells, each made once, on the data of the cell that is measured."""

    def __init__(self, own: Context, place: Place) -> None:
        self._own, self._place = own, place
        self._found: dict[str, Context | None] = {}

    def get(self, cell: CellSpec) -> Context | None:
        """Return the context of a cell; None where its model cannot be had."""
        if cell.key not in self._found:
            self._found[cell.key] = self._restored(cell)
        return self._found[cell.key]

    def _restored(self, cell: CellSpec) -> Context | None:
        try:
            record = self._place.store.read_cell(cell.key)
            if record is None or not is_trained(record):
                return None
            context = restored(cell, record, self._place)
        except ValueError:  # damaged: the next run of that cell mends it
            return None
        context.__dict__["test"] = self._own.test
        return context


def measure(context: Context, choice: Choice, key: str, store: Store, record: CellRecord) -> None:
    """Run one evaluation and note how it ended; a failure is noted, and ends nothing else."""
    evaluation: Evaluation = choice.plugin
    started = time.perf_counter()
    outcome: dict[str, Any] = {"key": key, "status": "done", "error": ""}
    try:
        table = Record()
        context.lacking = set()
        if evaluation.applies_to(context.facts):
            evaluation.evaluate(context, table)
        else:
            outcome["error"] = "does not apply to this task"
        frame = table.frame()
        _refuse_holes(choice.name, frame)
        store.write_table(record, evaluation_file(choice.name), frame)
        outcome |= {"notes": table.notes, "lacking": sorted(context.lacking)}
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything
        outcome |= {
            "status": failure_status(error),
            "error": one_line(f"{type(error).__name__}: {error}"),
            "traceback": traceback.format_exc(),
        }
    outcome["seconds"] = time.perf_counter() - started
    record["evaluations"][choice.name] = outcome
    store.write_cell(record)


def _refuse_holes(name: str, frame: pd.DataFrame) -> None:
    """Raise ValueError if an evaluation wrote a value that is none: a mean over it would be none."""
    wrong = frame[~np.isfinite(frame["value"].to_numpy(dtype=np.float64))]
    if len(wrong):
        names = ", ".join(sorted(set(wrong["metric"].astype(str)))[:5])
        raise ValueError(
            f"{name} wrote {len(wrong)} values that are not finite ({names}); an evaluation leaves "
            "such a value out and says why with record.note"
        )


def conclude(record: CellRecord, evaluations: list[str]) -> None:
    """Set the record's status by how its evaluations have ended."""
    outcomes = record["evaluations"]
    failed = [name for name in evaluations if outcomes[name]["status"] != "done"]
    if failed:
        first = outcomes[failed[0]]
        record["status"] = first["status"]
        record["error"] = one_line(f"evaluation {failed[0]}: {first['error']}")
        record["traceback"] = first["traceback"]
    else:
        record |= {"status": "done", "error": "", "traceback": ""}
