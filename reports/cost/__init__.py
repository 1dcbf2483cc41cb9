"""What a method costs, and what it brings for that."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED, ranked
from reldrop_bench.reporting.pairs import Paired, paired
from reldrop_bench.reporting.rows import (
    CELL,
    Setting,
    labels,
    metric_values,
    settings,
    within,
    without_figures,
)
from reldrop_bench.statistics.paired import pair
from reldrop_bench.statistics.spread import shown

from .figures import Axis, scatter
from .overview import overview
from .pareto import CLEARLY, DOMINATED, FRONT, SAME, Point, Standing, places

BENEFITS = 2
"""Outcomes that cost is held against, the leading ones first."""

NUMBERS = [
    "step_seconds", "explained", "samples", "occluded_fraction", "train_seconds", "peak_memory",
]  # fmt: skip
NOTHING = pd.Series(dtype=np.float64)

Places = Mapping[tuple[str, str, Setting], Mapping[str, Standing]]
"""By axis, outcome and setting: where each label stands."""

MACHINE = """
Times depend on the machine and on what else ran on it: ratios of a few per cent mean nothing, and another
machine has other ones. Passes do not depend on it."""
PARETO = f"""
On the Pareto front of a task is a label that no other beats: none costs no more (within {SAME:.0%}) and
brings no less on average. Means take no account of uncertainty: with few seeds a label may be on the front,
or dominated, by luck. “Dominated clearly” asks for more: on the same seeds, the 95 % t interval of what the
other brings more excludes zero, and that of its cost excludes that it costs more (intervals are not adjusted
for the number of comparisons)."""


class Cost(ReportSection):
    """Time of a training step relative to the baseline, explanations, memory; benefit against it."""

    name = "cost"
    title = "Cost against benefit"
    order = 700
    shows = ("cost/test/.*", *JUDGED[:BENEFITS])
    axis: Literal["all", "time", "passes"] = "all"
    """What the figures count as cost: the time of a step, its passes, or each of them."""

    opening = """
    Step time is the median time of a training step divided by that of the baseline with the same task, model
    and seed; the table gives the geometric mean over seeds and the range. Explanations per sample counts
    attributions in training. Passes per step are the operations of a training step in forward passes of the
    same batch (3 for plain training), of matrix products and convolutions alone, with a map made anew for
    each sample that asks for one. Energy is that of the whole machine."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        cells = results.cells
        axes = [axis for axis in _axes(results) if self.axis in ("all", axis.key)]
        if not cells["step_seconds"].notna().any() and not cells["train_seconds"].notna().any():
            if results.trained_elsewhere:
                return [Prose("These models were trained elsewhere: their cost is not known.")]
            if not axes:
                return [Prose("No cell has timings.", "warning")]
        judged = [paired(results, outcome) for outcome in ranked(results)[:BENEFITS]]
        fronts = {
            (axis.key, item.outcome.key, setting): places(_points(axis, item, setting))
            for axis in axes
            for item in judged
            for setting in item.settings
        }
        blocks: list[Block] = [
            how_to_read(self.opening),
            paragraph(MACHINE, "note"),
            _table(results, axes, judged, fronts),
        ]
        if axes and judged:
            blocks += [paragraph(PARETO), *overview(results, style, axes, judged)]
            blocks += without_figures(results, list(settings(results)))
            for axis in axes:
                where = {key[1:]: value for key, value in fronts.items() if key[0] == axis.key}
                blocks += scatter(results, style, axis, judged, where)
        return blocks


def _axes(results: Results) -> list[Axis]:
    """Return the costs that were measured, a value a cell."""
    cells = results.cells
    steps = cells[CELL].assign(value=np.log(cells["step_seconds"].astype(np.float64)))
    against = pair(steps, results.baseline)
    ratios = against[CELL].assign(value=np.exp(against["difference"].astype(np.float64)))
    base = steps[steps["label"] == results.baseline].dropna(subset="value").assign(value=1.0)
    passes = metric_values(results, "cost", "test", "passes_per_step")
    time = Axis(
        "time", "step time / baseline’s", "the relative time of a training step",
        pd.concat([base, ratios], ignore_index=True),
    )  # fmt: skip
    counted = Axis("passes", "passes per step", "the passes of a training step", passes)
    return [
        axis
        for axis, values in ((time, ratios), (counted, passes))
        if values["value"].notna().any()
    ]


