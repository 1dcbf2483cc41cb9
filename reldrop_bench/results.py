"""Results of a benchmark as tidy data frames: what statistics and report sections read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
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

CELL = ["task", "model", "label", "seed"]
"""What names a cell within its benchmark, whatever its key is."""
Place = tuple[str, str, str, int]
"""The values of `CELL`."""
Setting = tuple[str, str]
"""A task and a model: what labels are compared within."""
Status = Literal["done", "failed", "timeout", "oom", "interrupted"]
"""How the computation of a cell ended."""
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
    import pandas as pd

    return pd.DataFrame(columns=list(columns))


def _no_items(index: pd.DataFrame) -> pd.DataFrame:
    return _empty(EXAMPLE_COLUMNS)


@dataclass
class ItemTable:
    """Numbers by test item, most of all rows of a benchmark: read when they are first used.

    `read` is given rows of `index` and returns what they stand for, columns EXAMPLE_COLUMNS.
    """

    index: pd.DataFrame = field(default_factory=lambda: _empty((*IDENTITY, "evaluation")))
    """Which evaluations of which cells have any: a row each, what names the cell and `evaluation`."""
    read: Callable[[pd.DataFrame], pd.DataFrame] = _no_items
    whole: pd.DataFrame | None = None
    """All of them, once they are read."""

    @classmethod
    def of(cls, frame: pd.DataFrame) -> ItemTable:
        """Return a table of rows that are there already."""
        index = frame[[*IDENTITY, "evaluation"]].drop_duplicates(ignore_index=True)
        return cls(index, whole=frame)

    def all(self) -> pd.DataFrame:
        """Return all rows."""
        if self.whole is None:
            self.whole = self.read(self.index)
        return self.whole

    def part(self, task: str, model: str, evaluation: str) -> pd.DataFrame:
        """Return the rows of one evaluation within one task and model; others stay unread."""
        rows = self.index if self.whole is None else self.whole
        chosen = (rows["task"] == task) & (rows["model"] == model)
        rows = rows[chosen & (rows["evaluation"] == evaluation)].reset_index(drop=True)
        return self.read(rows) if self.whole is None else rows

    def of_cells(self, keys: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of some evaluations of cells, given by columns key and evaluation."""
        rows = self.index if self.whole is None else self.whole
        wanted = set(zip(keys["key"], keys["evaluation"], strict=True))
        pairs = zip(rows["key"], rows["evaluation"], strict=True)
        rows = rows[[pair in wanted for pair in pairs]].reset_index(drop=True)
        return self.read(rows) if self.whole is None else rows


Unfit = dict[str, dict[str, str]]
"""By task, by regularizer's label, why it is left out there."""


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
    by_item: ItemTable = field(default_factory=ItemTable)
    """Numbers by test item; `examples` is all of them."""
    samples: pd.DataFrame = field(default_factory=lambda: _empty(SAMPLE_COLUMNS))
    epochs: pd.DataFrame = field(default_factory=lambda: _empty(EPOCH_COLUMNS))
    notes: pd.DataFrame = field(default_factory=lambda: _empty(NOTE_COLUMNS))
    """What evaluations left out, and why."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By task: the facts (modality, classes, input_shape, cues, masks …), description, whether it is
    synthetic (None: not known) and recipe, and
    `data`, what its files held (files, bytes, content), where it reads any."""
    declared: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """By evaluation and metric, what the evaluation says of it: "higher", "lower" or "neither" is
    better, and what it measures."""
    guided: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By guided label, the labels of its controls by rung, such as random: all alike but the guidance. ""
    where one that the method names is not there."""
    unfit: Unfit = field(default_factory=dict)
    """By task, by label, why a regularizer was left out there."""
    trains_with: Mapping[str, Set[str]] = field(default_factory=dict)
    """By label, the kinds of shift that it is trained with, where there are any."""
    declarations: tuple[Mapping[str, Any], ...] = ()
    """What the benchmark is judged by, the declaration in force last: `outcomes`, each with name, primary,
    direction and margin, and how many of its `cells` were `done` by then. Empty: none was made."""
    environments: tuple[Mapping[str, Any], ...] = ()
    """The different machines and versions that the cells ran on."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """The resolved spec."""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By label: `regularizer`, its name, every parameter with its value, and `relevance`, the rule
    that it was trained with, where it has one."""
    metric: str = ""
    """EVALUATION/SPLIT/METRIC that the verdict is to be about; "": what the sections judge by."""
    margin: float | None = None
    """Differences within ± margin are too small to matter, whatever the outcome; None: each has its own."""
    remarks: tuple[str, ...] = ()
    """What a reader has to know of these results as a whole, such as what cannot be compared."""
    trained_elsewhere: bool = False
    """Whether these are checkpoints of which nothing but the weights is known."""

    @property
    def examples(self) -> pd.DataFrame:
        """Numbers by test item, columns EXAMPLE_COLUMNS; they are read when they are first used."""
        return self.by_item.all()

    def examples_of(self, task: str, model: str, evaluation: str) -> pd.DataFrame:
        """Return the examples of one evaluation within one task and model; others stay unread."""
        return self.by_item.part(task, model, evaluation)

    def with_examples(self) -> pd.DataFrame:
        """Return which evaluations of which cells have examples, and read none.

        Columns: those that name a cell, and evaluation.
        """
        return self.by_item.index

    def direction(self, evaluation: str, metric: str) -> str:
        """Return whether "higher", "lower" or "neither" is better."""
        return self.declared.get((evaluation, metric), ("neither", ""))[0]

    def changed(self, **changes: Any) -> Results:
        """Return the results with other values of some fields; what was not read stays unread."""
        return replace(self, **changes)

    @property
    def exit_code(self) -> int:
        """0: all cells are done; 1: some are not."""
        return 0 if (self.cells["status"] == "done").all() else 1


def told(left_out: Unfit) -> list[str]:
    """Say what is left out by itself and why, a line a reason."""
    tasks_of: dict[tuple[str, str], list[str]] = {}
    for task, reasons in left_out.items():
        for label, reason in reasons.items():
            tasks_of.setdefault((label, reason), []).append(task)
    labels_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (label, reason), tasks in tasks_of.items():
        labels_of.setdefault((reason, tuple(tasks)), []).append(label)
    return [
        f"left out on {', '.join(tasks)}: {_few(labels)} ({'each ' if len(labels) > 1 else ''}{reason})"
        for (reason, tasks), labels in labels_of.items()
    ]


def _few(labels: Sequence[str], most: int = 6) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(f"“{label}”" for label in labels[:most]) + more
