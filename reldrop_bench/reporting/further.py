"""Metrics that a section shows beside its own tables: what lies behind these, and who shows what."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reldrop_bench.kinds.section import Table
from reldrop_bench.reporting.rows import metric_paths, with_holes
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, directed
from reldrop_bench.results import Results


def fits(path: str, patterns: Sequence[str]) -> bool:
    """Return whether one of the patterns of `ReportSection.shows` fits an "EVALUATION/SPLIT/METRIC"."""
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def rows_fitting(results: Results, patterns: Sequence[str]) -> pd.DataFrame:
    """Return the metrics that fit one of the patterns, as `Results.metrics` holds them."""
    chosen = [row for path, row in metric_paths(results).items() if fits(path, patterns)]
    wanted = pd.DataFrame(chosen, columns=["evaluation", "split", "metric"])
    return results.metrics.merge(wanted, on=["evaluation", "split", "metric"])


def further_tables(
    results: Results, name: str, patterns: Sequence[str], digits: int | None = None
) -> dict[str, Table]:
    """Return for each setting a folded table with a column for each metric that fits."""
    rows = rows_fitting(results, patterns)
    split = rows["split"].astype(str)
    names = [
        directed(results, evaluation, metric, metric.replace("_", " "))
        for evaluation, metric in zip(rows["evaluation"], rows["metric"], strict=True)
    ]
    column = pd.Series(names, index=rows.index, dtype=str)
    rows = rows.assign(column=column.where(split == "test", split + ": " + column))
    values = with_holes(results, rows.sort_values("column", kind="stable"))
    tables = by_column(results, name, f"further numbers, {OVER_SEEDS}.", values, digits)
    return {setting: replace(table, folded=True) for setting, table in tables.items()}