def _points(axis: Axis, item: Paired, setting: Setting) -> dict[str, Point]:
    """Return log cost and benefit of every label in a setting, by seed; more benefit is better."""
    frames = (within(axis.values, setting), within(item.frame, setting))
    cost, benefit = (frame.pivot(index="seed", columns="label", values="value") for frame in frames)
    cost = cost.reindex(index=benefit.index)
    sign = -1.0 if item.outcome.direction == "lower" else 1.0
    return {
        str(label): Point(
            np.log(cost[label].to_numpy(np.float64)), sign * benefit[label].to_numpy(np.float64)
        )
        for label in benefit.columns
        if label in cost.columns
    }


def _table(
    results: Results, axes: Sequence[Axis], judged: Sequence[Paired], fronts: Places
) -> Table:
    groups = dict(iter(results.cells.groupby(["task", "model", "label"])))
    further = {name: _by_place(values) for name, values in _further(results).items()}
    ratios = next((_by_place(axis.values) for axis in axes if axis.key == "time"), {})
    rows = []
    for setting, name in settings(results).items():
        for label in labels(results):
            key = (*setting, label)
            if key not in groups:
                continue
            here = groups[key]
            numbers = here[NUMBERS].astype(np.float64)
            ratio = _ratio(ratios.get(key, NOTHING).dropna())
            row = {"task": name, "label": label}
            row["step time"] = ratio if label != results.baseline else "1 (baseline)"
            for item in judged if axes else ():
                place = fronts.get((axes[0].key, item.outcome.key, setting), {}).get(label)
                told = setting in item.telling or setting not in item.settings
                row[f"Pareto, {item.outcome.short}"] = _standing(place) if told else "saturated"
            rows.append(
                row
                | {"step [ms]": 1000 * numbers["step_seconds"].mean()}
                | {what: _mean(values.get(key, NOTHING)) for what, values in further.items()}
                | {
                    "explanations per sample": (numbers["explained"] / numbers["samples"]).mean(),
                    "hidden fraction": numbers["occluded_fraction"].mean(),
                    "training [s]": numbers["train_seconds"].mean(),
                    "peak memory [MiB]": numbers["peak_memory"].mean() / 2**20,
                    "timed cells": f"{here['step_seconds'].notna().sum()}/{len(here)}",
                }
            )
    by = f" Pareto: of an outcome against {axes[0].text}, by means." if axes else ""
    frame = pd.DataFrame(rows)
    tones = {
        text: "good" if text == FRONT else "bad" if text.startswith(CLEARLY) else "muted"
        for column in frame
        if str(column).startswith("Pareto")
        for text in frame[column]
        if text.startswith((FRONT, DOMINATED))
    }
    return Table(
        "cost",
        "Cost by task and label, means over the cells that have a value. Peak memory is that of the GPU "
        "where one was used, else of the whole worker process: libraries, and what earlier cells left "
        f"there, included.{by}",
        frame,
        {
            "step [ms]": "{:.1f}",
            "explanations per sample": "{:.2f}",
            "hidden fraction": "{:.2f}",
            "training [s]": "{:.1f}",
            "peak memory [MiB]": "{:.0f}",
        },
        tones=tones,
        folded=len(frame) > 60,
    )


def _standing(place: Standing | None) -> str:
    if place is None:
        return "–"
    return f"{place.word} by “{place.by}”" if place.by else place.word


def _further(results: Results) -> dict[str, pd.DataFrame]:
    """Return the columns that only some benchmarks have, a row a cell that can have a value."""
    passes, explanation = (
        metric_values(results, "cost", "test", metric)
        for metric in ("passes_per_step", "explanation_passes")
    )
    guided = (results.cells["relevance"].fillna("") != "").to_numpy()
    columns = {
        "passes per step": passes,
        "passes of an explanation": results.cells.loc[guided, CELL].merge(explanation, how="inner"),
        "10⁶ operations of a forward pass": metric_values(
            results, "cost", "test", "forward_megaflops"
        ),
        "energy [kJ]": results.cells[CELL].assign(
            value=results.cells["energy"].astype(np.float64) / 1000
        ),
    }
    return {name: values for name, values in columns.items() if values["value"].notna().any()}


def _mean(values: pd.Series) -> str:
    there = values.dropna().sort_values()
    if values.empty:
        return "–"
    return shown(there.mean(), np.nan, len(there), len(values), digits=2)


def _ratio(values: pd.Series) -> str:
    if values.empty:
        return "–"
    mean = float(np.exp(np.log(values.sort_values()).mean()))
    if len(values) == 1:
        return f"{mean:.2f}×"
    return f"{mean:.2f}× ({values.min():.2f}–{values.max():.2f})"


def _by_place(values: pd.DataFrame) -> dict[tuple[str, str, str], pd.Series]:
    """Return the values of every task, model and label."""
    return dict(iter(values.groupby(["task", "model", "label"])["value"]))
