"""Tables that several sections show: means over seeds, and differences to the baseline."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.kinds.section import Table
from reldrop_bench.reporting.best import BOLD, best_labels, best_overall
from reldrop_bench.reporting.rows import labels, settings, summary, within
from reldrop_bench.results import Results
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.spread import shown, written

POWER_OF_TEN = -2
"""Digits of what is too small or large to be written out, see `written`."""
OVER_TASKS = "mean over tasks"
OVER_SEEDS = "mean ± standard deviation over seeds"


def texts(frame: pd.DataFrame, digits: int | None = 3) -> list[str]:
    """Write each row of `summary` as "mean ± sd", with n where a seed is missing.

    digits: after the point; None: what suits the numbers of each `column`.
    """
    columns = (
        frame["mean"],
        frame["sd"],
        frame["n"],
        frame["n_expected"],
        digits_of(frame, digits),
    )
    return [shown(*row[:-1], digits=row[-1]) for row in zip(*columns, strict=True)]


def digits_of(frame: pd.DataFrame, digits: int | None) -> list[int]:
    """Return for each row the digits after the point, as `written` takes them.

    digits: the same for all; None: three that count, by `column`.
    """
    if digits is not None:
        return [digits] * len(frame)
    size = frame["mean"].abs()
    usual = size.where(size > 0).groupby(frame["column"]).transform("median").fillna(1)
    places = 2 - np.floor(np.log10(usual / 2))
    return [int(number) for number in places.clip(0, 6).where(places.between(-7, 7), POWER_OF_TEN)]


def directed(results: Results, evaluation: str, metric: str, text: str) -> str:
    """Name a column with the direction of its metric: "gini (lower)"; none where neither is better."""
    direction = results.direction(evaluation, metric)
    return text if direction == "neither" else f"{text} ({direction})"


def _tones(wide: pd.DataFrame) -> dict[str, str]:
    """Mark cells that lack seeds or were left out."""
    marked = {text: "warn" for column in wide for text in wide[column] if "(n=" in str(text)}
    return {**marked, "left out": "muted"}


def _spread_out(results: Results, frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a row a label and a column for each value of `column` from the texts in `frame`."""
    cells = dict(zip(zip(frame["label"], frame[column], strict=True), frame["text"], strict=True))
    present, columns = set(frame["label"]), list(dict.fromkeys(frame[column]))
    return pd.DataFrame(
        [
            {"label": label} | {name: cells.get((label, name), "left out") for name in columns}
            for label in labels(results)
            if label in present
        ]
    )


def by_setting(
    results: Results,
    name: str,
    caption: str,
    values: pd.DataFrame,
    digits: int = 3,
    better: str = "neither",
) -> Table:
    """Return a table with a row a label and a column a setting, "mean ± sd" in each cell.

    Where there are several settings, the mean over them stands last. better: "higher" or "lower":
    then the best of a column is bold.
    """
    frame = summary(results, values)
    wide = _spread_out(results, frame.assign(text=texts(frame, digits)), "setting")
    names = settings(results)
    of_labels = best_labels(values, frame, better)
    best = {names[task, model]: _keys(labels) for (task, model), labels in of_labels.items()}
    if frame["setting"].nunique() > 1:
        means = _over_settings(frame)
        wide[OVER_TASKS] = [_mean_text(means, label, digits) for label in wide["label"]]
        whole = means.loc[means["n"] == means["n_expected"], "mean"]
        best[OVER_TASKS] = _keys(best_overall(results, values, whole, better))
        caption += " The last column is the mean over tasks, each with the same weight."
    tones = _tones(wide)
    return Table(name, _with_bold(caption, best), wide, data=frame, tones=tones, best=best)


