"""How long cells will take, by what is known of others: finished here, remembered, or just measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.evaluation import SIZES, Evaluation
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.running.timings import CellKind, Timing, evaluation_text

SAME, ALIKE, MEASURED, OTHER = (0.85, 1.2), (0.7, 1.4), (0.6, 2.2), (0.4, 2.5)
"""How far the truth may lie from an estimate, as factors: by cells of the same kind; of the same method
with other parameters; by a few steps; by another method on the same task and model."""
FROM_PASSES = (0.5, 2.0)
"""The same for an evaluation by the passes that it declares."""
BESIDE_PASSES = 1.3
"""What an evaluation takes over its forward passes: to hide, to copy, to write."""
GUESSED_STEP = 8.0
"""Passes of a guided training step: a plain one and an explanation."""


@dataclass(frozen=True)
class Span:
    """Seconds: what is expected, and between which limits."""

    middle: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def around(cls, times: Sequence[float], factors: tuple[float, float]) -> Span:
        """Return the median of times, with their own scatter or that of `factors`, the wider one."""
        middle = statistics.median(times)
        low, high = middle * factors[0], middle * factors[1]
        if len(times) > 2:
            first, *_, last = statistics.quantiles(times, n=10, method="inclusive")
            low, high = min(low, first), max(high, last)
        return cls(middle, low, high)

    def __add__(self, other: Span) -> Span:
        return Span(self.middle + other.middle, self.low + other.low, self.high + other.high)

    def __mul__(self, factor: float) -> Span:
        return Span(self.middle * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Estimate:
    """How long a cell will take on one worker."""

    training: Span | None
    """None: there is nothing to go by. Zero where it is trained already."""
    evaluations: Mapping[str, Span] = field(default_factory=dict)
    """By evaluation that is to be done, as far as there is something to go by."""
    missing: tuple[str, ...] = ()
    """Evaluations of which nothing is known."""

    @property
    def measuring(self) -> Span:
        """All evaluations together."""
        return sum(self.evaluations.values(), start=Span())

    @property
    def total(self) -> Span | None:
        if self.training is None:
            return None
        only_missing = self.missing and not self.training.middle and not self.evaluations
        return None if only_missing else self.training + self.measuring


NO_TIME = Estimate(Span())
"""Of a cell for which nothing is left to do."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a task and a model on a few steps."""

    workload: Workload
    passing: float
    """Seconds of a forward pass of one sample, in a batch."""


