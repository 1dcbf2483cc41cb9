"""What an evaluation writes: one long table, what its metrics mean, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from reldrop_bench.errors import one_line
from reldrop_bench.plugins.base import MODALITIES
from reldrop_bench.statistics.wording import by_number, counted

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
    import pandas as pd

Direction = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Metric:
    """What is to be known of a number before it is believed: shown by `list evaluations`."""

    direction: Direction
    """Which direction is better: "higher", "lower" or "neither"."""
    measures: str
    """What the number says, in a few words, with its range where it has one."""
    cost: str = "predictions"
    """What it takes, for each sample where nothing else is said, such as "1 explanation"."""
    seeded: bool = False
    """Whether it draws random numbers (from a stream of its own); otherwise it is deterministic."""
    modalities: frozenset[str] = MODALITIES


Value = TypeVar("Value")


def first_fit(metrics: Mapping[str, Value], metric: str) -> Value | None:
    """Return the value of the first name or fnmatch pattern that fits; None where none does."""
    return next((value for key, value in metrics.items() if fnmatchcase(metric, key)), None)


COLUMNS = ("table", "split", "metric", "item", "x", "value")
"""Columns of an evaluation's record; `table` is metric, example, curve or sample."""


class Record:
    """The long table that an evaluation fills: one row a value.

    - `metric`: one number for a split.
    - `examples`: one number for each item of a split (item = position in the split).
    - `curve`: one number for each x.
    - `sample`: an array that belongs to one item (a picture, a map), flattened; x = flat position.

    What cannot be measured is left out with `note`; it is never written as NaN.
    """

    def __init__(self) -> None:
        # Names once a part, not once a row: a large test set has millions of rows.
        self._names: list[tuple[str, str, str]] = []
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.notes: list[dict[str, str]] = []
        """What was left out and why, as `note` was told; keys split, metric and reason."""

    @property
    def is_empty(self) -> bool:
        """Whether there is no value, and no reason for that."""
        return not self.notes and not any(values.size for *_, values in self._parts)

    def note(self, split: str, metric: str, reason: str) -> None:
        """Say why a value is missing, or what it leaves out: one line that names the cause."""
        told = {"split": split, "metric": metric, "reason": one_line(reason)}
        if told not in self.notes:
            self.notes.append(told)

    def note_left_out(self, split: str, metric: str, kept: int, total: int, reason: str) -> None:
        """Say why some samples have no value, where `kept` of `total` have one."""
        if kept < total:
            lost = total - kept
            are = by_number(lost, "is", "are")
            text = f"{counted(lost, 'sample', total=total)} {are} left out: {reason}"
            self.note(split, metric, text)

    def _add(self, table: str, split: str, metric: str, item: Any, x: Any, value: Any) -> None:
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
        self._names.append((table, split, metric))
        self._parts.append(
            (
                np.broadcast_to(np.asarray(item, dtype=np.int64), values.shape),
                np.broadcast_to(np.asarray(x, dtype=np.float64), values.shape),
                values,
            )
        )

    def metric(self, split: str, name: str, value: float | None, reason: str = "") -> None:
        """Add one number, such as ("test", "accuracy", 0.93), or note the reason why it is None."""
        if value is None:
            self.note(split, name, reason)
        else:
            self._add("metric", split, name, -1, np.nan, value)

    def examples(
        self,
        split: str,
        name: str,
        values: Tensor | np.ndarray,
        items: Tensor | np.ndarray | None = None,
    ) -> None:
        """Add one number an item; values (N,), items (N,) positions in the split, None for all."""
        where = np.arange(len(values)) if items is None else np.asarray(items)
        self._add("example", split, name, where, np.nan, np.asarray(values))

    def curve(self, split: str, name: str, x: Any, values: Any) -> None:
        """Add a curve: x (P,) and values (P,)."""
        self._add("curve", split, name, -1, np.asarray(x, dtype=np.float64), values)

    def sample(self, split: str, name: str, item: int, values: Tensor | np.ndarray) -> None:
        """Add an array that belongs to one item; any shape, flattened in C order."""
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        self._add("sample", split, name, item, np.arange(len(flat), dtype=np.float64), flat)

    def frame(self) -> pd.DataFrame:
        """Return all rows; columns COLUMNS, the names as categories."""
        import pandas as pd

        if not self._parts:
            return pd.DataFrame(columns=list(COLUMNS))
        lengths = [len(values) for *_, values in self._parts]
        columns: dict[str, Any] = {}
        for name, given in zip(COLUMNS[:3], zip(*self._names, strict=True), strict=True):
            codes, categories = pd.factorize(np.asarray(given, dtype=object))
            whole = np.repeat(codes.astype(np.int32), lengths)
            columns[name] = pd.Categorical.from_codes(whole, categories=pd.Index(categories))
        for name, parts in zip(COLUMNS[3:], zip(*self._parts, strict=True), strict=True):
            columns[name] = np.concatenate(parts)
        return pd.DataFrame(columns)
