"""How accuracy falls as more and more of the input is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, paragraph, task_by_task
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.rows import (
    CELL,
    PANELS,
    Setting,
    detailed,
    fewer_seeds,
    labels,
    metric_rows,
    settings,
    settings_in,
    usual_first,
    with_holes,
    within,
    without_figures,
)
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, difference_tables, stacked
from reldrop_bench.statistics.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

CLEAN = "clean accuracy"
ORDERS = ("random", "random-blocks", "random-ball", "mask", "reference")
BIASED = "origin"
"""A fill that tells a model that something was hidden."""

FURTHER = ("occlusion/test/samples",)


class Occlusion(ReportSection):
    """Robustness curves and their areas, raw and relative to the clean accuracy."""

    name = "occlusion"
    title = "Robustness to occlusion"
    order = 500
    shows = ("occlusion/test/.*",)
    opening = """
    Test inputs are hidden step by step with the same masks for every model and seed. The order says
    where: at random (single elements, blocks or balls), mask (the region of interest first, where a task
    has one), or reference (what one frozen model, the baseline of the first seed, finds most relevant; it
    hits that cell itself hardest, and models the more the more they resemble it). The fill says with
    what. Never read an area without the clean accuracy: the normalised curve divides by it, and a model
    that starts lower can look flatter. A label that was trained with a fill has an advantage under that
    fill."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        curves = results.curves
        curves = curves[(curves["evaluation"] == "occlusion") & (curves["split"] == "test")]
        curves = curves[curves["metric"].str.endswith("/accuracy").astype(bool)]
        raw, normalised = _areas(results, "auc"), _areas(results, "normalised_auc")
        if curves.empty and raw.empty:
            return [Prose("No occlusion curve was measured in this benchmark.")]
        blocks: list[Block] = [how_to_read(self.opening)]
        fills = {_parts(metric)[1] for metric in curves["metric"].unique()}
        if BIASED in fills | {name.partition("/")[2] for name in raw["column"].unique()}:
            text = f"""
            The fill {BIASED} is biased: it moves hidden points to one place that no surface has, so a
            model sees a fake point and not an absence. Read it as a stress test and compare labels under
            the other fills."""
            blocks.append(paragraph(text, "note"))
        over = f"{OVER_SEEDS}, beside the clean accuracy of the same items."
        caption = f"area under the occlusion curve by order (rows) and fill (columns), {over}"
        tables = [_by_order(results, "occlusion", caption, raw)]
        caption = f"the same areas divided by the clean accuracy, {over}"
        normal = _by_order(results, "occlusion-normalised", caption, normalised)
        tables.append({name: replace(table, folded=True) for name, table in normal.items()})
        parts = {
            order: difference_tables(results, "occlusion-differences", "the raw areas", values)
            for order, values in _orders(raw)
        }
        tables.append(stacked(parts, "order"))
        tables.append(further_tables(results, "occlusion-further", FURTHER))
        present = settings_in(results, curves)
        if len(detailed(present)) < len(present):
            blocks += _overview(results, style, curves, present)
            blocks += without_figures(results, present)

        def draw(setting: Setting, name: str) -> list[Figure]:
            return _curves(results, style, setting, name, within(curves, setting))

        return [*blocks, *task_by_task(results, tables, present, draw)]


def _by_order(results: Results, name: str, caption: str, values: pd.DataFrame) -> dict[str, Table]:
    """Return for each setting a table with a row an order and label and a column a fill."""
    clean = values[values["column"] == CLEAN]
    parts = {}
    for order, areas in _orders(values):
        beside = clean.merge(areas[["task", "model"]].drop_duplicates())
        both = pd.concat([beside, areas], ignore_index=True)
        parts[order] = by_column(results, name, caption, both, better="higher")
    return stacked(parts, "order")


