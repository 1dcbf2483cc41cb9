"""A parameter against the outcome, where the spec gives several values of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED
from reldrop_bench.reporting.pairs import Paired, paired_outcomes
from reldrop_bench.reporting.rows import Setting, in_order, labels
from reldrop_bench.reporting.tables import interval_text, p_text, without_empty
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.overall import overall_difference
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.power import limits_of
from reldrop_bench.statistics.selection import best_of
from reldrop_bench.statistics.wording import counted

from .figures import ALL, figures
from .sweeps import Sweep, spelled, sweeps

NUMBERS = ("mean", "low", "high", "n", "n_expected")


class Ablations(ReportSection):
    """Labels that differ in one parameter alone: its values against the outcomes."""

    name = "ablations"
    title = "Ablations: a parameter against the outcome"
    order = 750
    shows = JUDGED
    opening = """
    Labels of one regularizer that differ in exactly one parameter, held against what methods are judged by
    here. A figure shows the mean seed-paired difference to “{baseline}” (the zero line) with its 95 % t
    interval, a panel a task and outcome. A table compares each value with the one before it (names: with
    the first of the spec), seed by seed, over all tasks that can tell methods apart, each with the same
    weight; p is adjusted by Holm’s method within the table. Whether a parameter matters is what the
    contrasts say: that one value differs from the baseline and another does not is no evidence that the
    two differ."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        swept = sweeps(results.parameters, labels(results))
        if not swept:
            return [_nothing(results)]
        judged = paired_outcomes(results)
        if not judged:
            return [Prose("No cell has an outcome that a parameter could be held against.")]
        compared = {
            item.outcome.key: against_baseline(item.frame, results.baseline) for item in judged
        }
        pairs = max((int(frame["n"].max()) for frame in compared.values() if len(frame)), default=0)
        blocks: list[Block] = [
            how_to_read(self.opening.format(baseline=results.baseline)),
            _selection(swept),
            Prose(f"On one task: {limits_of(pairs)}", "note"),
        ]
        for sweep in swept:
            blocks += _sweep(results, style, sweep, judged, compared)
        return blocks


def _nothing(results: Results) -> Prose:
    if not results.parameters:
        text = """
        The results do not say which parameters their labels have: no ablation can be made."""
    else:
        text = """
        No two labels of one regularizer differ in exactly one parameter, so there is no ablation. A list in
        the spec makes one: PARAMETER: [1, 10] gives an entry for each value."""
    return paragraph(text)


def _selection(swept: Sequence[Sweep]) -> Prose:
    sizes = {
        sweep.text: max(len({spelled(value) for value, _ in line.points}) for line in sweep.lines)
        for sweep in swept
    }
    biases = "; ".join(
        f"{name}, {counted(size, 'value')}: {best_of(size):.2f} standard errors"
        for name, size in sizes.items()
    )
    text = f"""
    These are results on test data. To choose the value with the best outcome here and to report that
    outcome is selection on test data: it is biased upwards. If all values were equally good, the best of
    them would on average lie above the truth by about ({biases}; less where the values’ results go
    together). Choose on validation data or beforehand, or report all values."""
    return paragraph(text, "warning")


def _sweep(
    results: Results,
    style: Style,
    sweep: Sweep,
    judged: Sequence[Paired],
    compared: Mapping[str, pd.DataFrame],
) -> list[Block]:
    kept = [item for item in judged if sweep.labels & set(item.planned)]
    frames = [compared[item.outcome.key] for item in kept]
    if not any(frame.loc[frame["label"].isin(sweep.labels), "n"].sum() for frame in frames):
        text = f"{sweep.text}: no value has a pair with “{results.baseline}”."
        return [Prose(text, "warning")]
    name = f"ablation-{sweep.regularizer}-{sweep.parameter}"
    rows = pd.DataFrame([row for item in kept for row in _rows(results, sweep, item)])
    overall, single = rows[rows["task"] == ALL], rows[rows["task"] != ALL]
    by_label = {
        str(key): dict(zip(part["label"], part["difference"], strict=True))
        for key, part in overall.groupby("key")
    }
    blocks: list[Block] = [
        *figures(results, style, sweep, name, kept, compared, by_label),
        _table(results, sweep, name, f"{sweep.text}, over all tasks", overall),
    ]
    if single["task"].nunique() > 1:
        single = in_order(results, single, "task")
        caption = f"{sweep.text}, task by task"
        blocks.append(_table(results, sweep, f"{name}-by-task", caption, single, folded=True))
    return blocks


