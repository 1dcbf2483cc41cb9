"""How each label compares with the baseline over all tasks: the numbers behind every verdict."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from reldrop_bench.reporting.outcomes import SATURATED, Outcome, margin_of, outcomes, values
from reldrop_bench.reporting.rows import Setting, labels, settings
from reldrop_bench.results import Results
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.decision import decision_interval, holm_divisors, standard_error
from reldrop_bench.statistics.equivalence import equivalence_p
from reldrop_bench.statistics.overall import overall_difference
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.permutation import sign_flip
from reldrop_bench.statistics.verdicts import TAIL, verdict

DECIDED = ("better", "worse", "higher", "lower", "equivalent")
"""Words of a verdict that says something."""
INCOMPLETE = "incomplete"
"""Word of a comparison that lacks whole tasks, whatever the others show: where a method fails is not chance."""
DECISION = ["verdict_low", "verdict_high", "confidence"]
"""Columns of the interval that a verdict rests on."""


@dataclass(frozen=True)
class Paired:
    """One outcome with all cells lined up in pairs.

    `table`: (pairs, labels), a row a (task, model, seed); NaN where a cell has no value. `cells`: of
    the same shape, whether the matrix holds the cell. `seeds`: (pairs,), those of the rows. `columns`:
    the label's column. `rows`: the setting's rows. `planned`: by label the settings it is in. `lowest`:
    by (task, model, label) the lowest value; `whole`: those of them that lack no cell. `settings`: all,
    with their names.
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
            setting for setting in self.settings if not self.outcome.saturates or setting in below
        )

    def shared(self, label: str, other: str) -> list[Setting]:
        """Return the settings that both were planned for and where one of them has a value."""
        both = self.planned.get(label, frozenset()) & self.planned.get(other, frozenset())
        return [
            setting
            for setting in self.settings
            if setting in both
            and ((*setting, label) in self.lowest or (*setting, other) in self.lowest)
        ]

    def common(self, label: str, other: str) -> list[Setting]:
        """Return the shared settings that tell something of these two, whatever the other labels do."""
        return [
            setting
            for setting in self.shared(label, other)
            if not self.is_saturated(setting, label, other)
        ]

    def groups(
        self, label: str, other: str, settings: Sequence[Setting] | None = None
    ) -> list[np.ndarray]:
        """Return label − other, an array a setting, NaN for half a pair; all `common` by default."""
        settings = self.common(label, other) if settings is None else settings
        first, second = self.columns[label], self.columns[other]
        difference = self.table[:, first] - self.table[:, second]
        there = self.cells[:, first] | self.cells[:, second]
        return [difference[self.rows[setting]][there[self.rows[setting]]] for setting in settings]

    def strata(
        self, label: str, other: str, settings: Sequence[Setting] | None = None
    ) -> list[np.ndarray]:
        """Return label − other, an array a task: for each seed the mean over the task's models.

        Models of a task share the data order and the splits of a seed, so that their differences are not
        independent; their mean is one observation. NaN where one of its pairs is half.
        """
        settings = self.common(label, other) if settings is None else settings
        first, second = self.columns[label], self.columns[other]
        difference = self.table[:, first] - self.table[:, second]
        there = self.cells[:, first] | self.cells[:, second]
        found = []
        for task in dict.fromkeys(task for task, _ in settings):
            chosen = np.concatenate(
                [np.arange(len(there))[self.rows[each]] for each in settings if each[0] == task]
            )
            chosen = chosen[there[chosen]]
            _, place = np.unique(self.seeds[chosen], return_inverse=True)
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
    frame = values(results, outcome)
    index = ["task", "model", "seed"]
    table = frame.pivot(index=index, columns="label", values="value").sort_index()
    cells = frame.assign(there=1.0).pivot(index=index, columns="label", values="there")
    rows: dict[Setting, slice] = {}
    for number, (task, model, _) in enumerate(table.index):
        start = rows[task, model].start if (task, model) in rows else number
        rows[task, model] = slice(start, number + 1)
    by_label = frame.groupby(["task", "model", "label"])["value"].agg(["min", "count", "size"])
    planned: dict[str, set[Setting]] = {}
    for task, model, label in by_label.index:
        planned.setdefault(label, set()).add((task, model))
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
        {label: frozenset(where) for label, where in planned.items()},
        dict(zip(lowest.index.tolist(), lowest.tolist(), strict=True)),
        frozenset(whole.tolist()),
        {setting: name for setting, name in settings(results).items() if setting in rows},
    )


