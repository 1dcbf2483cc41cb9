"""An outcome with all cells lined up in pairs: equal task, model and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pandas as pd

from reldrop_bench.kinds.outcome import Outcome
from reldrop_bench.reporting.outcomes import SATURATED, kinds_of, outcomes, values
from reldrop_bench.reporting.rows import CELL, Setting, labels, settings, undone
from reldrop_bench.results import Results

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Paired:
    """One outcome with all cells lined up in pairs.

    `table`: (pairs, labels), a row a (task, model, seed); NaN where a cell has no value. `cells`: of
    the same shape, whether the matrix holds the cell. `seeds`: (pairs,), those of the rows. `columns`:
    the label's column. `rows`: the setting's rows. `planned`: by label the settings it is in. `lowest`:
    by (task, model, label) the lowest value; `whole`: those of them that lack no cell. `settings`: all,
    with their names; `undone`: those of which no cell is done. Of a mean over kinds: `kinds`, all;
    `elsewhere`, those that another outcome is about; `trained`, by label what it is trained with; `parts`,
    by a set of kinds the same without them.
    """

    outcome: Outcome
    frame: pd.DataFrame
    table: np.ndarray
    cells: np.ndarray
    seeds: np.ndarray
    columns: Mapping[str, int]
    rows: Mapping[Setting, slice]
    planned: Mapping[str, frozenset[Setting]]
    lowest: Mapping[tuple[str, str, str], float]
    whole: frozenset[tuple[str, str, str]]
    settings: Mapping[Setting, str]
    kinds: frozenset[str] = NOTHING
    elsewhere: frozenset[str] = NOTHING
    undone: frozenset[Setting] = frozenset()
    trained: Mapping[str, frozenset[str]] = field(default_factory=dict)
    parts: Mapping[frozenset[str], "Paired"] = field(default_factory=dict)

    def of(self, label: str, other: str) -> "Paired":
        """Return the outcome without the kinds that either of two labels is trained with.

        `self` has only the kinds that no label is trained with, so that all can be ranked by it.
        """
        return self.parts.get(self.elsewhere | self.trained_by(label, other), self)

    def trained_by(self, label: str, other: str) -> frozenset[str]:
        """Return the kinds that either of two labels is trained with."""
        return self.trained.get(label, NOTHING) | self.trained.get(other, NOTHING)

    def every(self, label: str, other: str) -> "Paired | None":
        """Return the outcome with all kinds where either label is trained with one of them, else None."""
        return self.parts[NOTHING] if self.trained_by(label, other) else None

    def is_saturated(self, setting: Setting, *labels: str) -> bool:
        """Return whether all cells of these labels reach the ceiling there, and none is missing."""
        keys = [(*setting, label) for label in labels]
        return self.outcome.saturates and all(
            key in self.whole and self.lowest[key] >= SATURATED for key in keys
        )

    @property
    def telling(self) -> tuple[Setting, ...]:
        """The settings where some cell that has a value is below the ceiling."""
        below = {key[:2] for key, low in self.lowest.items() if not low >= SATURATED}
        return tuple(
            setting
            for setting in self.settings
            if not self.outcome.saturates or setting in below or setting in self.undone
        )

    def shared(self, label: str, other: str) -> list[Setting]:
        """Return the settings that both were planned for, where any label has a value or no cell is done.

        Where these two alone have none they failed: such a setting is missing, and not out of question.
        """
        self = self.of(label, other)
        both = self.planned.get(label, frozenset()) & self.planned.get(other, frozenset())
        return [setting for setting in self.asked if setting in both]

    @property
    def asked(self) -> list[Setting]:
        """The settings where the outcome applies: those with a value, and those of which no cell is done."""
        measured = {key[:2] for key in self.lowest} | self.undone
        return [setting for setting in self.settings if setting in measured]

    def common(self, label: str, other: str) -> list[Setting]:
        """Return the shared settings that tell something of these two, whatever the other labels do."""
        self = self.of(label, other)
        return [
            setting
            for setting in self.shared(label, other)
            if not self.is_saturated(setting, label, other)
        ]

    def groups(
        self, label: str, other: str, settings: Sequence[Setting] | None = None
    ) -> list[np.ndarray]:
        """Return label − other, an array a setting, NaN for half a pair; all `common` by default."""
        item, settings, difference, there = self._differences(label, other, settings)
        return [difference[item.rows[setting]][there[item.rows[setting]]] for setting in settings]

    def _differences(
        self, label: str, other: str, settings: Sequence[Setting] | None
    ) -> tuple["Paired", Sequence[Setting], np.ndarray, np.ndarray]:
        """Return what the pair is compared by, its settings, label − other a row, and which rows are planned."""
        item = self.of(label, other)
        settings = item.common(label, other) if settings is None else settings
        if not settings:  # perhaps no kind is foreign to both, so that there is no column
            return item, [], np.empty(0), np.empty(0, bool)
        first, second = item.columns[label], item.columns[other]
        difference = item.table[:, first] - item.table[:, second]
        return item, settings, difference, item.cells[:, first] | item.cells[:, second]

    def strata(
        self, label: str, other: str, settings: Sequence[Setting] | None = None
    ) -> list[np.ndarray]:
        """Return label − other, an array a task: for each seed the mean over the task's models.

        Models of a task share the data order and the splits of a seed, so that their differences are not
        independent; their mean is one observation. NaN where one of its pairs is half.
        """
        item, settings, difference, there = self._differences(label, other, settings)
        found = []
        for task in dict.fromkeys(task for task, _ in settings):
            chosen = np.concatenate(
                [np.arange(len(there))[item.rows[each]] for each in settings if each[0] == task]
            )
            chosen = chosen[there[chosen]]
            _, place = np.unique(item.seeds[chosen], return_inverse=True)
            found.append(np.bincount(place, difference[chosen]) / np.bincount(place))
        return found

    def runs(self, label: str, settings: Sequence[Setting]) -> list[np.ndarray]:
        """Return the label's values, an array a setting, without holes."""
        values = self.table[:, self.columns[label]]
        parts = [values[self.rows[setting]] for setting in settings]
        return [part[np.isfinite(part)] for part in parts]

    def count(self, label: str, settings: Sequence[Setting]) -> int:
        """Return how many cells the matrix holds of a label in these settings."""
        there = self.cells[:, self.columns[label]]
        return int(sum(there[self.rows[setting]].sum() for setting in settings))

    def means(self, shown: Sequence[str], settings: Sequence[Setting]) -> np.ndarray:
        """Return (settings, labels): means over seeds, NaN where a label lacks one of its seeds."""
        means = np.full((len(settings), len(shown)), np.nan)
        for column, label in enumerate(shown):
            values, there = (part[:, self.columns[label]] for part in (self.table, self.cells))
            for row, setting in enumerate(settings):
                means_here = values[self.rows[setting]][there[self.rows[setting]]]
                if len(means_here):
                    means[row, column] = np.sort(means_here).mean()
        return means


