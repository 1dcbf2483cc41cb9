"""Cells that several sets have computed: do they agree?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reldrop_bench.comparing.alignment import Alignment
from reldrop_bench.comparing.result_sets import ResultSet
from reldrop_bench.statistics.wording import by_number, counted

COLUMNS = (
    "first", "other", "evaluation", "metric", "values", "equal", "largest", "where",
)  # fmt: skip
"""A row a metric of two sets: how many values both have, how many are equal to the last bit, the
largest deviation, and the split and cell that has it."""

_VALUE = ["key", "evaluation", "split", "metric"]


def reproduction(sets: Sequence[ResultSet], alignment: Alignment) -> pd.DataFrame:
    """Compare the metrics of cells that two sets have both computed; see `COLUMNS`.

    Cells are the same where their keys are and their setting is one setting; values are compared
    where the evaluation has the same key, too.
    """
    rows = []
    for later in range(1, len(sets)):
        for earlier in range(later):
            both = _both(sets[earlier], sets[later], _shared(sets, alignment, earlier, later))
            rows += _rows(sets[earlier].name, sets[later].name, both)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _shared(
    sets: Sequence[ResultSet], alignment: Alignment, earlier: int, later: int
) -> set[tuple[str, str]]:
    """Return the (key, evaluation) that both sets have measured, of settings that are the same."""
    first, other = sets[earlier], sets[later]
    shared = set()
    for entry in other.benchmark.matrix:
        key = entry.key
        if key not in first.records or key not in other.records:
            continue
        if alignment.settings[later][entry.setting] not in alignment.settings[earlier].values():
            continue
        ours, theirs = first.evaluation_keys(key), other.evaluation_keys(key)
        shared |= {(key, name) for name in ours if ours[name] == theirs.get(name)}
    return shared


def _both(first: ResultSet, other: ResultSet, shared: set[tuple[str, str]]) -> pd.DataFrame:
    columns = [*_VALUE, "task", "model", "label", "seed", "value"]
    frames = []
    for result_set in (first, other):
        metrics = result_set.results.metrics
        chosen = metrics[metrics["key"].isin({key for key, _ in shared})][columns]
        is_shared = [
            pair in shared for pair in zip(chosen["key"], chosen["evaluation"], strict=True)
        ]
        chosen = chosen[np.array(is_shared, dtype=bool)]
        frames.append(chosen.astype(dict.fromkeys(_VALUE, object)))
    values = frames[1][[*_VALUE, "value"]]
    return frames[0].merge(values, on=_VALUE, suffixes=("", "_other"))


def _rows(first: str, other: str, both: pd.DataFrame) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    ordered = both.sort_values(_VALUE)
    for (evaluation, metric), part in ordered.groupby(["evaluation", "metric"], sort=True):
        left, right = (part[name].to_numpy(dtype=np.float64) for name in ("value", "value_other"))
        deviations = np.abs(left - right)
        worst = part.iloc[int(deviations.argmax())]
        where = f"{worst['split']}: {worst['task']} · {worst['label']}, seed {worst['seed']}"
        counts = (len(part), int((left == right).sum()), float(deviations.max()))
        values = (first, other, evaluation, metric, *counts, where if counts[2] else "")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def reproduction_remarks(table: pd.DataFrame, sets: Sequence[ResultSet]) -> list[str]:
    """Say in a sentence for any two sets how well the cells agree that both have computed."""
    records = {result_set.name: result_set.records for result_set in sets}
    remarks = []
    for (first, other), part in table.groupby(["first", "other"], sort=False):
        cells = len(records[str(first)].keys() & records[str(other)].keys())
        count, equal = int(part["values"].sum()), int(part["equal"].sum())
        text = f"{counted(cells, 'cell')} {by_number(cells, 'is', 'are')} in both {first} and {other}: "
        if equal == count:
            are = by_number(count, "metric that both measured is", "metrics that both measured are")
            text += f"all {count} {are} equal to the last bit."
        else:
            worst = part[part["largest"] > 0].sort_values(
                ["largest", "evaluation", "metric"], ascending=[False, True, True]
            )
            named = "; ".join(
                f"{row['evaluation']}/{row['metric']} {row['largest']:.3g} ({row['where']})"
                for row in worst.head(3).to_dict("records")
            )
            are = by_number(equal, "is", "are")
            text += (
                f"{counted(equal, 'metric', total=count)} {are} equal to the last bit; the largest deviations: "
                f"{named}. The cells of {first} are kept."
            )
        remarks.append(text)
    return remarks