def _over_settings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean, n and n_expected by label, of those that have a value in every setting."""
    there = frame[frame["n"] > 0].groupby("label", sort=False)
    means = there.agg(
        mean=("mean", "mean"), n=("n", "sum"), n_expected=("n_expected", "sum"), count=("n", "size")
    )
    return means[means["count"] == frame["setting"].nunique()]


def _mean_text(means: pd.DataFrame, label: str, digits: int) -> str:
    if label not in means.index:
        return "–"
    row = means.loc[label]
    short = "" if row["n"] == row["n_expected"] else f" (n={row['n']:.0f}/{row['n_expected']:.0f})"
    return f"{row['mean']:.{digits}f}{short}".replace("-", "−")


def _keys(labels: Iterable[str]) -> set[tuple[str, ...]]:
    return {(label,) for label in labels}


def _with_bold(caption: str, best: Mapping[str, Any]) -> str:
    return f"{caption} {BOLD}" if any(best.values()) else caption


def by_column(
    results: Results,
    name: str,
    caption: str,
    values: pd.DataFrame,
    digits: int | None = 3,
    better: Mapping[str, str] | str = "neither",
) -> dict[str, Table]:
    """Return for each setting a table with a row a label and a column for each `column`.

    better: "higher" or "lower", of all columns or by column: then the best of it is bold.
    """
    frame = summary(results, values)
    tables, names = {}, settings(results)
    best: dict[str, dict[str, set[tuple[str, ...]]]] = {}
    for (task, model, column), of_column in best_labels(values, frame, better).items():
        best.setdefault(names[task, model], {})[column] = _keys(of_column)
    for setting, part in frame.groupby("setting", sort=False):
        wide = _spread_out(results, part.assign(text=texts(part, digits)), "column")
        bold = best.get(str(setting), {})
        whole = _with_bold(f"{setting}: {caption}", bold)
        tables[str(setting)] = Table(
            f"{name}-{setting}", whole, wide, data=part, tones=_tones(wide), best=bold
        )
    return tables


def stacked(parts: Mapping[str, Mapping[str, Table]], heading: str) -> dict[str, Table]:
    """Put each setting's tables below one another; a first column `heading` tells them apart.

    parts: by what that column says, the tables of `by_column` or `difference_tables`.
    """
    joined: dict[str, Table] = {}
    for setting in dict.fromkeys(setting for tables in parts.values() for setting in tables):
        of_setting = {part: tables[setting] for part, tables in parts.items() if setting in tables}
        frame, data = (
            pd.concat(frames, names=[heading]).reset_index(level=0).reset_index(drop=True)
            for frames in (
                {part: table.frame for part, table in of_setting.items()},
                {part: table.data for part, table in of_setting.items() if table.data is not None},
            )
        )
        tones = {
            text: tone
            for table in of_setting.values()
            for text, tone in (table.tones or {}).items()
        }
        best: dict[str, set[tuple[str, ...]]] = {}
        for part, table in of_setting.items():
            for column, keys in (table.best or {}).items():
                best.setdefault(column, set()).update((part, *key) for key in keys)
        first = next(iter(of_setting.values()))
        joined[setting] = replace(
            first, frame=frame, data=data, tones=tones, best=best, keys=(heading, *first.keys)
        )
    return joined


def difference_tables(
    results: Results, name: str, what: str, values: pd.DataFrame, digits: int | None = 3
) -> dict[str, Table]:
    """Return for each setting a folded table of differences to the baseline, by `column`."""
    compared = against_baseline(values, results.baseline, ("task", "model", "column"))
    caption = f"differences of {what} to “{results.baseline}”"
    tables = interval_tables(results, name, caption, compared, digits)
    return {setting: replace(table, folded=True) for setting, table in tables.items()}


def interval_tables(
    results: Results,
    name: str,
    what: str,
    compared: pd.DataFrame,
    digits: int | None = 3,
    sign: bool = True,
) -> dict[str, Table]:
    """Return for each setting a table of what `against_baseline` gives of each `column`.

    Means over seed-paired values with 95 % t intervals; exploratory: no test, no verdict.
    """
    caption = (
        f"{what}, mean over pairs with 95 % t interval "
        "(exploratory: not adjusted for the number of comparisons)."
    )
    tables = {}
    for pair, setting in settings(results).items():
        part = within(compared, pair)
        if part["n"].sum():
            rows = zip(part.to_dict("records"), digits_of(part, digits), strict=True)
            text = [interval_text(row, places, sign=sign) for row, places in rows]
            wide = _spread_out(results, part.assign(text=text), "column")
            whole = f"{setting}: {caption}"
            tones = _tones(wide)
            tables[setting] = Table(f"{name}-{setting}", whole, wide, data=part, tones=tones)
    return tables


def without_empty(frame: pd.DataFrame, column: str = "remark") -> pd.DataFrame:
    """Leave a column out in which no row says anything."""
    return (
        frame
        if frame.get(column, pd.Series()).any()
        else frame.drop(columns=column, errors="ignore")
    )


def p_text(value: float) -> str:
    """Write a p-value to three digits; a dash where there is none."""
    if pd.isna(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def interval_text(
    row: Mapping[Any, Any], digits: int = 3, counted: bool = True, sign: bool = True
) -> str:
    """Write a row of `against_baseline` as "+0.031 [−0.010, +0.072]"; say what is missing if `counted`.

    sign: with the sign of what is above zero.
    """
    whole = not counted or row["n"] == row["n_expected"]
    count = "" if whole else f" (n={row['n']}/{row['n_expected']})"
    if not row["n"]:
        return f"–{count}"
    mean, low, high = (written(row[name], digits, sign) for name in ("mean", "low", "high"))
    # Differences that are all equal have no spread to make one of.
    return (
        f"{mean} [no interval]{count}"
        if not row["low"] < row["high"]
        else f"{mean} [{low}, {high}]{count}"
    )


def decided(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row of `judge` or `judge_tasks` with the interval that its verdict rests on."""
    return {**row, "low": row["verdict_low"], "high": row["verdict_high"]}


def decided_text(row: Mapping[Any, Any], digits: int = 3, counted: bool = True) -> str:
    """Write a verdict's difference and interval, with as many digits as show what was decided."""
    row, margin = decided(row), row.get("margin", np.nan)
    bounds = [0.0] if np.isnan(margin) else [0.0, margin, -margin]
    numbers = [row[name] for name in ("low", "high")]
    return interval_text(row, telling_digits(numbers, bounds, digits), counted)


def telling_digits(numbers: Sequence[float], bounds: Sequence[float], digits: int = 3) -> int:
    """Return the least digits, `digits` or more, with which rounding puts no number on a bound or past it.

    What is written as a power of ten stays so.
    """
    if digits < 0:
        return digits

    def side(number: float, bound: float) -> int:
        return (number > bound) - (number < bound)

    pairs = [(number, bound) for number in numbers for bound in bounds]
    return next(
        (
            places
            for places in range(digits, 12)
            if all(
                side(number, bound) == side(round(number, places), bound) for number, bound in pairs
            )
        ),
        12,
    )