def _orders(values: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each order with its areas, the fill as `column`."""
    areas = values[values["column"] != CLEAN]
    names = areas["column"].astype(str).str.partition("/")
    for order in sorted(set(names[0]) if len(areas) else (), key=usual_first(ORDERS)):
        of_order = names[0] == order
        yield order, areas[of_order].assign(column=names.loc[of_order, 2].map(_fill_text))


def _fill_text(fill: str) -> str:
    return f"{fill} (biased)" if fill == BIASED else fill


def _areas(results: Results, metric: str) -> pd.DataFrame:
    """Return the areas of every cell by order/fill, the clean accuracy too."""
    rows = metric_rows(results, "occlusion", "test")
    areas = rows[rows["metric"].str.endswith(f"/{metric}").astype(bool)]
    areas = areas.assign(column=areas["metric"].str.removesuffix(f"/{metric}"))
    clean = rows[rows["metric"] == "clean_accuracy"]
    if clean.empty:
        clean = metric_rows(results, "accuracy", "test")
        clean = clean[clean["metric"] == "accuracy"]
    clean = clean.merge(areas[["task", "model"]].drop_duplicates()).assign(column=CLEAN)
    columns = [*CELL, "column", "value"]
    return with_holes(results, pd.concat([clean[columns], areas[columns]], ignore_index=True))


def _parts(metric: str) -> tuple[str, str]:
    """Return order and fill of "order/fill/…"."""
    order, _, rest = metric.partition("/")
    return order, rest.rpartition("/")[0]


def _overview(
    results: Results, style: Style, curves: pd.DataFrame, present: Sequence[Setting]
) -> Iterator[Figure]:
    """Yield a panel a setting with the mean over orders and fills, where there are many settings."""
    names = settings(results)
    biased = curves["metric"].map(lambda metric: _parts(metric)[1] == BIASED).astype(bool)
    for page, which, _ in numbered(pages(present, PANELS)):
        figure, axes = style.panels(len(page), 3, (2.5, 1.8), (0.3, 0.8), sharex=True)
        for axis, setting in zip(axes, page, strict=True):
            # Sorted: the sums must not depend on row order.
            fair = within(curves[~biased], setting).sort_values("value")
            means = fair.groupby(["label", "x"])["value"].mean()
            for label in labels(results, set(fair["label"])):
                mean = means[label]
                axis.plot(mean.index, mean, style.line(label), **style.series(label), lw=1.3)
            axis.set_title(style.text(names[setting]))
            axis.locator_params(nbins=4)
        figure.supxlabel("hidden fraction", fontsize=9)
        figure.supylabel("accuracy", fontsize=9)
        style.legend(figure, labels(results), lines=True)
        yield Figure(
            "occlusion-overview",
            f"{which}accuracy against the hidden fraction, mean over orders, fills (without {BIASED}) "
            "and the seeds that are there, a panel a task; by order and fill it is in the tables below. "
            "Scales differ between panels.",
            f"Occlusion curves of every label on {counted(len(page), 'task')}.",
            figure,
        )


def _curves(
    results: Results, style: Style, setting: Setting, name: str, of_setting: pd.DataFrame
) -> list[Figure]:
    """Return the curves as they are, and divided by their beginning."""
    shown = labels(results, set(of_setting["label"]))
    remark = fewer_seeds(results, of_setting, setting)
    return [
        Figure(
            f"occlusion{kind}-{name}",
            f"{name}: accuracy against the hidden fraction, {what}mean over seeds; a row an order, a "
            f"column a fill.{remark}",
            f"Occlusion curves of {counted(len(shown), 'label')} on {name}; areas are in the table below.",
            _panels(style, shown, of_setting, bool(kind)),
        )
        for kind, what in (
            ("", ""),
            ("-relative", "each divided by its value at the smallest fraction, "),
        )
    ]


def _panels(
    style: Style, shown: list[str], of_setting: pd.DataFrame, relative: bool
) -> MatplotlibFigure:
    pairs = list(dict.fromkeys(_parts(metric) for metric in of_setting["metric"]))
    orders = sorted({order for order, _ in pairs}, key=usual_first(ORDERS))
    fills = list(dict.fromkeys(fill for _, fill in pairs))
    size = (7.4 / max(3, len(fills)), 1.6)
    share = {"sharex": True, "sharey": "row"}
    figure, axes = style.grid(len(orders), len(fills), size, (0.5, 0.8), **share)
    keyed = of_setting.assign(pair=of_setting["metric"].str.rpartition("/")[0])
    for order, row in zip(orders, axes, strict=True):
        for fill, axis in zip(fills, row, strict=True):
            here = keyed[keyed["pair"] == f"{order}/{fill}"]
            if here.empty:
                axis.text(0.5, 0.5, "not measured", ha="center", transform=axis.transAxes)
            for label in shown:
                wide = here[here["label"] == label].pivot(index="x", columns="seed", values="value")
                if wide.empty:
                    continue
                mean = (wide / wide.iloc[0] if relative else wide).mean(axis=1, skipna=False)
                look = style.series(label) | {"marker": style.marker(label)}
                axis.plot(mean.index, mean, style.line(label), **look, ms=3.5, lw=1.3)
        row[0].locator_params(nbins=4)
        row[0].set_ylabel(f"{style.text(order, 20)}\n{'relative' if relative else 'accuracy'}")
    for fill, top, bottom in zip(fills, axes[0], axes[-1], strict=True):
        top.set_title(style.text(_fill_text(fill), 16), fontsize=9)
        bottom.set_xlabel("hidden fraction")
    style.legend(figure, shown, lines=True)
    return figure
