"""How diverse maps and features are, beside what tells diversity from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, paragraph, task_by_task
from reldrop_bench.reporting.rows import (
    CELL,
    POINTS,
    Setting,
    complete_means,
    explainer,
    labels,
    metric_rows,
    settings_in,
    with_holes,
    within,
    without_figures,
)
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, difference_tables, directed
from reldrop_bench.statistics.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONTROL = "randomised-weights"
MAPS = (
    "attribution_entropy", "gini", "mass_coverage", "relevance_mass_accuracy",
    "relevance_rank_accuracy", "in_mask_entropy", "shortcut_mass", "class_map_cosine",
)  # fmt: skip
IN_MASK = ("relevance mass accuracy", "relevance rank accuracy")
"""As the columns are called; where relevance lies, not how widely."""
FEATURES = ("effective_rank", "participation_ratio", "vendi_score", "critical_set_fraction")
ACCURACY, GAIN = "clean accuracy", "SRG"
AGREEMENT: Mapping[str, str] = {
    "linear_cka": "CKA",
    "prediction_disagreement": "other predictions",
    "error_disagreement": "other errors",
    "error_kappa": "error kappa",
}
BASELINE, SEEDS = "to the baseline", "between seeds"

AGREEING = """
Agreement compares the features (CKA, 1: alike up to rotation and scale) and the errors (kappa, 1: the
same, 0: chance) of two models: with the baseline of the same seed, and with the same label's first seed.
A regularizer changes what is learned only if its models are less like the baseline than the baseline is
like itself between seeds. No direction is better."""


class FeatureDiversity(ReportSection):
    """Spread of relevance and dimensions of features, beside accuracy, SRG and a control."""

    name = "diversity"
    title = "Feature diversity"
    order = 550
    # Of the faithfulness of maps, that of the benchmark's own method.
    shows = (
        "(diversity|agreement)/.*", "accuracy/test/accuracy", r"faithfulness/test/.*/srg/probability",
    )  # fmt: skip
    opening = """
    How widely a model's relevance is spread over the input, and in how many directions its features vary.
    The word behind a statistic (higher, lower) says which way is more diverse (relevance mass and rank
    accuracy: more in the mask), not which way is better: high entropy may only mean a noisy map. So read
    every statistic beside the clean accuracy, beside the symmetric relevance gain (SRG: how faithful the
    maps are; a mean over fills), and beside the control, the same network with permuted weights, whose
    numbers are those of noise. A label that moves from the baseline towards the control, and loses
    accuracy or SRG, is noisier and not more diverse. Feature statistics count directions, so redundant
    cues that come and go together count as one."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        values, control = (_statistics(results, split) for split in ("test", CONTROL))
        agreement = _agreement(results)
        if values.empty and agreement.empty:
            return [Prose("Neither feature diversity nor agreement was measured here.")]
        tables = _tables(results, values, control)
        tables.append(_agreement_tables(results, agreement))
        tables.append(further_tables(results, "diversity-further", ("diversity/.*/samples",)))
        present = settings_in(results, values)
        blocks: list[Block] = [how_to_read(self.opening)] if len(values) else []
        blocks += [paragraph(AGREEING)] if len(agreement) else []
        blocks += without_figures(results, present)

        def draw(setting: Setting, name: str) -> list[Figure]:
            return [
                _points(results, style, name, within(values, setting), within(control, setting))
            ]

        return [*blocks, *task_by_task(results, tables, present, draw)]


def _statistics(results: Results, split: str) -> pd.DataFrame:
    """Return the statistics of every cell by name and direction, as `column`; `kind`: of what.

    On the test split they begin with clean accuracy and SRG, which belong to both kinds.
    """
    rows = metric_rows(results, "diversity", split)
    rows = rows[rows["metric"] != "samples"]
    further = sorted(set(rows["metric"]) - {*MAPS, *FEATURES})
    parts = [_beside(results, rows)] if split == "test" else []
    for metric in [*MAPS, *further, *FEATURES]:
        text = directed(results, "diversity", metric, metric.replace("_", " "))
        kind = "features" if metric in FEATURES else "maps"
        parts.append(rows[rows["metric"] == metric].assign(column=text, kind=kind))
    frame = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    kinds = dict(zip(frame["column"], frame["kind"], strict=True))
    values = with_holes(results, frame)
    return values.assign(kind=values["column"].map(kinds))


