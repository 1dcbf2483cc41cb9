"""How each label compares with the baseline over all tasks: the numbers behind every verdict."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from reldrop_bench.kinds.outcome import Outcome
from reldrop_bench.reporting.outcomes import margin_of
from reldrop_bench.reporting.pairs import Paired, comparable, paired_outcomes
from reldrop_bench.reporting.rows import labels
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
PRIMARY, EXPLORATORY = "primary", "exploratory"
"""Roles of outcomes: conclusions rest on primary ones."""
INCOMPLETE = "incomplete"
"""Word of a comparison that lacks whole tasks, whatever the others show: where a method fails is not chance."""
DECISION = ["verdict_low", "verdict_high", "confidence"]
"""Columns of the interval that a verdict rests on."""


def judge(results: Results, lined_up: Sequence[Paired] | None = None) -> pd.DataFrame:
    """Compare every label with the baseline over all settings, but those where both are saturated.

    Returns a row a (label, outcome): the fields of `OverallDifference`; role, "primary" or "exploratory";
    p_sign_flip, the smallest value that it can have and the number of differing pairs, which decides that;
    with_trained, the mean with the kinds that the label is trained with (NaN: none); worst, the mean if the
    label had an accuracy of 0 in every task that it lacks (NaN for what is no accuracy); p_equivalence (NaN
    where no margin applies); p_pair, Holm-adjusted over the outcomes of this label and role; p_page and
    p_page_equivalence, over all labels and outcomes of the role; verdict, by p_pair; verdict_low,
    verdict_high and confidence, the interval that it rests on (see `statistics.decision`); margin (NaN:
    none); and holds, whether it is also reached by p_page. All but p_page, p_page_equivalence and holds
    depend on the label's and the baseline's own cells alone, but that a task where both have no value counts as
    missing where another label has one.
    """
    lined_up = paired_outcomes(results) if lined_up is None else lined_up
    rows = [
        {"label": label, "outcome": item.outcome.key, "role": role_of(item.outcome)}
        | compare(results, item, label, results.baseline)
        for label in labels(results)
        for item in lined_up
        if label != results.baseline and item.common(label, results.baseline)
    ]
    frame = pd.DataFrame(rows, columns=list(rows[0]) if rows else ["label", "outcome"])
    if frame.empty:
        return frame
    for raw in ("p", "p_equivalence"):
        which = raw.removeprefix("p")
        frame[f"p_page{which}"] = adjusted(frame, ["role"], raw, holm)
        frame[f"p_pair{which}"] = adjusted(frame, ["label", "role"], raw, holm)
    directions = frame["outcome"].map({i.outcome.key: i.outcome.direction for i in lined_up})
    frame["verdict"], on_the_page = (
        list(map(verdict, frame["mean"], frame[p], frame[f"{p}_equivalence"], directions))
        for p in ("p_pair", "p_page")
    )
    frame["holds"] = (frame["verdict"] == on_the_page) & frame["verdict"].isin(DECIDED)
    divisors, of_equivalence = (
        adjusted(frame, ["label", "role"], raw, holm_divisors) for raw in ("p", "p_equivalence")
    )
    return with_intervals(frame, divisors, of_equivalence)


def with_intervals(
    frame: pd.DataFrame, divisors: Iterable[float], of_equivalence: Iterable[float]
) -> pd.DataFrame:
    """Return a table of comparisons and verdicts with `DECISION`; those that lack whole tasks are `INCOMPLETE`.

    divisors, of_equivalence: what Holm's method divides the level of each row's tests by.
    """
    lacking = (frame["settings"] < frame["settings_expected"]) & (frame["n"] > 0)
    frame["verdict"] = frame["verdict"].mask(lacking, INCOMPLETE)
    frame[DECISION] = [
        decision_interval(
            row["mean"], row["error"], row["df"], row["verdict"], divisor,
            None if np.isnan(row["margin"]) else of_margin, least=row["df_least"],
        )
        for row, divisor, of_margin in zip(
            frame.to_dict("records"), divisors, of_equivalence, strict=True
        )
    ]  # fmt: skip
    return frame.assign(holds=frame["holds"] & ~lacking) if "holds" in frame else frame


def decided_in(
    frame: pd.DataFrame, family: str, name: str, direction: Sequence[str]
) -> pd.DataFrame:
    """Return comparisons with p_NAME and p_NAME_equivalence, verdict, and the columns of `DECISION`.

    Adjusted by Holm's method over the rows that agree in column `family`. direction: which is better, a row.
    """
    for raw in ("p", "p_equivalence"):
        frame[raw.replace("p", f"p_{name}", 1)] = adjusted(frame, [family], raw, holm)
    ps = (frame[f"p_{name}"], frame[f"p_{name}_equivalence"])
    frame["verdict"] = list(map(verdict, frame["mean"], *ps, direction))
    divisors = (adjusted(frame, [family], p, holm_divisors) for p in ("p", "p_equivalence"))
    return with_intervals(frame, *divisors)


def role_of(outcome: Outcome) -> str:
    """Return which family an outcome's tests belong to."""
    return PRIMARY if outcome.primary else EXPLORATORY


