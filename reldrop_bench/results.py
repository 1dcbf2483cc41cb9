"""Results of a benchmark as tidy data frames: what statistics and report sections read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

CELL_COLUMNS = (
    "key", "task", "model", "regularizer", "label", "relevance", "seed", "status", "error",
    "train_seconds", "step_seconds", "explained", "occluded_fraction", "peak_memory", "energy",
    "parameters", "epochs", "samples", "warnings", "deviations",
)  # fmt: skip
"""One row a cell of the matrix, also where it failed or is missing.

status: done, failed, timeout, oom, interrupted or missing. error: one line or "". train_seconds:
seconds of training. step_seconds: median seconds of a training step. explained: samples explained in
training. occluded_fraction: mean realised fraction of hidden pixels or points, NaN where nothing is
hidden. peak_memory: bytes. energy: joules of the whole machine in training, NaN where it does not
tell. samples: training samples seen, all epochs together. warnings,
deviations: lists of one-line texts.
"""

IDENTITY = ("key", "task", "model", "regularizer", "label", "seed")
METRIC_COLUMNS = (*IDENTITY, "evaluation", "split", "metric", "value")
CURVE_COLUMNS = (*IDENTITY, "evaluation", "split", "metric", "x", "value")
EXAMPLE_COLUMNS = (*IDENTITY, "evaluation", "split", "metric", "item", "value")
SAMPLE_COLUMNS = (*IDENTITY, "evaluation", "split", "metric", "item", "x", "value")
EPOCH_COLUMNS = (
    *IDENTITY, "epoch", "train_loss", "train_accuracy", "clean_train_loss", "clean_train_accuracy",
    "validation_loss", "validation_accuracy", "learning_rate", "occluded_fraction", "explained",
    "seconds",
)  # fmt: skip


NOTE_COLUMNS = (*IDENTITY, "evaluation", "split", "metric", "reason")


def _empty(columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(columns=list(columns))


@dataclass(frozen=True)
class Results:
    """Everything a benchmark has measured.

    `task` and `model` are short unique names as the spec writes them; `label` names a regularizer
    entry of the spec and is what tables and figures call it; `baseline` is the label that all are
    compared with. Cells of equal (task, model, seed) are paired: same data, order and first weights.
    """

    name: str
    baseline: str
    labels: tuple[str, ...]
    """All regularizer entries in the order of the spec."""
    cells: pd.DataFrame
    metrics: pd.DataFrame = field(default_factory=lambda: _empty(METRIC_COLUMNS))
    curves: pd.DataFrame = field(default_factory=lambda: _empty(CURVE_COLUMNS))
    examples: pd.DataFrame = field(default_factory=lambda: _empty(EXAMPLE_COLUMNS))
    samples: pd.DataFrame = field(default_factory=lambda: _empty(SAMPLE_COLUMNS))
    epochs: pd.DataFrame = field(default_factory=lambda: _empty(EPOCH_COLUMNS))
    notes: pd.DataFrame = field(default_factory=lambda: _empty(NOTE_COLUMNS))
    """What evaluations left out, and why."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By task: the facts (modality, classes, input_shape, cues, masks …), description and recipe."""
    directions: Mapping[str, str] = field(default_factory=dict)
    """By metric: "higher", "lower" or "neither" is better."""
    environments: tuple[Mapping[str, Any], ...] = ()
    """The different machines and versions that the cells ran on."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The resolved spec."""
    trained_elsewhere: bool = False
    """Whether these are checkpoints of which nothing but the weights is known."""

    @property
    def exit_code(self) -> int:
        """0: all cells are done; 1: some are not."""
        return 0 if (self.cells["status"] == "done").all() else 1