def paired_outcomes(results: Results) -> list[Paired]:
    """Return all that these results are judged by, lined up."""
    return [paired(results, outcome) for outcome in outcomes(results)]


def comparable(results: Results, item: Paired) -> list[str]:
    """Return the labels that may have pairs with the baseline on an outcome."""
    if results.baseline not in item.columns:
        return []
    return [label for label in labels(results) if label != results.baseline]


def judge(results: Results, lined_up: Sequence[Paired] | None = None) -> pd.DataFrame:
    """Compare every label with the baseline over all settings, but those where both are saturated.

    Returns a row a (label, outcome): the fields of `OverallDifference`; p_sign_flip, the smallest
    value that it can have and the number of differing pairs, which decides that; worst, the mean if the
    label had an accuracy of 0 in every task that it lacks (NaN for what is no accuracy); p_equivalence (NaN
    where no margin applies); p_pair, Holm-adjusted over the outcomes of this label alone; p_page and
    p_page_equivalence, over all labels and outcomes; verdict, by p_pair; verdict_low, verdict_high and
    confidence, the interval that it rests on (see `statistics.decision`); margin (NaN: none); and holds,
    whether it is also reached by p_page. All but p_page, p_page_equivalence and holds depend on the label's and
    the baseline's own cells alone.
    """
    lined_up = paired_outcomes(results) if lined_up is None else lined_up
    others = [(item, set(comparable(results, item))) for item in lined_up]
    rows = [
        {"label": label, "outcome": item.outcome.key}
        | compare(results, item, label, results.baseline)
        for label in labels(results)
        for item, comparables in others
        if label in comparables and item.common(label, results.baseline)
    ]
    frame = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["label", "outcome"])
    if frame.empty:
        return frame
    frame["p_page"] = holm(frame["p"].to_numpy())
    frame["p_page_equivalence"] = holm(frame["p_equivalence"].to_numpy())
    for adjusted, raw in (("p_pair", "p"), ("p_pair_equivalence", "p_equivalence")):
        frame[adjusted] = _by_label(frame, raw, holm)
    directions = frame["outcome"].map({i.outcome.key: i.outcome.direction for i in lined_up})
    frame["verdict"], on_the_page = (
        list(map(verdict, frame["mean"], frame[p], frame[f"{p}_equivalence"], directions))
        for p in ("p_pair", "p_page")
    )
    frame["holds"] = (frame["verdict"] == on_the_page) & frame["verdict"].isin(DECIDED)
    divisors = _by_label(frame, "p", holm_divisors)
    of_equivalence = _by_label(frame, "p_equivalence", holm_divisors)
    return with_intervals(frame, divisors, of_equivalence)


def with_intervals(
    frame: pd.DataFrame, divisors: Iterable[float], of_equivalence: Iterable[float]
) -> pd.DataFrame:
    """Return a table of comparisons and verdicts with `DECISION`; those that lack whole tasks are `INCOMPLETE`.

    divisors, of_equivalence: what Holm's method divides the level of each row's tests by.
    """
    intervals = [
        decision_interval(
            row["mean"], row["error"], row["df"], row["verdict"], divisor,
            None if np.isnan(row["margin"]) else of_margin, least=row["df_least"],
        )
        for row, divisor, of_margin in zip(
            frame.to_dict("records"), divisors, of_equivalence, strict=True
        )
    ]  # fmt: skip
    frame[DECISION] = intervals
    lacking = (frame["settings"] < frame["settings_expected"]) & (frame["n"] > 0)
    words = frame["verdict"].mask(lacking, INCOMPLETE)
    holds = {"holds": frame["holds"] & ~lacking} if "holds" in frame else {}
    return frame.assign(verdict=words, **holds)