def adjusted(
    frame: pd.DataFrame, family: list[str], p: str, adjust: Callable[[np.ndarray], np.ndarray]
) -> pd.Series:
    """Return column `p` adjusted over the rows that agree in `family`."""
    return frame.groupby(family, sort=False)[p].transform(lambda part: adjust(part.to_numpy()))


def _frames(results: Results, item: Paired) -> Iterable[pd.DataFrame]:
    """Return an outcome's values, the labels apart that are compared without other kinds."""
    if not item.parts:
        return [item.frame]
    groups: dict[int, list[str]] = {}
    for label in comparable(results, item):
        groups.setdefault(id(item.of(label, results.baseline)), []).append(label)
    return [
        part[part["label"].isin([results.baseline, *group])]
        for group in groups.values()
        for part in [item.of(group[0], results.baseline).frame]
    ]


def judge_tasks(results: Results, lined_up: Sequence[Paired]) -> pd.DataFrame:
    """Compare every label with the baseline on every single task.

    Returns the rows of `against_baseline` with outcome, role, saturated, p_holm (adjusted over all tasks and
    outcomes of the label and role that are not saturated), verdict ("saturated" where they cannot) and the
    columns of `DECISION`.
    """
    parts = [
        against_baseline(part, results.baseline).assign(
            outcome=item.outcome.key, role=role_of(item.outcome)
        )
        for item in lined_up
        for part in _frames(results, item)
    ]
    frame = pd.concat(parts, ignore_index=True)
    of = {item.outcome.key: item for item in lined_up}
    columns = ["outcome", "task", "model", "label"]
    frame["saturated"] = [
        of[key].of(label, results.baseline).is_saturated((task, model), label, results.baseline)
        for key, task, model, label in frame[columns].itertuples(index=False, name=None)
    ]
    tested = frame[~frame["saturated"]]
    frame["p_holm"] = adjusted(tested, ["label", "role"], "p", holm)
    frame["divisor"] = adjusted(tested, ["label", "role"], "p", holm_divisors)
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
    """Return the mean over tasks if the label had an accuracy of 0 in every task that it lacks, the other one 1."""
    settings = item.common(label, other)
    least = 2 if any(np.isfinite(group).sum() > 1 for group in groups) else 1
    means = []
    for task, group in zip(dict.fromkeys(task for task, _ in settings), groups, strict=True):
        there = group[np.isfinite(group)]
        if len(there) >= least:
            means.append(float(there.mean()))
            continue
        here = [each for each in settings if each[0] == task]
        mine, theirs = (np.concatenate(item.runs(name, here)) for name in (label, other))
        # Whichever is not there is taken for as bad, or as good, as can be.
        low = float(mine.mean()) if len(mine) and not len(theirs) else 0.0
        means.append(low - (float(theirs.mean()) if len(theirs) else 1.0))
    return float(np.mean(means)) if means else np.nan


def compare(results: Results, item: Paired, label: str, other: str) -> dict[str, object]:
    """Return the fields of a row of `judge` that say how a label compares with another one."""
    every, item = item.every(label, other), item.of(label, other)
    groups = item.strata(label, other)
    difference = overall_difference(groups)
    with_trained = np.nan if every is None else overall_difference(every.strata(label, other)).mean
    flipped = sign_flip(groups)
    margin = margin_of(results, item.outcome)
    pairs = np.concatenate([group[np.isfinite(group)] for group in groups])
    worst = _at_worst(item, label, other, groups) if item.outcome.saturates else np.nan
    return asdict(difference) | {
        "p_sign_flip": flipped.p,
        "smallest_p_sign_flip": flipped.smallest_p,
        "worst": worst,
        "with_trained": with_trained,
        "differing": int(np.count_nonzero(pairs)),
        "margin": np.nan if margin is None else margin,
        "p_equivalence": np.nan
        if margin is None
        else equivalence_p(
            difference.mean, difference.error, difference.df, margin, difference.df_least
        ),
    }
