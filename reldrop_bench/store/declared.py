"""What the evaluations of a benchmark are, and what they say of their metrics."""

from __future__ import annotations

from collections.abc import Sequence

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.recipe import TRAINED_KINDS
from reldrop_bench.kinds.record import Direction
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import Stored


def evaluation_identities(cells: Sequence[CellSpec]) -> dict[str, str]:
    """Return by name what the evaluations of a benchmark are: equal digests can be compared."""
    return {
        evaluation.name: cell.evaluation_identity(evaluation)
        for cell in cells[:1]  # all cells of a benchmark are measured alike
        for evaluation in cell.evaluations
    }


class DeclaredMetric(Stored):
    """What an evaluation says of a metric, or of all that fit a pattern."""

    direction: Direction
    """Which direction is better."""
    measures: str
    """What it says."""


def declared_metrics(cells: Sequence[CellSpec]) -> dict[str, dict[str, DeclaredMetric]]:
    """Return by name what the evaluations of a benchmark say of their metrics.

    Reports are made where the evaluation is not installed as well.
    """
    return {
        evaluation.name: {
            name: DeclaredMetric(direction=metric.direction, measures=one_line(metric.measures))
            for name, metric in evaluation.plugin.metrics.items()
        }
        for cell in cells[:1]  # all cells of a benchmark are measured alike
        for evaluation in cell.evaluations
    }


def declared_directions(cells: Sequence[CellSpec]) -> dict[str, dict[str, Direction]]:
    """Return by evaluation and metric (or pattern) which direction is better."""
    return {
        evaluation: {name: metric.direction for name, metric in metrics.items()}
        for evaluation, metrics in declared_metrics(cells).items()
    }


def trained_kinds(cells: Sequence[CellSpec]) -> dict[str, list[str]]:
    """Return by label the kinds of shift that it is trained with; a label that is missing cannot be read.

    What the recipe of any task augments with is trained by all labels.
    """
    augmented = {
        kind
        for cell in cells
        for name in cell.recipe.augmentation
        for kind in TRAINED_KINDS.get(name, ())
    }
    by_label = {cell.regularizer.label: cell.regularizer for cell in cells}
    known = {}
    for label, regularizer in by_label.items():
        if regularizer.error:
            continue
        try:
            known[label] = sorted({*map(str, regularizer.plugin.trains_with), *augmented})
        except Exception as error:  # noqa: BLE001 - it may be anyone's
            problem = one_line(f"{type(error).__name__}: {error}")
            raise UserError(
                f"regularizer {label!r}: its `trains_with` cannot be read: {problem}"
            ) from None
    return known
