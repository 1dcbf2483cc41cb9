"""What a benchmark of this size could have found, and what its intervals really cover."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED, margin_of
from reldrop_bench.reporting.pairs import Paired, comparable, paired_outcomes
from reldrop_bench.reporting.rows import labels
from reldrop_bench.statistics.coverage import Shape, interval_coverage
from reldrop_bench.statistics.power import (
    POWER,
    pairs_needed_a_setting,
    smallest_detectable_difference,
    smallest_exact_p,
)
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import counted

SHAPES: tuple[Shape, ...] = ("normal", "skewed", "heavy-tailed", "unequal")
NAMED = 0.93, 0.97
"""An interval called 95 % is one if it covers this much."""


class Detectable(ReportSection):
    """Smallest detectable differences, seeds needed, smallest p-values, coverage of intervals."""

    name = "detectable"
    title = "What could have been found"
    order = 745
    shows = JUDGED
    opening = f"""
    An unclear verdict may mean no difference, or too few seeds. The smallest detectable difference is the
    one that the verdict’s test finds with {POWER:.0%} probability, given how much these differences scatter
    over seeds, unadjusted: whatever is smaller was more likely missed than found. The standard deviations
    are themselves estimated from these seeds, so with three of them this is a rough guide. It must not be
    turned round: that a difference was not found does not make it small."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = [
            row
            for item in paired_outcomes(results)
            for label in comparable(results, item)
            if label in item.columns and (row := _row(results, item, label)) is not None
        ]
        if not rows:
            return [Prose("No label has two pairs with the baseline: nothing could be found.")]
        return [
            how_to_read(self.opening),
            _table(results, rows),
            _figure(results, style, rows),
            *_coverage(rows),
        ]


def _row(results: Results, item: Paired, label: str) -> dict[str, Any] | None:
    planned = item.strata(label, results.baseline)
    groups = [np.sort(group[np.isfinite(group)]) for group in planned]
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return None
    counts = [len(group) for group in groups]
    deviations = [float(group.std(ddof=1)) for group in groups]
    detectable = smallest_detectable_difference(deviations, counts)
    margin = margin_of(results, item.outcome)
    needed = None if margin is None else pairs_needed_a_setting(margin, deviations)
    return {
        "outcome": item.outcome.key,
        "short": item.outcome.short,
        "margin": np.nan if margin is None else margin,
        "label": label,
        "tasks": len(groups),
        "tasks_expected": len(planned),
        "pairs": sum(counts),
        "pairs_expected": sum(map(len, planned)),
        "fewest": min(counts),
        "deviation": float(np.sqrt(np.mean(np.square(deviations)))),
        "detectable": np.nan if detectable is None else detectable,
        "needed": np.nan if needed is None else needed,
        "sign_flip": smallest_exact_p(sum(counts)),
        "wilcoxon": smallest_exact_p(len(groups)),
    }


def _table(results: Results, rows: Sequence[dict[str, Any]]) -> Table:
    frame = pd.DataFrame(
        [
            {
                "outcome": row["short"],
                "label": row["label"],
                "tasks": f"{row['tasks']}/{row['tasks_expected']}",
                "pairs": f"{row['pairs']}/{row['pairs_expected']}",
                "standard deviation": row["deviation"],
                "smallest detectable difference": row["detectable"],
                "seeds a task for the margin": f"{row['needed']:.0f} for {row['margin']:g}"
                if np.isfinite(row["needed"])
                else "–",
                "smallest p, sign flips": _smallest(row["sign_flip"], row["pairs"], "pair"),
                "smallest p, Wilcoxon over tasks": _smallest(row["wilcoxon"], row["tasks"], "task"),
            }
            for row in rows
        ]
    )
    texts = {text for column in frame.columns[-2:] for text in frame[column]}
    caption = (
        f"By label: how its differences to “{results.baseline}” scatter over seeds (root mean square "
        f"over tasks), the smallest mean difference found with {POWER:.0%} power, the seeds that a "
        "difference of the margin’s size needs, and the smallest p that tests without a "
        "distribution can give at all."
    )
    formats = {"standard deviation": "{:.4f}", "smallest detectable difference": "{:.4f}"}
    tones = {text: "warn" for text in texts if text.startswith("cannot")}
    data = pd.DataFrame(rows).drop(columns=["short", "fewest"])
    return Table("detectable", caption, frame, formats, data=data, tones=tones)


