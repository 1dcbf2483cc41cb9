"""How long cells took on this machine, remembered between runs in the user's cache folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic

from reldrop_bench.files import cache_folder, write_atomically
from reldrop_bench.matrix.components import Components, PluginIdentity, Stored
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.running.environment import compute_device, describe
from reldrop_bench.store.records import CellRecord

FILE = "timings.json"
MOST_KINDS = 2000
"""Kinds of cells that are remembered; beyond it, those that were not met for longest are forgotten."""
LATEST = 8
"""Times of each that are kept."""
MOST_BYTES = 16 * 2**20
"""A larger file is not ours."""

MACHINE = ("system", "processor", "accelerator", "device", "threads", "torch")
"""What of a record's environment decides how fast it was, beside the number of cores."""

Times = list[Annotated[float, pydantic.Field(ge=0)]]


@dataclass(frozen=True)
class CellKind:
    """What decides how long a cell takes: cells of one kind differ in their seed alone."""

    setting: str
    """The task with its data, the model, and what of the recipe changes a step."""
    regularizer: str
    """Its name."""
    guided: str
    """Its parameters, and the attribution method that guides it."""

    @classmethod
    def of(cls, components: Components) -> CellKind:
        """Return the kind of the cell that has these components."""
        recipe = components.recipe
        step = [recipe.get(name) for name in ("batch_size", "precision", "augmentation")]
        files = None if components.data is None else components.data.content
        return cls(
            setting=_text([_plain(components.task), files, _plain(components.model), step]),
            regularizer=components.regularizer.name,
            guided=_text([_plain(components.regularizer), _plain(components.relevance)]),
        )


class Timing(Stored):
    """How long the cells of a kind took on a machine."""

    machine: str
    """Processor, cores, accelerator, threads and torch, as text."""
    setting: str
    regularizer: str
    guided: str
    epoch: Times = []
    """Seconds of an epoch, the latest last."""
    evaluations: dict[str, Times] = {}
    """Seconds of each evaluation with its parameters, the latest last."""
    used: float = 0.0
    """When it was last added to, in seconds since 1970."""

    @property
    def kind(self) -> CellKind:
        return CellKind(self.setting, self.regularizer, self.guided)

    @property
    def place(self) -> tuple[str, CellKind]:
        return self.machine, self.kind


_FILE = pydantic.TypeAdapter(list[Timing])


def machine(environment: Mapping[str, Any]) -> str:
    """Return what of a record's environment, and of this machine, decides how fast a cell is."""
    return _text([os.cpu_count(), *(environment.get(name) for name in MACHINE)])


def this_machine(threads: int) -> str:
    """Return the same of cells that are computed here."""
    return machine(describe(compute_device(), threads))


def evaluation_text(evaluation: ResolvedPlugin) -> str:
    """Return an evaluation with its parameters as text."""
    return _text([evaluation.name, evaluation.parameters])


def timings_file() -> Path:
    """Return where timings are kept."""
    return cache_folder() / FILE


def remembered() -> list[Timing]:
    """Return all that is remembered; nothing where the file is missing, damaged or not ours."""
    file = timings_file()
    try:
        if file.stat().st_size > MOST_BYTES:
            return []
        return _FILE.validate_json(file.read_bytes())
    except (OSError, ValueError):
        return []


def timing_of(
    record: CellRecord, evaluations: Iterable[ResolvedPlugin], trained: bool
) -> Timing | None:
    """Return how long a cell took; None where its record does not tell.

    evaluations: those that were done now. trained: whether it was trained now.
    """
    training, kind = record.training, CellKind.of(record.components)
    epoch = []
    if trained and training.train_seconds is not None and training.epochs:
        epoch = [training.train_seconds / training.epochs]
    seconds: dict[str, Times] = {}
    for evaluation in evaluations:
        outcome = record.done.get(evaluation.name)
        if outcome is not None and outcome.seconds is not None:
            seconds[evaluation_text(evaluation)] = [outcome.seconds]
    if not (epoch or seconds) or not record.environment:
        return None
    return Timing(
        machine=machine(record.environment),
        setting=kind.setting,
        regularizer=kind.regularizer,
        guided=kind.guided,
        epoch=epoch,
        evaluations=seconds,
        used=time.time(),
    )


def remember(new: Iterable[Timing]) -> None:
    """Add timings to what is remembered; nothing happens where the file cannot be written."""
    found = {timing.place: timing for timing in remembered()}
    added = list(new)
    for timing in added:
        before = found.get(timing.place)
        found[timing.place] = timing if before is None else _joined(before, timing)
    if not added:
        return
    kept = sorted(found.values(), key=lambda timing: timing.used)[-MOST_KINDS:]
    with suppress(OSError):  # a home that cannot be written to: the next plan measures
        write_atomically(timings_file(), _FILE.dump_json(kept), durable=False)


def _joined(before: Timing, now: Timing) -> Timing:
    names = {**before.evaluations, **now.evaluations}
    evaluations = {
        name: [*before.evaluations.get(name, []), *now.evaluations.get(name, [])][-LATEST:]
        for name in names
    }
    epoch = [*before.epoch, *now.epoch][-LATEST:]
    return now.model_copy(update={"epoch": epoch, "evaluations": evaluations})


def _plain(part: PluginIdentity | None) -> Any:
    return None if part is None else [part.name, part.parameters]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