def paired(results: Results, outcome: Outcome) -> Paired:
    """Line up an outcome's values; the order of rows does not matter."""
    kinds = kinds_of(results, outcome)
    if not kinds:
        return _lined_up(results, outcome, values(results, outcome))
    shown = labels(results)
    elsewhere = kinds & outcome.elsewhere
    trained = {label: kinds & results.trains_with.get(label, NOTHING) for label in shown}
    of_all = elsewhere.union(*trained.values())
    if of_all == kinds:  # nothing is foreign to all labels: then ranks are over what there is
        of_all = elsewhere if elsewhere != kinds else NOTHING
    sets = set(trained.values())
    pairs = (elsewhere | first | second for first, second in product(sets, repeat=2))
    parts = {
        left_out: _lined_up(results, outcome, values(results, outcome, left_out))
        for left_out in {NOTHING, elsewhere, of_all, *pairs}
    }
    return replace(parts[of_all], kinds=kinds, elsewhere=elsewhere, trained=trained, parts=parts)


def _lined_up(results: Results, outcome: Outcome, frame: pd.DataFrame) -> Paired:
    nothing_done = _undone(results, outcome) if len(frame) else frozenset()
    if nothing_done:
        planned = results.cells[CELL]
        there = pd.MultiIndex.from_frame(planned[["task", "model"]]).isin(list(nothing_done))
        frame = pd.concat([frame, planned[there].assign(value=np.nan)], ignore_index=True)
    index = ["task", "model", "seed"]
    table = frame.pivot(index=index, columns="label", values="value").sort_index()
    cells = frame.assign(there=1.0).pivot(index=index, columns="label", values="there")
    rows: dict[Setting, slice] = {}
    for number, (task, model, _) in enumerate(table.index):
        start = rows[task, model].start if (task, model) in rows else number
        rows[task, model] = slice(start, number + 1)
    by_label = frame.groupby(["task", "model", "label"])["value"].agg(["min", "count", "size"])
    planned_for: dict[str, set[Setting]] = {}
    for task, model, label in by_label.index:
        planned_for.setdefault(label, set()).add((task, model))
    lowest = by_label.loc[by_label["count"] > 0, "min"]
    whole = by_label.index[by_label["count"] == by_label["size"]]
    return Paired(
        outcome,
        frame,
        table.to_numpy(np.float64),
        cells.reindex_like(table).notna().to_numpy(),
        table.index.get_level_values("seed").to_numpy(),
        {str(label): number for number, label in enumerate(table.columns)},
        rows,
        {label: frozenset(where) for label, where in planned_for.items()},
        dict(zip(lowest.index.tolist(), lowest.tolist(), strict=True)),
        frozenset(whole.tolist()),
        {setting: name for setting, name in settings(results).items() if setting in rows},
        undone=nothing_done,
    )


def _undone(results: Results, outcome: Outcome) -> frozenset[Setting]:
    """Return the settings of which no cell is done, but those whose task is known to lack what it needs."""
    return frozenset(
        setting
        for setting in undone(results)
        if not outcome.needs
        or results.tasks.get(setting[0], {outcome.needs: True}).get(outcome.needs)
    )


def paired_outcomes(results: Results) -> list[Paired]:
    """Return all that these results are judged by, lined up."""
    return [paired(results, outcome) for outcome in outcomes(results)]


def comparable(results: Results, item: Paired) -> list[str]:
    """Return the labels that may have pairs with the baseline on an outcome."""
    if results.baseline not in item.columns:
        return []
    return [label for label in labels(results) if label != results.baseline]
