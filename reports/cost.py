"""What a method costs, and what it brings for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from reldrop_bench.report.measures import CELL, Setting, labels, measure, settings, within
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.statistics.paired import compare, pair
from reldrop_bench.statistics.spread import shown

if TYPE_CHECKING:
    from reldrop_bench.report.style import Style


@dataclass(frozen=True)
class Cost(ReportSection):
    """Time of a training step relative to the baseline, explanations, memory; benefit against it."""

    name: ClassVar[str] = "cost"
    title: ClassVar[str] = "Cost against benefit"
    order: ClassVar[int] = 700

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        cells = results.cells
        if not cells["step_seconds"].notna().any() and not cells["train_seconds"].notna().any():
            if results.trained_elsewhere:
                return [Prose("These models were trained elsewhere: their cost is not known.")]
            return [Prose("No cell has timings.", "warning")]
        steps = cells[CELL].assign(value=np.log(cells["step_seconds"].astype(np.float64)))
        paired = pair(steps, results.baseline)
        ratios = paired.assign(value=np.exp(paired["difference"].astype(np.float64)))
        blocks: list[Block] = [
            Prose(
                "Step time is the median time of a training step divided by that of the "
                "baseline with the same task, model and seed; the table gives the geometric "
                "mean over seeds and the range. Explanations per sample counts attributions in "
                "training. Times depend on the machine and on what else ran on it: ratios of a "
                "few per cent mean nothing. Passes per step do not depend on it: they are the "
                "operations of a training step in forward passes of the same batch (3 for plain "
                "training), of matrix products and convolutions alone, with a map made anew for "
                "each sample that asks for one. Energy is that of the whole machine."
            ),
            _table(results, ratios),
        ]
        accuracy = measure(results, "accuracy", "test", "accuracy")
        if len(accuracy) and ratios["value"].notna().any():
            blocks.append(_scatter(results, style, ratios, accuracy))
        return blocks


def _table(results: Results, ratios: pd.DataFrame) -> Table:
    names, order = settings(results), labels(results)
    groups = dict(iter(results.cells.groupby(["task", "model", "label"])))
    further = _further(results)
    rows = []
    for setting, name in names.items():
        for label in order:
            here = groups.get((*setting, label))
            if here is None:
                continue
            ratio = _of(ratios, setting, label)["value"].dropna()
            explained = here["explained"].astype(np.float64) / here["samples"].astype(np.float64)
            rows.append(
                {
                    "task": name,
                    "label": label,
                    "step time": _ratio(ratio) if label != results.baseline else "1 (baseline)",
                    "step [ms]": 1000 * here["step_seconds"].astype(np.float64).mean(),
                }
                | {what: _mean(_of(values, setting, label)) for what, values in further.items()}
                | {
                    "explanations per sample": explained.mean(),
                    "hidden fraction": here["occluded_fraction"].astype(np.float64).mean(),
                    "training [s]": here["train_seconds"].astype(np.float64).mean(),
                    "peak memory [MiB]": here["peak_memory"].astype(np.float64).mean() / 2**20,
                    "timed cells": f"{here['step_seconds'].notna().sum()}/{len(here)}",
                }
            )
    return Table(
        "cost",
        "Cost by task and label, means over the cells that have a value. Peak memory is that of the GPU "
        "where one was used, else of the whole worker process: libraries, and what earlier cells left "
        "there, included.",
        pd.DataFrame(rows),
        {
            "step [ms]": "{:.1f}",
            "explanations per sample": "{:.2f}",
            "hidden fraction": "{:.2f}",
            "training [s]": "{:.1f}",
            "peak memory [MiB]": "{:.0f}",
        },
    )


def _further(results: Results) -> dict[str, pd.DataFrame]:
    """Return the columns that only some benchmarks have, a row a cell that can have a value."""
    passes, explanation = (
        measure(results, "cost", "test", metric)
        for metric in ("passes_per_step", "explanation_passes")
    )
    guided = (results.cells["relevance"].fillna("") != "").to_numpy()
    asking = results.cells.loc[guided, CELL].merge(explanation, how="inner")
    energy = results.cells[CELL].assign(value=results.cells["energy"].astype(np.float64) / 1000)
    columns = {"passes per step": passes, "passes of an explanation": asking}
    columns["energy [kJ]"] = energy
    return {name: values for name, values in columns.items() if values["value"].notna().any()}


def _mean(values: pd.DataFrame) -> str:
    there = values["value"].dropna().sort_values()
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


def _of(values: pd.DataFrame, setting: Setting, label: str) -> pd.DataFrame:
    here = within(values, setting)
    return here[here["label"] == label]


def _scatter(
    results: Results, style: Style, ratios: pd.DataFrame, accuracy: pd.DataFrame
) -> Figure:
    compared = compare(accuracy, results.baseline)
    names = settings(results)
    present = [setting for setting in names if within(compared, setting)["n"].sum()]
    columns = max(1, min(3, len(present)))
    rows = max(1, -(-len(present) // columns))
    figure, axes = style.grid(rows, columns, (2.5, 2.3), (0.3, 0.8))
    flat = [axis for row in axes for axis in row]
    shown = []
    for axis, setting in zip(flat, present, strict=False):
        axis.axhline(0, color="#808080", linewidth=1)
        axis.plot(1, 0, style.marker(results.baseline), color=style.color(results.baseline))
        for row in within(compared, setting).to_dict("records"):
            ratio = _of(ratios, setting, row["label"])["value"].dropna()
            if ratio.empty or not row["n"]:
                continue
            x, color = float(np.exp(np.log(ratio).mean())), style.color(row["label"])
            if not np.isnan(row["low"]):
                axis.plot([x, x], [row["low"], row["high"]], color=color, linewidth=1, alpha=0.6)
            axis.plot(x, row["mean"], style.marker(row["label"]), color=color, ms=6)
            shown.append(row["label"])
        axis.set_title(style.text(names[setting]))
        axis.set_xlabel("step time / baseline’s")
        axis.locator_params(nbins=5)
    for axis in flat[len(present) :]:
        axis.set_visible(False)
    for line in axes:
        line[0].set_ylabel("accuracy difference")
    style.legend(
        figure, [label for label in labels(results) if label in {*shown, results.baseline}]
    )
    return Figure(
        "cost-benefit",
        "Difference of test accuracy to the baseline (mean, 95 % t interval, not adjusted) against "
        "the relative time of a training step. Up and left is better; the baseline lies at (1, 0).",
        "Scatter plot of accuracy difference against step-time ratio, a panel a task.",
        figure,
    )