def _by_label(frame: pd.DataFrame, p: str, adjust: Callable[[np.ndarray], np.ndarray]) -> pd.Series:
    return frame.groupby("label", sort=False)[p].transform(lambda part: adjust(part.to_numpy()))


def judge_tasks(results: Results, lined_up: Sequence[Paired]) -> pd.DataFrame:
    """Compare every label with the baseline on every single task.

    Returns the rows of `against_baseline` with outcome, saturated, p_holm (adjusted over all tasks and
    outcomes of the label that are not saturated), verdict ("saturated" where they cannot) and the
    columns of `DECISION`.
    """
    parts = [
        against_baseline(item.frame, results.baseline).assign(outcome=item.outcome.key)
        for item in lined_up
    ]
    frame = pd.concat(parts, ignore_index=True)
    of = {item.outcome.key: item for item in lined_up}
    columns = ["outcome", "task", "model", "label"]
    frame["saturated"] = [
        of[key].is_saturated((task, model), label, results.baseline)
        for key, task, model, label in frame[columns].itertuples(index=False, name=None)
    ]
    tested = frame[~frame["saturated"]]
    frame["p_holm"] = _by_label(tested, "p", holm)
    frame["divisor"] = _by_label(tested, "p", holm_divisors)
    frame["error"] = standard_error(frame["low"], frame["high"], frame["n"], TAIL)
    frame["verdict"] = [
        "saturated"
        if row["saturated"]
        else verdict(row["mean"], row["p_holm"], direction=of[row["outcome"]].outcome.direction)
        for row in frame.to_dict("records")
    ]
    frame[DECISION] = [
        decision_interval(row["mean"], row["error"], row["n"] - 1, row["verdict"], row["divisor"])
        for row in frame.to_dict("records")
    ]
    return frame.drop(columns=["divisor", "error"])


def _at_worst(item: Paired, label: str, other: str, groups: Sequence[np.ndarray]) -> float:
    """Return the mean over tasks if the label had an accuracy of 0 in every task that it lacks."""
    settings = item.common(label, other)
    means = []
    for task, group in zip(dict.fromkeys(task for task, _ in settings), groups, strict=True):
        there = group[np.isfinite(group)]
        if len(there) > 1 or (len(there) and max(map(len, groups)) == 1):
            means.append(float(there.mean()))
            continue
        runs = item.runs(other, [each for each in settings if each[0] == task])
        values = np.concatenate(runs)
        means.append(-float(values.mean()) if len(values) else -1.0)
    return float(np.mean(means)) if means else np.nan


def compare(results: Results, item: Paired, label: str, other: str) -> dict[str, object]:
    """Return the fields of a row of `judge` that say how a label compares with another one."""
    groups = item.strata(label, other)
    difference = overall_difference(groups)
    flipped = sign_flip(groups)
    margin = margin_of(results, item.outcome)
    pairs = np.concatenate([group[np.isfinite(group)] for group in groups])
    worst = _at_worst(item, label, other, groups) if item.outcome.saturates else np.nan
    return asdict(difference) | {
        "p_sign_flip": flipped.p,
        "smallest_p_sign_flip": flipped.smallest_p,
        "worst": worst,
        "differing": int(np.count_nonzero(pairs)),
        "margin": np.nan if margin is None else margin,
        "p_equivalence": np.nan
        if margin is None
        else equivalence_p(
            difference.mean, difference.error, difference.df, margin, difference.df_least
        ),
    }
