"""Which of several redundant cues a model uses, from tasks where that is known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, paragraph, task_by_task
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.rows import (
    POINTS,
    labels,
    metric_rows,
    settings,
    settings_in,
    with_holes,
    within,
)
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, difference_tables

PREFIX = "removed-"
PANELS = 8
"""Tasks that share a figure at most: their panels are wide."""
USE: Mapping[str, str] = {
    "causal_effective_cues": "effective cues, causal",
    "effective_cues": "effective cues, by relevance",
    "cue_agreement": "agreement",
    "cue_rank_agreement": "rank agreement",
    "sample_cue_agreement": "agreement within samples",
    "sample_cue_rank_agreement": "rank agreement within samples",
    "without_cue_mass": "samples without relevance on a cue",
}
"""Columns of the table that sets the two answers side by side."""
FURTHER = ("cues/test/(roi_mass|without_cue_mass|samples)",)

AGREEING = """
Agreement checks the explanation: the overlap (0 to 1) and the rank correlation (−1 to 1) of the cues'
shares of the relevance with their shares of the effect, of the model as a whole and within single
samples. Where it is low, the number by relevance says nothing about what the model uses."""


class Cues(ReportSection):
    """Accuracy by removed cues, what each adds, and whether relevance lies on what is used."""

    name = "cues"
    title = "Cues: which features are used"
    order = 600
    shows = ("cues/.*",)
    opening = """
    In a cue task several redundant cues, numbered from the easiest, each suffice to tell the classes
    apart. Columns name the cues that were removed from the test inputs (“01”: cues 0 and 1). A model that
    stays accurate used what is left: this is a causal measure. From all removals follows what each cue
    adds to the accuracy (its Shapley value), and from these the causal effective number of cues:
    exp(entropy) of their shares, 1 to the number of cues. The same number by relevance only says where
    the explanation points; a noisy map raises it as well."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = metric_rows(results, "cues")
        values, use = with_holes(results, _removed(rows)), _use(results, rows)
        shapley, mass = (_by_cue(results, rows, what) for what in ("shapley", "mass"))
        if values.empty and use.empty and shapley.empty and mass.empty:
            return [Prose("No task of this benchmark has known cues, or none was evaluated.")]
        blocks: list[Block] = [how_to_read(self.opening)]
        if len(values):
            caption = f"accuracy by removed cues, {OVER_SEEDS}."
            tables = by_column(results, "cues", caption, values, better="higher")
            further = difference_tables(results, "cues-differences", "these accuracies", values)
            blocks += [*_curves(results, style, values), *task_by_task(results, [tables, further])]
        if len(use):
            blocks.append(paragraph(AGREEING))
        caption = (
            "effective number of cues by effect and by relevance, and their agreement, "
            f"{OVER_SEEDS}."
        )
        blocks += by_column(results, "cues-effective", caption, use, 2).values()
        caption = f"what each cue adds to the accuracy (Shapley value), {OVER_SEEDS}."
        blocks += by_column(results, "cues-shapley", caption, shapley).values()
        caption = f"share of the positive relevance mass by cue, {OVER_SEEDS}."
        masses = by_column(results, "cues-mass", caption, mass).values()
        blocks += (replace(table, folded=True) for table in masses)
        return [*blocks, *further_tables(results, "cues-further", FURTHER).values()]


def _use(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the causal and the attributive number of cues, and how well the two agree."""
    rows = rows[(rows["split"] == "test") & rows["metric"].isin(list(USE))]
    rows = rows.sort_values("metric", key=lambda names: names.map(list(USE).index), kind="stable")
    values = with_holes(results, rows.assign(column=rows["metric"].map(USE)))
    # That every sample has relevance on some cue is the rule: only what breaks it is shown.
    lacking = values["column"] == USE["without_cue_mass"]
    above = values[lacking & (values["value"] > 0)][["task", "model"]].drop_duplicates()
    return pd.concat([values[~lacking], values[lacking].merge(above)], ignore_index=True)


def _by_cue(results: Results, rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return "cue_{k}_{what}" with the cue as `column`."""
    cue = rows["metric"].astype(str).str.extract(rf"^cue_(\d+)_{what}$")[0]
    rows = rows[(rows["split"] == "test") & cue.notna()].assign(cue=cue.dropna().astype(int))
    rows = rows.sort_values("cue", kind="stable")
    return with_holes(results, rows.assign(column="cue " + rows["cue"].astype(str)))


def _removed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies with the removed cues as `column`: none, single ones, pairs, …"""
    rows = rows[(rows["metric"] == "accuracy") & rows["split"].str.startswith(PREFIX).astype(bool)]
    rows = rows.assign(column=rows["split"].str.removeprefix(PREFIX))
    rank = {name: (name != "none", len(name), name) for name in rows["column"].unique()}
    order = {name: index for index, name in enumerate(sorted(rank, key=rank.__getitem__))}
    return rows.sort_values("column", key=lambda names: names.map(order), kind="stable")


def _curves(results: Results, style: Style, values: pd.DataFrame) -> Iterator[Figure]:
    names, shown = settings(results), labels(results)
    for page, which, _ in numbered(pages(settings_in(results, values), PANELS)):
        parts = {setting: within(values, setting) for setting in page}
        single = sum(map(len, parts.values())) <= POINTS
        figure, axes = style.grid(len(page), 1, (7.2, 2.6), (0.0, 0.6))
        for (axis,), (setting, part) in zip(axes, parts.items(), strict=True):
            columns = list(dict.fromkeys(part["column"]))
            spread = 0.7 / max(1, len(shown))
            for number, label in enumerate(shown):
                here = part[part["label"] == label]
                offset = (number - (len(shown) - 1) / 2) * spread
                looks, marker = style.series(label), style.marker(label)
                if single:
                    x = [columns.index(column) + offset for column in here["column"]]
                    axis.plot(x, here["value"], marker, **looks, mfc="none", ms=3, mew=0.7)
                means = here.groupby("column")["value"].mean().reindex(columns)
                x = [index + offset for index in range(len(columns))]
                axis.plot(x, means, marker, **looks, ms=5.5)
            for index in range(1, len(columns)):
                axis.axvline(index - 0.5, color="#808080", linewidth=0.4)
            axis.set_xticks(range(len(columns)), [style.text(column, 10) for column in columns])
            axis.grid(axis="x", visible=False)
            axis.set_title(style.text(names[setting]), loc="left")
            axis.set_ylabel("accuracy")
        axes[-1][0].set_xlabel("removed cues")
        style.legend(figure, shown)
        yield Figure(
            "cues-accuracy",
            f"{which}Accuracy when cues are removed: filled markers are means over the seeds that are "
            f"there{', small rings single seeds' if single else ''}.",
            "Accuracy by label and removed cues, a panel a task; the numbers are in the tables below.",
            figure,
        )