def _rows(results: Results, sweep: Sweep, item: Paired) -> list[dict[str, Any]]:
    """Return a record a line, value and setting, or all settings: differences and contrasts."""
    rows = []
    seen: set[tuple[str, str]] = set()
    for line in sweep.lines:
        planned = [point for point in line.points if point[1] in item.planned]
        for number, (value, label) in enumerate(planned):
            # Neighbours along an axis; names have no order, so all meet the first.
            reference, other = planned[number - 1 if sweep.numeric else 0] if number else (None, "")
            if (label, other) in seen:
                other = ""  # two lines share these two labels: tested once
            seen.add((label, other))
            own = [setting for setting in item.settings if setting in item.planned[label]]
            rows += [
                {
                    "task": ALL if setting is None else item.settings[setting],
                    "key": item.outcome.key,
                    "outcome": item.outcome.short,
                    "line": line.text,
                    "value": spelled(value),
                    "label": label,
                    "difference": _difference(item, label, results.baseline, setting),
                    "contrast with": spelled(reference) if other else "",
                    "reference": other,
                    "contrast": _difference(item, label, other or label, setting),
                    "saturated": setting is not None
                    and item.is_saturated(setting, label, other or results.baseline),
                }
                for setting in (None, *own)
            ]
    return rows


def _difference(item: Paired, label: str, other: str, setting: Setting | None) -> dict[str, Any]:
    """Return label − other over a setting, or all that tell something of the two, as a record."""
    groups: list[np.ndarray] = []
    if label != other:
        shared = item.common(label, other) if setting is None else item.shared(label, other)
        chosen = [candidate for candidate in shared if setting in (None, candidate)]
        groups = item.strata(label, other, chosen) if chosen else []
    return asdict(overall_difference(groups))


def _table(
    results: Results, sweep: Sweep, name: str, what: str, rows: pd.DataFrame, folded: bool = False
) -> Table:
    tested = rows["reference"] != ""
    adjusted = pd.Series(np.nan, rows.index)
    adjusted[tested] = holm([contrast["p"] for contrast in rows.loc[tested, "contrast"]])
    shown, data = [], []
    for row, p, told in zip(rows.to_dict("records"), adjusted, tested, strict=True):
        ours, contrast = row["difference"], row["contrast"]
        is_baseline = row["label"] == results.baseline
        remarks = [
            "saturated" if row["saturated"] else "",
            "" if is_baseline else ours["note"],
            f"contrast: {contrast['note']}" if told and contrast["note"] else "",
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
                else interval_text(ours),
                "compared with": row["contrast with"] or "–",
                "contrast [95 % interval]": interval_text(contrast) if told else "–",
                "p": p_text(contrast["p"]) if told else "–",
                "p (Holm)": p_text(p),
                "remark": "; ".join(dict.fromkeys(text for text in remarks if text)),
            }
        )
        data.append(
            {key: row[key] for key in ("task", "outcome", "line", "value", "label", "reference")}
            | {f"baseline_{key}": ours[key] for key in NUMBERS}
            | {key: contrast[key] for key in (*NUMBERS, "p")}
            | {"p_holm": p}
        )
    frame = without_empty(pd.DataFrame(shown))
    alone = {"task": not folded, "further": set(frame["further"]) == {"–"}}
    spare = [column for column, drop in alone.items() if drop]
    tones = {
        text: "warn"
        for column in frame.columns
        for text in frame[column]
        if "(n=" in str(text) or str(text) == "saturated"
    }
    caption = (
        f"{what}: mean seed-paired difference to the baseline, and to the value it is compared "
        f"with; 95 % t intervals are not adjusted, p is over {counted(int(tested.sum()), 'contrast')}."
    )
    numbers = pd.DataFrame(data)
    return Table(name, caption, frame.drop(columns=spare), data=numbers, tones=tones, folded=folded)