def _beside(results: Results, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the clean accuracy and the SRG of the benchmark's own method where `rows` are."""
    clean = metric_rows(results, "accuracy", "test")
    clean = clean[clean["metric"] == "accuracy"].assign(column=ACCURACY)
    gains = metric_rows(results, "faithfulness", "test")
    metric = gains["metric"].astype(str)
    chosen = metric.str.startswith(f"{explainer(results)}/")
    gains = gains[chosen & metric.str.endswith("/srg/probability")].dropna(subset="value")
    gains = gains.sort_values("metric")
    parts = [clean]
    if len(gains):  # which counts only if the cell has it for every fill
        parts.append(complete_means(gains, CELL, "metric").assign(column=GAIN))
    beside = pd.concat([part[[*CELL, "column", "value"]] for part in parts], ignore_index=True)
    return beside.merge(rows[["task", "model"]].drop_duplicates()).assign(kind="both")


def _tables(
    results: Results, values: pd.DataFrame, control: pd.DataFrame
) -> list[dict[str, Table]]:
    tables = []
    for kind, what in (("maps", "relevance maps"), ("features", "penultimate features")):
        of_kind = values[values["kind"].isin([kind, "both"])]
        of_kind = of_kind.merge(
            of_kind.loc[of_kind["kind"] == kind, ["task", "model"]].drop_duplicates()
        )
        caption = f"diversity of {what}, {OVER_SEEDS}; the word says which way is more diverse."
        tables.append(by_column(results, f"diversity-{kind}", caption, of_kind, None))
        noise = control[control["kind"] == kind]
        caption = f"the same statistics of {what} with permuted weights, the control, {OVER_SEEDS}."
        controls = by_column(results, f"diversity-{kind}-control", caption, noise, None)
        tables.append({name: replace(table, folded=True) for name, table in controls.items()})
    statistics = values[values["kind"] != "both"]
    tables.append(
        difference_tables(results, "diversity-differences", "these statistics", statistics, None)
    )
    return tables


def _points(
    results: Results, style: Style, name: str, of_kind: pd.DataFrame, control: pd.DataFrame
) -> Figure:
    columns = list(dict.fromkeys(of_kind["column"]))
    shown = labels(results, set(of_kind["label"]))
    size = (1.75, 0.75 + 0.24 * len(shown))
    single = len(of_kind) + len(control) <= POINTS
    figure, axes = style.panels(len(columns), 4, size, (1.5, 0.1), sharey=True)
    for axis, column in zip(axes, columns, strict=True):
        statistic, _, direction = column.removesuffix(")").partition(" (")
        axis.set_title(style.text(statistic, 30), fontsize=9)
        what = "in the mask" if statistic in IN_MASK else "diverse"
        arrow = {"higher": f"more {what} →", "lower": f"← more {what}"}.get(direction, "")
        axis.set_xlabel(arrow, fontsize=7)
        here, noise = of_kind[of_kind["column"] == column], control[control["column"] == column]
        _rows(axis, style, shown, here, noise, single)
    return Figure(
        f"diversity-{name}",
        f"{name}: every seed ({'filled marker' if single else 'line: all lie on it'}) with the mean "
        f"of the seeds that are there (bar), and below it, {'hollow' if single else 'dotted'}, the "
        "same network with permuted weights: noise. Scales differ between panels and do not start "
        "at zero.",
        f"Strip plots of {counted(len(columns), 'statistic')} by label on {name}; the numbers are in the "
        "tables below.",
        figure,
    )


def _rows(
    axis: Axes,
    style: Style,
    shown: list[str],
    here: pd.DataFrame,
    noise: pd.DataFrame,
    single: bool,
) -> None:
    for height, label in enumerate(shown):
        looks, marker = style.series(label), style.marker(label)
        seeds = here.loc[here["label"] == label, "value"].dropna().sort_values()
        drawn = noise.loc[noise["label"] == label, "value"].dropna().sort_values()
        up, down = height - 0.14, height + 0.24
        if single:
            axis.plot(seeds, [up] * len(seeds), marker, **looks, ms=4, alpha=0.7)
        else:
            axis.plot([seeds.min(), seeds.max()], [up] * 2, "-", **looks, linewidth=0.9)
        if len(seeds):
            axis.plot([seeds.mean()] * 2, [up - 0.24, up + 0.24], **looks, linewidth=1.8)
        if single:
            axis.plot(drawn, [down] * len(drawn), marker, **looks, mfc="none", ms=4, mew=0.8)
        else:
            axis.plot([drawn.min(), drawn.max()], [down] * 2, ":", **looks, linewidth=0.9)
    style.label_rows(axis, shown, width=22)
    axis.locator_params(axis="x", nbins=3)
    axis.ticklabel_format(axis="x", useOffset=False)
    axis.margins(x=0.12)


def _agreement(results: Results) -> pd.DataFrame:
    """Return likeness by measure and companion; a model is not compared with itself."""
    parts = []
    for metric, text in AGREEMENT.items():
        for split, whom in (("to-baseline", BASELINE), ("between-seeds", SEEDS)):
            rows = metric_rows(results, "agreement", split)
            parts.append(rows[rows["metric"] == metric].assign(column=f"{text} {whom}"))
    values = with_holes(results, pd.concat(parts, ignore_index=True))
    column = values["column"].astype(str)
    first = results.cells["seed"].iloc[0] if len(results.cells) else 0
    itself = column.str.endswith(BASELINE) & (values["label"] == results.baseline)
    itself |= column.str.endswith(SEEDS) & (values["seed"] == first)
    return values[~itself]


def _agreement_tables(results: Results, values: pd.DataFrame) -> dict[str, Table]:
    caption = (
        "agreement with the baseline of the same seed, and with the label's own first seed, mean ± "
        "standard deviation over the other seeds. Other predictions, other errors: shares of the "
        "test items."
    )
    tables = by_column(results, "diversity-agreement", caption, values)
    pairs = [f"{text} {whom}" for text in AGREEMENT.values() for whom in (BASELINE, SEEDS)]
    for name, table in tables.items():
        frame = table.frame[
            ["label", *(column for column in pairs if column in table.frame)]
        ].copy()
        to_baseline = [column for column in frame if str(column).endswith(BASELINE)]
        frame.loc[frame["label"] == results.baseline, to_baseline] = "itself"
        tables[name] = replace(table, frame=frame, tones={**(table.tones or {}), "itself": "muted"})
    return tables