class Book:
    """All times that are known. Those of finished cells count before those that were measured."""

    def __init__(self) -> None:
        self._epochs: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._probes: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._evaluations: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self.measured: dict[str, Measured] = {}
        """By the setting of a cell's kind."""

    def add(self, timings: Iterable[Timing]) -> None:
        """Note what finished cells took, unless the same is known already."""
        # Each source as a whole: what came before is not mixed with it.
        known = {*self._epochs, *self._evaluations}
        for timing in timings:
            kind = timing.kind
            if timing.epoch:
                for level in _levels(kind):
                    if level not in known:
                        self._epochs[level] += timing.epoch
            for text, times in timing.evaluations.items():
                if (place := (kind.setting, text)) not in known:
                    self._evaluations[place] += times

    def add_probe(self, kind: CellKind, epoch: float) -> None:
        """Note the seconds of an epoch as measured on a few steps."""
        for level in _levels(kind):
            self._probes[level].append(epoch)

    def knows(self, cell: CellSpec) -> bool:
        """Return whether nothing would be learned from a few steps of a cell."""
        same, alike, _ = _levels(CellKind.of(cell.components))
        return any(
            places.get(level)
            for places, level in (
                (self._epochs, same),
                (self._epochs, alike),
                (self._probes, same),
            )
        )

    def knows_evaluations(self, cell: CellSpec, evaluations: Iterable[ResolvedPlugin]) -> bool:
        """Return whether each was timed on the cell's task and model."""
        setting = CellKind.of(cell.components).setting
        return setting in self.measured or all(
            self._evaluations.get((setting, evaluation_text(evaluation)))
            for evaluation in evaluations
        )

    def training(self, cell: CellSpec) -> Span | None:
        """Return how long the training of a cell will take; None where there is nothing to go by."""
        same, alike, near = _levels(CellKind.of(cell.components))
        for times, level, factors in (
            (self._epochs, same, SAME),
            (self._epochs, alike, ALIKE),
            (self._probes, same, MEASURED),
            (self._epochs, near, OTHER),
            (self._probes, near, OTHER),
        ):
            if found := times.get(level):
                return Span.around(found, factors) * cell.recipe.epochs
        return None

    def evaluation(self, cell: CellSpec, evaluation: ResolvedPlugin) -> Span | None:
        """Return how long an evaluation of a cell will take; None where there is nothing to go by."""
        setting = CellKind.of(cell.components).setting
        if times := self._evaluations.get((setting, evaluation_text(evaluation))):
            return Span.around(times, ALIKE)
        passes = self.passes(cell, evaluation)
        if passes is None:
            return None
        seconds = passes * self.measured[setting].passing * BESIDE_PASSES
        return Span(seconds, *(seconds * factor for factor in FROM_PASSES))

    def passes(self, cell: CellSpec, evaluation: ResolvedPlugin) -> float | None:
        """Return the passes that an evaluation declares for a cell that was measured, else None."""
        measured = self.measured.get(CellKind.of(cell.components).setting)
        if measured is None:
            return None
        if not evaluation.plugin.applies_to(measured.workload.facts):
            return 0.0
        passes: float | None = evaluation.plugin.passes(workload_of(cell, measured.workload))
        return passes

    def estimate(
        self, cell: CellSpec, evaluations: Sequence[ResolvedPlugin], trains: bool
    ) -> Estimate:
        """Return how long a cell will take whose evaluations these are."""
        found = {each.name: self.evaluation(cell, each) for each in evaluations}
        return Estimate(
            training=self.training(cell) if trains else Span(),
            evaluations={name: span for name, span in found.items() if span is not None},
            missing=tuple(name for name, span in found.items() if span is None),
        )

    def fast(self, cells: Sequence[CellSpec], root: Path | None) -> dict[str, float]:
        """Return which share of its time each evaluation takes in size fast, where that is less.

        By declared passes; where nothing was measured, for a task of usual size.
        """
        settings = {CellKind.of(cell.components).setting: cell for cell in cells}
        now, then = defaultdict[str, float](float), defaultdict[str, float](float)
        for setting, cell in settings.items():
            measured = self.measured.get(setting)
            usual = Workload(cell.task.plugin.facts(root), items=1000, shifts=10, training=10000)
            workload = workload_of(cell, measured.workload if measured else usual)
            for each in cell.evaluations:
                evaluation: Evaluation = each.plugin
                smaller = _in_size_fast(evaluation)
                if smaller is not None and evaluation.applies_to(workload.facts):
                    now[each.name] += evaluation.passes(workload) or 0.0
                    then[each.name] += smaller.passes(workload) or 0.0
        shares = {name: then[name] / passes for name, passes in now.items() if passes}
        return {name: share for name, share in shares.items() if share < 1}


def _in_size_fast(evaluation: Evaluation) -> Evaluation | None:
    """Return the evaluation in size fast; None where that cannot be had."""
    try:
        return type(evaluation).create({"preset": SIZES[0]})
    except UserError:  # it has parameters without a default
        return None


def workload_of(cell: CellSpec, measured: Workload) -> Workload:
    """Return what there is to measure on a cell, from what was measured of its task and model."""
    step = GUESSED_STEP if cell.uses_relevance else measured.step
    return replace(measured, companions=cell.companions.keys(), step=step)


def _levels(kind: CellKind) -> list[tuple[str, ...]]:
    """Return what a cell's time can be known by: its kind, its method, its task and model."""
    return [
        (kind.setting, kind.regularizer, kind.guided),
        (kind.setting, kind.regularizer),
        (kind.setting,),
    ]
