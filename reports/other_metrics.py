"""Every metric that no other section shows: those of evaluations of one's own."""

from collections.abc import Sequence
from typing import Any, cast

import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.further import fits
from reldrop_bench.reporting.layout import how_to_read
from reldrop_bench.reporting.rows import (
    CELL,
    holes,
    in_order,
    metric_paths,
    settings,
    summary,
    with_holes,
)
from reldrop_bench.reporting.tables import digits_of, interval_text, texts
from reldrop_bench.statistics.paired import against_baseline


class OtherMetrics(ReportSection):
    """A table a task: each metric by regularizer, with its difference to the baseline."""

    name = "other-metrics"
    title = "Other metrics"
    order = 780
    opening = """
    Metrics that no other section shows, mean ± standard deviation over seeds, and their seed-paired
    differences to the baseline with 95 % t intervals (exploratory: not adjusted for the number of
    comparisons, and no verdict; `report --metric` judges by one of them). Which direction is better is what
    the evaluation declares. A section of one's own that shows such a metric says so in
    `shows = ("my-evaluation/.*",)`; then it is left out here."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = _unshown(results)
        if rows.empty:
            return [Prose("Every metric that was measured is shown by another section.")]
        values = with_holes(results, rows)
        if values.empty:
            return [Prose("The metrics that no other section shows have no value.", "warning")]
        blocks: list[Block] = [how_to_read(self.opening), *holes(values), _described(results, rows)]
        return [*blocks, *_tables(results, values)]


def _unshown(results: Results) -> pd.DataFrame:
    """Return the metrics that no installed section names, their path as `column`."""
    shown = [
        pattern
        for entry in registry.entries("sections")
        if entry.cls is not None
        for pattern in cast(type[ReportSection], entry.cls).shows
    ]
    left = {path: row for path, row in metric_paths(results).items() if not fits(path, shown)}
    wanted = pd.DataFrame(
        [(*row, path) for path, row in sorted(left.items())],
        columns=["evaluation", "split", "metric", "column"],
    )
    return wanted.merge(results.metrics, on=["evaluation", "split", "metric"])


def _described(results: Results, rows: pd.DataFrame) -> Table:
    """Return what the evaluations say of each metric."""
    listed = []
    for path, part in rows.groupby("column", sort=False):
        evaluation, metric = part["evaluation"].iloc[0], part["metric"].iloc[0]
        better, measures = results.declared.get((evaluation, metric), ("neither", ""))
        listed.append(
            {
                "metric": path,
                "better": better,
                "what it measures": measures or "not said",
                "cells": part[CELL].drop_duplicates().shape[0],
            }
        )
    frame = pd.DataFrame(listed)
    caption = "What these metrics are, as EVALUATION/SPLIT/METRIC, and how many cells have a value."
    return Table("other-metrics", caption, frame)


def _tables(results: Results, values: pd.DataFrame) -> list[Block]:
    """Return a table a setting: a row a metric and label."""
    within = ["task", "model", "column"]
    means = summary(results, values)
    compared = against_baseline(values, results.baseline, within)
    numbers = ["difference", "low", "high", "pairs", "pairs_expected", "p"]
    renamed = {"mean": "difference", "n": "pairs", "n_expected": "pairs_expected"}
    compared = compared.rename(columns=renamed)[[*within, "label", *numbers]]
    merged = means.merge(compared, on=[*within, "label"], how="left")
    merged = merged.assign(place=pd.factorize(merged["column"], sort=True)[0])
    merged = in_order(results, merged, "setting", "label").sort_values("place", kind="stable")
    tables: list[Block] = []
    for name in settings(results).values():
        part = merged[merged["setting"] == name].reset_index(drop=True)
        if len(part):
            tables.append(_table(results, name, part))
    return tables


def _table(results: Results, name: str, part: pd.DataFrame) -> Table:
    digits = digits_of(part, None)
    differences = [
        _difference(results, row, places)
        for row, places in zip(part.to_dict("records"), digits, strict=True)
    ]
    by_path = metric_paths(results)
    better = [results.direction(by_path[path][0], by_path[path][2]) for path in part["column"]]
    frame = pd.DataFrame(
        {
            "metric": part["column"],
            "better": better,
            "label": part["label"],
            "mean ± sd": texts(part, None),
            f"difference to “{results.baseline}” [95 % interval]": differences,
        }
    )
    tones = {text: "warn" for column in frame for text in frame[column] if "(n=" in str(text)}
    caption = f"{name}: metrics that no other section shows, by label."
    data = part.drop(columns=["setting", "place"]).rename(columns={"column": "metric"})
    return Table(f"other-metrics-{name}", caption, frame, data=data, tones=tones)


def _difference(results: Results, row: dict[Any, Any], digits: int) -> str:
    if row["label"] == results.baseline:
        return "baseline"
    if pd.isna(row["pairs"]):
        return "–"
    whole = {"mean": row["difference"], "low": row["low"], "high": row["high"]}
    return interval_text(
        {**whole, "n": int(row["pairs"]), "n_expected": int(row["pairs_expected"])}, digits
    )
