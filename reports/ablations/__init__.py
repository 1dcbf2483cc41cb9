"""A parameter against the outcome, where the spec gives several values of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Prose, ReportSection, Results, Table
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.judgement import Paired, paired
from reldrop_bench.reporting.outcomes import outcomes
from reldrop_bench.reporting.rows import Setting, labels, settings
from reldrop_bench.reporting.tables import interval_text, p_text
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.overall import overall_difference
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.power import limits_of
from reldrop_bench.statistics.selection import best_of

from .figures import ALL, figures
from .sweeps import Sweep, sweeps, written

if TYPE_CHECKING:
    from reldrop_bench.reporting.style import Style


class Ablations(ReportSection):
    """Labels that differ in one parameter alone: its values against the outcomes."""

    name = "ablations"
    title = "Ablations: a parameter against the outcome"
    order = 750

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        found = sweeps(results.parameters, labels(results))
        if not found:
            return [Prose(_nothing(results))]
        judged = [paired(results, outcome) for outcome in outcomes(results)]
        if not judged:
            return [Prose("No cell has an outcome that a parameter could be held against.")]
        compared = {
            item.outcome.key: against_baseline(item.frame, results.baseline) for item in judged
        }
        blocks: list[Block] = [
            Prose(
                "Labels of one regularizer that differ in exactly one parameter, held against what "
                "methods are judged by here. A figure shows the mean seed-paired difference to "
                f"“{results.baseline}” (the zero line) with its 95 % t interval, a panel a task and "
                "outcome. A table compares each value with the one before it (names: with the first "
                "of the spec), seed by seed, over all tasks that can tell methods apart, each with "
                "the same weight; p is adjusted by Holm’s method within the table. Whether a "
                "parameter matters is what the contrasts say: that one value differs from the "
                "baseline and another does not is no evidence that the two differ."
            ),
            Prose(_selection(found), "warning"),
        ]
        pairs = max((int(frame["n"].max()) for frame in compared.values() if len(frame)), default=0)
        blocks.append(Prose(f"On one task: {limits_of(pairs)}", "note"))
        for sweep in found:
            blocks += _sweep(results, style, sweep, judged, compared)
        return blocks


def _nothing(results: Results) -> str:
    if not results.parameters:
        return "The results do not say which parameters their labels have: no ablation can be made."
    return (
        "No two labels of one regularizer differ in exactly one parameter, so there is no ablation. "
        "A list in the spec makes one: PARAMETER: [1, 10] gives an entry for each value."
    )


def _selection(found: Sequence[Sweep]) -> str:
    sizes = {
        f"{sweep.parameter} of {sweep.regularizer}": max(
            len({written(value) for value, _ in line.points}) for line in sweep.lines
        )
        for sweep in found
    }
    biases = "; ".join(
        f"{name}, {size} values: {best_of(size):.2f} standard errors"
        for name, size in sizes.items()
    )
    return (
        "These are results on test data. To choose the value with the best outcome here and to "
        "report that outcome is selection on test data: it is biased upwards. If all values were "
        f"equally good, the best of them would on average lie above the truth by about ({biases}; less "
        "where the values’ results go together). Choose on validation data or beforehand, or "
        "report all values."
    )


def _sweep(
    results: Results,
    style: Style,
    sweep: Sweep,
    judged: Sequence[Paired],
    compared: Mapping[str, pd.DataFrame],
) -> list[Block]:
    members = {label for line in sweep.lines for _, label in line.points}
    kept = [item for item in judged if members & set(item.planned)]
    what = f"{sweep.parameter} of {sweep.regularizer}"
    name = f"ablation-{sweep.regularizer}-{sweep.parameter}"
    frames = [compared[item.outcome.key] for item in kept]
    if not any(frame.loc[frame["label"].isin(members), "n"].sum() for frame in frames):
        return [Prose(f"{what}: no value has a pair with “{results.baseline}”.", "warning")]
    rows = [row for item in kept for row in _rows(results, sweep, item)]
    overall = [row for row in rows if row["task"] == ALL]
    single = [row for row in rows if row["task"] != ALL]
    by_label: dict[str, dict[str, dict[str, Any]]] = {item.outcome.key: {} for item in kept}
    for row in overall:
        by_label[row["key"]][row["label"]] = row["difference"]
    blocks: list[Block] = [
        *figures(results, style, sweep, name, kept, compared, by_label),
        _table(results, sweep, name, f"{what}, over all tasks", overall),
    ]
    places = {task: place for place, task in enumerate(settings(results).values())}
    if len({row["task"] for row in single}) > 1:
        single.sort(key=lambda row: places[row["task"]])
        caption = f"{what}, task by task"
        blocks.append(_table(results, sweep, f"{name}-by-task", caption, single, folded=True))
    return blocks


def _rows(results: Results, sweep: Sweep, item: Paired) -> list[dict[str, Any]]:
    """Return a record a line, value and setting, or all settings: differences and contrasts."""
    rows = []
    seen: set[tuple[str, str]] = set()
    for line in sweep.lines:
        planned = [point for point in line.points if point[1] in item.planned]
        for place, (value, label) in enumerate(planned):
            # Neighbours along an axis; names have no order, so all meet the first.
            reference = planned[place - 1 if sweep.numeric else 0] if place else None
            if reference is not None and (label, reference[1]) in seen:
                reference = None  # two lines share these two labels: tested once
            if reference is not None:
                seen.add((label, reference[1]))
            own = [setting for setting in item.settings if setting in item.planned[label]]
            rows += [
                {
                    "task": ALL if setting is None else item.settings[setting],
                    "key": item.outcome.key,
                    "outcome": item.outcome.short,
                    "line": line.text,
                    "value": written(value),
                    "label": label,
                    "difference": _difference(item, label, results.baseline, setting),
                    "contrast with": "" if reference is None else written(reference[0]),
                    "reference": "" if reference is None else reference[1],
                    "contrast": _difference(
                        item, label, label if reference is None else reference[1], setting
                    ),
                    "saturated": setting is not None
                    and item.is_saturated(
                        setting, label, reference[1] if reference else results.baseline
                    ),
                }
                for setting in (None, *own)
            ]
    return rows


def _difference(item: Paired, label: str, other: str, setting: Setting | None) -> dict[str, Any]:
    """Return label − other over a setting, or all that tell something of the two, as a record."""
    groups: list[np.ndarray] = []
    shared = item.common(label, other) if setting is None else item.shared(label, other)
    chosen = [each for each in shared if setting in (None, each)]
    if label != other and chosen:
        groups = item.groups(label, other, chosen)
    found = asdict(overall_difference(groups))
    return {name: np.nan if value is None else value for name, value in found.items()}


def _table(
    results: Results,
    sweep: Sweep,
    name: str,
    what: str,
    rows: list[dict[str, Any]],
    folded: bool = False,
) -> Table:
    tested = [row for row in rows if row["contrast with"]]
    adjusted = dict(
        zip(map(id, tested), holm([row["contrast"]["p"] for row in tested]).tolist(), strict=True)
    )
    shown, data = [], []
    for row in rows:
        p = adjusted.get(id(row), np.nan)
        own, contrast = row["difference"], row["contrast"]
        is_baseline = row["label"] == results.baseline
        remarks = [
            "saturated" if row["saturated"] else "",
            "" if is_baseline else own["note"],
            f"contrast: {contrast['note']}" if row["contrast with"] and contrast["note"] else "",
        ]
        shown.append(
            {
                "task": row["task"],
                "outcome": row["outcome"],
                "further": row["line"] or "–",
                f"value of {sweep.parameter}": row["value"],
                "label": row["label"],
                f"difference to “{results.baseline}”": "the baseline"
                if is_baseline
                else interval_text(own),
                "compared with": row["contrast with"] or "–",
                "contrast [95 % interval]": interval_text(contrast)
                if row["contrast with"]
                else "–",
                "p": p_text(contrast["p"]) if row["contrast with"] else "–",
                "p (Holm)": p_text(p),
                "remark": "; ".join(dict.fromkeys(text for text in remarks if text)),
            }
        )
        data.append(
            {key: row[key] for key in ("task", "outcome", "line", "value", "label", "reference")}
            | {f"baseline_{key}": own[key] for key in ("mean", "low", "high", "n", "n_expected")}
            | {key: contrast[key] for key in ("mean", "low", "high", "n", "n_expected", "p")}
            | {"p_holm": p}
        )
    frame = pd.DataFrame(shown)
    alone = {"task": not folded, "further": set(frame["further"]) == {"–"}}
    spare = [column for column, drop in alone.items() if drop]
    spare += [] if frame["remark"].any() else ["remark"]
    tones = {
        text: "warn"
        for column in frame.columns
        for text in frame[column]
        if "(n=" in str(text) or str(text) == "saturated"
    }
    caption = (
        f"{what}: mean seed-paired difference to the baseline, and to the value it is compared "
        f"with; 95 % t intervals are not adjusted, p is over {len(tested)} contrasts."
    )
    return Table(
        name,
        caption,
        frame.drop(columns=spare),
        data=pd.DataFrame(data),
        tones=tones,
        folded=folded,
    )
