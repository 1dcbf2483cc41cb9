"""Accuracy on shifted test sets: noise, blur, removed parts and whatever else a task offers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.falls import hidden_falls, judge_kinds
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.layout import how_to_read, task_by_task
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.reporting.rows import (
    CELL,
    PANELS,
    complete_means,
    labels,
    metric_rows,
    settings,
    settings_in,
    summary,
    with_holes,
    within,
)
from reldrop_bench.reporting.tables import (
    OVER_SEEDS,
    by_column,
    decided_text,
    difference_tables,
    interval_tables,
    p_text,
)
from reldrop_bench.statistics.corruption_error import (
    mean_corruption_error,
    relative_mean_corruption_error,
)
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.spread import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLEAN = "clean"
MEAN = "mean of shifts"
TALLEST = 40.0
"""Inches of a figure."""
NUMBERS = 1000
"""Cells that have their numbers written into them; where there are more, a scale tells the colours."""


LEVELLED = r"[^/]+/\d+"
"""Test sets of a corruption with levels, as "noise/2"."""


class Shifts(ReportSection):
    """Accuracy by kind of shift, beside the clean accuracy."""

    name = "shifts"
    title = "Shifted test sets"
    order = 400
    shows = ("accuracy/test/accuracy", "shifts/.*/accuracy")
    opening = """
    Accuracy on altered copies of the test split, averaged over the severities of each kind of shift (a
    cell counts only if it has all severities). Read it beside the clean accuracy: a higher number here
    may only be a higher clean accuracy. The intervals further down are not adjusted for the number of
    comparisons: exploratory. Where shifts are corruptions with levels, the mean corruption error (mCE) puts
    the errors under each in relation to the baseline's of the same seed, and relative mCE the accuracy that
    each costs: 1 is as good as the baseline, lower is better."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        values = _by_kind(results)
        if values.empty:
            return [Prose("No shifted test set was evaluated in this benchmark.")]
        caption = f"accuracy by kind of shift, {OVER_SEEDS}."
        tables = [
            by_column(results, "shifts", caption, values, better="higher"),
            difference_tables(results, "shifts-differences", "these accuracies", values),
            _corruption_errors(results, values),
        ]
        return [
            how_to_read(self.opening),
            *_foreign(results),
            *_heat_maps(results, style, values),
            *task_by_task(results, tables),
        ]


def _foreign(results: Results) -> Iterator[Block]:
    """Show what of the outcome is foreign to each label, and what its mean hides."""
    lined_up = [item for item in paired_outcomes(results) if item.kinds]
    if not lined_up:
        return
    compared = judge(results)  # with all outcomes: they share families
    for item in lined_up:
        shown = list(compared.loc[compared["outcome"] == item.outcome.key, "label"])
        trained = compared[
            compared["with_trained"].notna() & (compared["outcome"] == item.outcome.key)
        ]
        if len(trained):
            rows = [
                {
                    "label": row["label"],
                    "is trained with": ", ".join(sorted(item.trained[row["label"]])),
                    "without that": written(row["mean"], sign=True),
                    "with it": written(row["with_trained"], sign=True),
                }
                for row in trained.to_dict("records")
            ]
            caption = (
                f"Difference to “{results.baseline}” in {item.outcome.text}, mean over tasks: the verdict goes "
                "by the kinds that neither is trained with; occlusion has an outcome of its own."
            )
            yield Table("shifts-trained", caption, pd.DataFrame(rows), data=trained)
        if text := hidden_falls(results, item, compared):
            yield Prose(text, "warning")
        by_kind = judge_kinds(results, item, shown)
        if len(by_kind):
            frame = pd.DataFrame(
                [
                    {
                        "kind": row["kind"],
                        "label": row["label"],
                        "verdict": row["verdict"],
                        "difference [interval]": decided_text(row, counted=False),
                        "p (kinds)": p_text(row["p_kind"]),
                    }
                    for row in by_kind.to_dict("records")
                ]
            )
            caption = (
                f"Every kind that is foreign to a label, against “{results.baseline}”: mean over tasks, adjusted "
                "by Holm’s method over the label’s kinds."
            )
            yield Table("shifts-kinds", caption, frame, data=by_kind, folded=True)


def _by_kind(results: Results) -> pd.DataFrame:
    """Return a value a cell and kind of shift, the clean accuracy and the mean over kinds too."""
    rows = metric_rows(results, "shifts")
    rows = rows[rows["metric"] == "accuracy"].dropna(subset="value")
    # Test sets without some cues have a section of their own.
    rows = rows[~rows["split"].isin(metric_rows(results, "cues")["split"])]
    if rows.empty:
        return rows
    rows = rows.assign(column=rows["split"].str.partition("/")[0])
    clean = metric_rows(results, "accuracy", "test")
    clean = clean[clean["metric"] == "accuracy"].merge(rows[["task", "model"]].drop_duplicates())
    kinds = complete_means(rows, [*CELL, "column"], "split")
    # Where a shortcut holds, a model that takes it is the better one.
    foreign = kinds[~kinds["column"].str.startswith("shortcut-")]
    overall = complete_means(foreign, CELL, "column")
    parts = [clean.assign(column=CLEAN), kinds, overall.assign(column=MEAN)]
    columns = [*CELL, "column", "value"]
    return with_holes(results, pd.concat([part[columns] for part in parts], ignore_index=True))


