"""What benchmark.json holds: what was to be run in a folder, and what it is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, Self

import pydantic
from pydantic import Field

from reldrop_bench.errors import suggest
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import SCHEMA, Schema, Stored
from reldrop_bench.matrix.controls import Ladders, ladders
from reldrop_bench.matrix.outcomes import Declaration
from reldrop_bench.matrix.spec import BenchmarkSpec, SpecEntry
from reldrop_bench.results import Place, Unfit
from reldrop_bench.store.declared import (
    DeclaredMetric,
    declared_metrics,
    evaluation_identities,
    trained_kinds,
)
from reldrop_bench.store.records import FileName, Identity


class MatrixEntry(Identity):
    """A cell of a benchmark, whether it has been computed or not."""

    relevance: str
    """The attribution method that it is trained with; "" where nothing is explained in training."""
    evaluations: dict[FileName, str]
    """What is to be measured on it: by name, the key that the evaluation has for this cell."""

    @classmethod
    def of(cls, cell: CellSpec) -> Self:
        """Return what benchmark.json says of a cell."""
        return cls(
            **cell.identity,
            relevance=cell.relevance.label if cell.uses_relevance else "",
            evaluations={each.name: cell.evaluation_key(each) for each in cell.evaluations},
        )


class BenchmarkRecord(Stored):
    """The content of benchmark.json: what was to be run in a folder."""

    schema_version: Schema = Field(alias="schema")
    """Version of these records and of what the harness computes."""
    name: str
    """The benchmark's name."""
    spec: BenchmarkSpec
    """The spec with its defaults; of checkpoints, what they have of one."""
    added: list[SpecEntry] = []
    """Evaluations that were asked for beside the spec's own, and stay for later runs."""
    evaluation_identities: dict[str, str] = {}
    """By evaluation, a digest of what it is, whatever the cell: equal ones can be compared."""
    metrics: dict[str, dict[str, DeclaredMetric]] = {}
    """By evaluation and metric (or fnmatch pattern), what the evaluation says of it."""
    guided: Ladders = {}
    """By guided label, the labels of its controls by rung; "" where one is not there."""
    trains_with: dict[str, list[str]] = {}
    """By label, the kinds of shift that it is trained with; of a label that is missing they are not known."""
    unfit: Unfit = {}
    """By task, by label, why a regularizer that the spec names is left out there."""
    declarations: list[Declaration] = []
    """What it is judged by: the declaration in force last, those of former runs before it."""
    matrix: list[MatrixEntry]
    """Every cell, in the order of the spec."""
    checkpoints: bool = False
    """Whether the models were trained elsewhere, so that nothing is known of them but the weights."""

    @classmethod
    def of(
        cls,
        spec: BenchmarkSpec,
        cells: Sequence[CellSpec],
        added: Sequence[SpecEntry] = (),
        before: BenchmarkRecord | None = None,
        only: Collection[str] | None = None,
        declarations: Sequence[Declaration] = (),
        unfit: Unfit | None = None,
    ) -> Self:
        """Return what benchmark.json says of a benchmark that is to be run.

        added: evaluations that were asked for beside the spec's own. only: keys of the cells that
        this is about; the others keep what the matrix said of them `before`.
        """
        kept: dict[Place, MatrixEntry] = {}
        identities: dict[str, str] = {}
        metrics: dict[str, dict[str, DeclaredMetric]] = {}
        if only is not None and before is not None:
            kept = {entry.place: entry for entry in before.matrix}
            identities, metrics = before.evaluation_identities, before.metrics
        matrix = [
            kept[cell.place]
            if only is not None and cell.key not in only and cell.place in kept
            else MatrixEntry.of(cell)
            for cell in cells
        ]
        return cls(
            schema=SCHEMA,
            name=spec.name,
            spec=spec.resolved(),
            added=list(added),
            evaluation_identities=identities | evaluation_identities(cells),
            metrics=metrics | declared_metrics(cells),
            guided=ladders(cells),
            trains_with=trained_kinds(cells),
            unfit=unfit or {},
            declarations=list(declarations),
            matrix=matrix,
        )

    @pydantic.field_serializer("spec")
    def _stated(self, spec: BenchmarkSpec) -> dict[str, Any]:
        return spec.stated()

    @pydantic.model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.name != self.spec.name:
            raise ValueError(f"it is called {self.name!r}, and its spec {self.spec.name!r}")
        if not self.matrix:
            raise ValueError("its matrix is empty")
        # Two checkpoints of the same weights are one cell under two labels.
        for what in ("place",) if self.checkpoints else ("key", "place"):
            seen = Counter(getattr(entry, what) for entry in self.matrix)
            (value, times), *_ = seen.most_common(1)
            if times > 1:
                raise ValueError(f"its matrix has {times} cells with the {what} {value}")
        labels = {entry.label for entry in self.matrix}
        if self.spec.baseline not in labels:
            known = suggest(self.spec.baseline, labels)
            raise ValueError(f"its baseline {self.spec.baseline!r} is no label; {known}")
        return self
