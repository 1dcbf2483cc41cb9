"""Results of a benchmark as tidy data frames: what statistics and report sections read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import pandas as pd

CELL_COLUMNS = (
    "key", "task", "model", "regularizer", "label", "relevance", "seed", "status", "error",
    "traceback", "train_seconds", "step_seconds", "explained", "occluded_fraction", "peak_memory", "energy",
    "parameters", "epochs", "samples", "warnings", "deviations",
)  # fmt: skip
"""One row a cell of the matrix, also where it failed or is missing.

status: done, failed, timeout, oom, interrupted or missing. error: one line or "". traceback: the
whole, or "". train_seconds: seconds of training. step_seconds: median seconds of a training step.
explained: samples explained in training. occluded_fraction: mean realised fraction of hidden pixels
or points, NaN where nothing is hidden. peak_memory: bytes. energy: joules of the whole machine in
training, NaN where it does not tell. samples: training samples seen, all epochs together. warnings,
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


class UnreadExamples(ABC):
    """Examples on disk, of which a part can be read: calling it reads them all."""

    @abstractmethod
    def __call__(self) -> pd.DataFrame: ...

    @abstractmethod
    def only(self, task: str, model: str, evaluation: str) -> UnreadExamples:
        """Return those of one evaluation within one task and model, still unread."""

    @abstractmethod
    def index(self) -> pd.DataFrame:
        """Return what `Results.with_examples` does."""


class Unread:
    """A frame of `Results` that may be given as a function, called when the frame is first used."""

    def __init__(self, columns: tuple[str, ...]) -> None:
        self._columns = columns

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, results: Results | None, owner: type) -> Any:
        if results is None:  # what dataclasses take for the default
            return partial(_empty, self._columns)
        found = results.__dict__[self._name]
        if callable(found):
            found = results.__dict__[self._name] = found()
        return found

    def __set__(self, results: Results, value: pd.DataFrame | Callable[[], pd.DataFrame]) -> None:
        results.__dict__[self._name] = value


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
    examples: Any = Unread(EXAMPLE_COLUMNS)
    """Numbers by test item; as they are most of all rows, they are read when they are first used."""
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
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By label: `regularizer`, its name, every parameter with its value, and `relevance`, the rule
    that it was trained with, where it has one."""
    metric: str = ""
    """EVALUATION/SPLIT/METRIC that the verdict is to be about; "": what the sections judge by."""
    margin: float = 0.01
    """Differences within ± margin are too small to matter: accuracies in 0..1."""
    remarks: tuple[str, ...] = ()
    """What a reader has to know of these results as a whole, such as what cannot be compared."""
    trained_elsewhere: bool = False
    """Whether these are checkpoints of which nothing but the weights is known."""

    def examples_of(self, task: str, model: str, evaluation: str) -> pd.DataFrame:
        """Return the examples of one evaluation within one task and model; the others stay unread."""
        unread = self.__dict__["examples"]
        if isinstance(unread, UnreadExamples):
            return unread.only(task, model, evaluation)()
        rows = self.examples
        chosen = (rows["task"] == task) & (rows["model"] == model)
        return rows[chosen & (rows["evaluation"] == evaluation)].reset_index(drop=True)

    def with_examples(self) -> pd.DataFrame:
        """Return which evaluations of which cells have examples, and read none.

        Columns: those that name a cell, and evaluation.
        """
        unread = self.__dict__["examples"]
        if isinstance(unread, UnreadExamples):
            return unread.index()
        return self.examples[[*IDENTITY, "evaluation"]].drop_duplicates(ignore_index=True)

    def changed(self, **changes: Any) -> Results:
        """Return the results with other values of some fields; what was not read stays unread."""
        return Results(**{each.name: self.__dict__[each.name] for each in fields(self)} | changes)

    @property
    def exit_code(self) -> int:
        """0: all cells are done; 1: some are not."""
        return 0 if (self.cells["status"] == "done").all() else 1