def _corruption_errors(results: Results, values: pd.DataFrame) -> dict[str, Table]:
    """Return for each setting mCE and relative mCE of every label; none where no shift has levels."""
    rows = metric_rows(results, "shifts")
    rows = rows.assign(column=[split.partition("/")[0] for split in rows["split"]])
    others = rows[~rows["split"].str.fullmatch(LEVELLED).astype(bool)]
    rows = rows[~rows["column"].isin(others["column"])]
    parts = []
    for setting in settings_in(results, rows):
        kinds = sorted(set(within(rows, setting)["column"]))
        accuracy = within(values, setting).pivot(
            index=["label", "seed"], columns="column", values="value"
        )
        ours = accuracy.reindex(columns=[*kinds, CLEAN])
        base = ours.reindex([(results.baseline, seed) for _, seed in ours.index])
        cells = ours.index.to_frame(index=False).assign(task=setting[0], model=setting[1])
        both = (ours[kinds], base[kinds])
        for name, error in (
            ("mCE", mean_corruption_error(*both)),
            ("relative mCE", relative_mean_corruption_error(*both, ours[CLEAN], base[CLEAN])),
        ):
            parts.append(cells.assign(column=name, value=error))
    if not parts:
        return {}
    compared = against_baseline(pd.concat(parts), results.baseline, ("task", "model", "column"))
    compared[["mean", "low", "high"]] += 1  # the baseline's own
    what = (
        f"mean corruption error against “{results.baseline}”, plain and relative (Hendrycks and "
        "Dietterich, arXiv 1903.12261; each kind of shift is averaged over its severities)"
    )
    return interval_tables(results, "shifts-corruption-error", what, compared, sign=False)


def _heat_maps(results: Results, style: Style, values: pd.DataFrame) -> Iterator[Figure]:
    frame = summary(results, values)
    present = [name for name in settings(results).values() if (frame["setting"] == name).any()]
    parts = {name: frame[frame["setting"] == name].dropna(subset="mean") for name in present}
    shown = {name: labels(results, set(part["label"])) for name, part in parts.items()}
    height = 0.9 + 0.27 * max(len(rows) for rows in shown.values())
    numbers = len(frame) <= NUMBERS
    for page, which, _ in numbered(pages(present, max(1, min(PANELS, int(TALLEST / height))))):
        figure, axes = style.grid(len(page), 1, (7.0, height), (0.0, 0.1))
        for (axis,), name in zip(axes, page, strict=True):
            axis.set_title(style.text(name), loc="left")
            _panel(axis, style, shown[name], parts[name], numbers)
        yield Figure(
            "shifts-heat-map",
            f"{which}Mean accuracy by label and kind of shift; the darker, the lower. Colours are "
            "scaled panel by panel.",
            "Heat map of the accuracies in the tables below, a panel a task.",
            figure,
        )


def _panel(axis: Axes, style: Style, shown: list[str], part: pd.DataFrame, numbers: bool) -> None:
    columns = list(dict.fromkeys(part["column"]))
    wide = part.pivot(index="label", columns="column", values="mean")
    wide = wide.reindex(index=shown, columns=columns)
    low = float(np.nanmin(wide))
    scale: Any = {"vmin": low, "vmax": max(float(np.nanmax(wide)), low + 1e-6), "cmap": "cividis"}
    across, down = [style.text(name, 12) for name in columns], [style.text(name) for name in shown]
    if numbers:  # and so few panels: seaborn draws the whole figure once more for each
        import seaborn as sns

        sns.heatmap(
            wide, ax=axis, annot=True, fmt=".2f", annot_kws={"fontsize": 7}, linewidths=0.5, cbar=False,
            xticklabels=across, yticklabels=down, **scale,
        )  # fmt: skip
        axis.set(xlabel="", ylabel="")
    else:
        mesh = axis.pcolormesh(np.ma.masked_invalid(wide.to_numpy()), lw=0, **scale)
        axis.set_xticks(np.arange(len(columns)) + 0.5, across)
        axis.set_yticks(np.arange(len(shown)) + 0.5, down)
        axis.invert_yaxis()
        axis.grid(visible=False)
        colorbar = axis.get_figure().colorbar(mesh, ax=axis)  # type: ignore[union-attr]
        colorbar.outline.set_visible(False)  # type: ignore[operator]
    axis.tick_params(axis="x", length=0, rotation=35 if len(columns) > 7 else 0)
    axis.tick_params(axis="y", length=0, rotation=0)