def _smallest(p: float, n: int, what: str) -> str:
    if p >= LEVEL:
        return f"cannot be significant with n={counted(n, what)}"
    return f"{p:.2g}"


def _figure(results: Results, style: Style, rows: Sequence[dict[str, Any]]) -> Figure:
    keys = list(dict.fromkeys(row["outcome"] for row in rows))
    shown = labels(results, {row["label"] for row in rows})
    size = (3.4, 0.6 + 0.25 * len(shown))
    figure, axes = style.panels(len(keys), 2, size, (1.6, 0.3), sharey=True)
    for axis, key in zip(axes, keys, strict=True):
        of_outcome = [row for row in rows if row["outcome"] == key]
        if np.isfinite(of_outcome[0]["margin"]):
            axis.axvspan(0, of_outcome[0]["margin"], color="#808080", alpha=0.15, linewidth=0)
        for row in of_outcome:
            label, reach = row["label"], row["detectable"]
            if np.isfinite(reach):
                height = shown.index(label)
                axis.plot([0, reach], [height] * 2, color="#b0b6bd", lw=0.8, zorder=1)
                look = style.series(label) | {"marker": style.marker(label), "linestyle": "none"}
                axis.plot([reach], [height], **look, markersize=6)
        axis.set_title(of_outcome[0]["short"])
        axis.set_xlim(left=0)
        style.label_rows(axis, shown, edge=0.45)
        axis.locator_params(axis="x", nbins=5)
    figure.supxlabel("smallest detectable difference", fontsize=9)
    return Figure(
        "smallest-detectable",
        f"The smallest mean difference that the verdict’s test finds with {POWER:.0%} power. Left of "
        "the end of the grey band (the margin) even a difference that is too small to "
        "matter would be found.",
        "Smallest detectable difference by label, a panel an outcome.",
        figure,
    )


def _coverage(rows: Sequence[dict[str, Any]]) -> list[Block]:
    covered = [
        {"pairs a task": n, "tasks": tasks}
        | {
            shape: interval_coverage(n, tasks, shape)
            for shape in SHAPES
            if shape != "unequal" or tasks > 1  # a spread that differs needs two
        }
        for n, tasks in sorted({(row["fewest"], row["tasks"]) for row in rows})
    ]
    frame = pd.DataFrame(covered)
    shapes = [name for name in SHAPES if name in frame]
    low, high = NAMED
    off = [
        f"{shape} differences ({row[shape]:.1%} with {counted(row['pairs a task'], 'pair')} on "
        f"{counted(row['tasks'], 'task')})"
        for row in covered
        for shape in shapes
        if shape in row and not low <= row[shape] <= high
    ]
    caption = (
        "What the verdict’s 95 % intervals cover by simulation (20,000 benchmarks), when the "
        "differences are normal, skewed (lognormal), heavy-tailed (Student’s t) or of very unequal "
        "spread from task to task; with as many pairs and tasks as the comparisons above have."
    )
    table = Table("coverage", caption, frame, dict.fromkeys(shapes, "{:.3f}"))
    if not off:
        return [table]
    more = f"; and {len(off) - 4} more, see the table" if len(off) > 4 else ""
    text = f"""
    Intervals that are called 95 % here would cover something else for {"; ".join(off[:4])}{more}.
    More than 95 % means that verdicts are cautious; less, that an interval of skewed differences is too
    narrow. Two methods that do the same have symmetric differences, whatever their scores are like: that
    is why false verdicts stay rare all the same."""
    return [table, paragraph(text, "note")]
