"""How accuracy falls as more and more of the input is hidden."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results, Table
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import (
    CELL,
    PANELS,
    Setting,
    detailed,
    labels,
    settings,
    with_holes,
    within,
    without_figures,
    written,
)
from reldrop_bench.reporting.tables import by_column, differences, stacked

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from reldrop_bench.reporting.style import Style

CLEAN = "clean accuracy"
ORDERS = ("random", "random-blocks", "random-ball", "mask", "reference")
BIASED = "origin"
"""A fill that tells a model that something was hidden."""


class Occlusion(ReportSection):
    """Robustness curves and their areas, raw and relative to the clean accuracy."""

    name = "occlusion"
    title = "Robustness to occlusion"
    order = 500

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        curves = results.curves
        curves = curves[(curves["evaluation"] == "occlusion") & (curves["split"] == "test")]
        curves = curves[curves["metric"].str.endswith("/accuracy").astype(bool)]
        raw, normalised = _areas(results, "auc"), _areas(results, "normalised_auc")
        if curves.empty and raw.empty:
            return [Prose("No occlusion curve was measured in this benchmark.")]
        blocks: list[Block] = [
            Prose(
                "Test inputs are hidden step by step with the same masks for every model and "
                "seed. The order says where: at random (single elements, blocks or balls), mask "
                "(the region of interest first, where a task has one), or reference (what one "
                "frozen model, the baseline of the first seed, finds most relevant; it hits that "
                "cell itself hardest, and models the more the more they resemble it). The fill "
                "says with what. Never read an area without the clean accuracy: the normalised "
                "curve divides by it, and a model that starts lower can look flatter. A label "
                "that was trained with a fill has an advantage under that fill."
            )
        ]
        if BIASED in {_parts(metric)[1] for metric in [*curves["metric"], *_named(results)]}:
            blocks.append(
                Prose(
                    f"The fill {BIASED} is biased: it moves hidden points to one place that no "
                    "surface has, so a model sees a fake point and not an absence. Read it as a "
                    "stress test and compare labels under the other fills.",
                    "note",
                )
            )
        over = "mean ± standard deviation over seeds, beside the clean accuracy of the same items."
        caption = f"area under the occlusion curve by order (rows) and fill (columns), {over}"
        tables = [_by_order(results, "occlusion", caption, raw)]
        caption = f"the same areas divided by the clean accuracy, {over}"
        normal = _by_order(results, "occlusion-normalised", caption, normalised)
        tables.append({name: replace(table, folded=True) for name, table in normal.items()})
        parts = {
            order: differences(results, "occlusion-differences", "the raw areas", values)
            for order, values in _orders(raw)
        }
        tables.append(stacked(parts, "order"))
        names = settings(results)
        own = {setting: within(curves, setting) for setting in names}
        present = [setting for setting in names if len(own[setting])]
        if len(detailed(present)) < len(present):
            blocks += _overview(results, style, {setting: own[setting] for setting in present})
            blocks += without_figures(results, present)
        for setting, name in names.items():
            if setting in detailed(present):
                blocks += _curves(results, style, setting, name, own[setting])
            blocks += [table[name] for table in tables if name in table]
        return blocks


def _by_order(results: Results, name: str, caption: str, values: pd.DataFrame) -> dict[str, Table]:
    """Return for each setting a table with a row an order and label and a column a fill."""
    clean = values[values["column"] == CLEAN] if len(values) else values
    parts = {}
    for order, areas in _orders(values):
        beside = clean.merge(areas[["task", "model"]].drop_duplicates())
        both = pd.concat([beside, areas], ignore_index=True)
        parts[order] = by_column(results, name, caption, both)
    return stacked(parts, "order")


def _orders(values: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each order with its areas, the fill as `column`."""
    areas = values[values["column"] != CLEAN] if len(values) else values
    names = areas["column"].astype(str) if len(areas) else pd.Series(dtype=str)
    for order in sorted({name.partition("/")[0] for name in names}, key=_place):
        own = areas[names.str.partition("/")[0] == order]
        yield order, own.assign(column=own["column"].str.partition("/")[2].map(_named_fill))


def _place(order: str) -> tuple[int, str]:
    return ORDERS.index(order) if order in ORDERS else len(ORDERS), order


def _named_fill(fill: str) -> str:
    return f"{fill} (biased)" if fill == BIASED else fill


def _named(results: Results) -> list[str]:
    rows = written(results, "occlusion", "test")
    return [metric for metric in rows["metric"].unique() if metric.endswith("/auc")]


def _areas(results: Results, metric: str) -> pd.DataFrame:
    """Return the areas of every cell by order/fill, the clean accuracy too."""
    rows = written(results, "occlusion", "test")
    areas = rows[rows["metric"].str.endswith(f"/{metric}").astype(bool)]
    areas = areas.assign(column=areas["metric"].str.removesuffix(f"/{metric}"))
    clean = rows[rows["metric"] == "clean_accuracy"]
    if clean.empty:
        clean = written(results, "accuracy", "test")
        clean = clean[clean["metric"] == "accuracy"]
    clean = clean.merge(areas[["task", "model"]].drop_duplicates()).assign(column=CLEAN)
    columns = [*CELL, "column", "value"]
    return with_holes(results, pd.concat([clean[columns], areas[columns]], ignore_index=True))


def _parts(metric: str) -> tuple[str, str]:
    """Return order and fill of "order/fill/…"."""
    order, _, rest = metric.partition("/")
    return order, rest.rpartition("/")[0]


def _overview(
    results: Results, style: Style, curves: Mapping[Setting, pd.DataFrame]
) -> list[Figure]:
    """Return a panel a setting with the mean over orders and fills, where there are many settings."""
    names, figures = settings(results), []
    every = pages(curves, PANELS)
    for number, page in enumerate(every, 1):
        figure, axes = style.panels(len(page), 3, (2.5, 1.8), (0.3, 0.8), sharex=True)
        for axis, setting in zip(axes, page, strict=True):
            rows_of_setting = curves[setting].sort_values("value")  # sums: whatever the row order
            biased = [_parts(metric)[1] == BIASED for metric in rows_of_setting["metric"]]
            means = rows_of_setting[~np.array(biased)].groupby(["label", "x"])["value"].mean()
            for label in labels(results):
                if label in means.index.get_level_values("label"):
                    mean = means[label]
                    axis.plot(mean.index, mean, style.line(label), **style.series(label), lw=1.3)
            axis.set_title(style.text(names[setting]))
            axis.locator_params(nbins=4)
        figure.supxlabel("hidden fraction", fontsize=9)
        figure.supylabel("accuracy", fontsize=9)
        style.legend(figure, labels(results), lines=True)
        figures.append(
            Figure(
                "occlusion-overview",
                f"{page_name(number, len(every))}accuracy against the hidden fraction, mean over "
                f"orders, fills (without {BIASED}) and the seeds that are there, a panel a task; by "
                "order and fill it is in the tables below. Scales differ between panels.",
                f"Occlusion curves of every label on {len(page)} tasks.",
                figure,
            )
        )
    return figures


def _curves(
    results: Results, style: Style, setting: Setting, name: str, own: pd.DataFrame
) -> list[Figure]:
    """Return the curves as they are, and divided by their beginning."""
    shown = [label for label in labels(results) if label in set(own["label"])]
    seeds = own.drop_duplicates(["label", "seed"]).groupby("label").size()
    counts = within(results.cells, setting).groupby("label").size()
    short = [
        f"“{label}” n={seeds[label]}/{counts[label]}"
        for label in shown
        if seeds[label] < counts[label]
    ]
    remark = f" Fewer seeds than planned: {', '.join(short)}." if short else ""
    begun = "each divided by its value at the smallest fraction"
    return [
        Figure(
            f"occlusion{kind}-{name}",
            f"{name}: accuracy against the hidden fraction, {what}; a row an order, a column a "
            f"fill.{remark}",
            f"Occlusion curves of {len(shown)} labels on {name}; areas are in the table below.",
            _panels(style, shown, own, bool(kind)),
        )
        for kind, what in (
            ("", "mean over seeds"),
            ("-relative", f"{begun}, mean over seeds"),
        )
    ]


def _panels(style: Style, shown: list[str], own: pd.DataFrame, relative: bool) -> MatplotlibFigure:
    pairs = list(dict.fromkeys(_parts(metric) for metric in own["metric"]))
    orders = sorted({order for order, _ in pairs}, key=_place)
    fills = list(dict.fromkeys(fill for _, fill in pairs))
    figure, axes = style.grid(
        len(orders), len(fills), (7.4 / max(3, len(fills)), 1.6), (0.5, 0.8), sharex=True,
        sharey="row",
    )  # fmt: skip
    keyed = own.assign(pair=own["metric"].str.rpartition("/")[0])
    for order, row in zip(orders, axes, strict=True):
        for fill, axis in zip(fills, row, strict=True):
            here = keyed[keyed["pair"] == f"{order}/{fill}"]
            if here.empty:
                axis.text(0.5, 0.5, "not measured", ha="center", transform=axis.transAxes)
            for label in shown:
                wide = here[here["label"] == label].pivot(index="x", columns="seed", values="value")
                if wide.empty:
                    continue
                values = wide / wide.iloc[0] if relative else wide
                mean = values.mean(axis=1, skipna=False)
                axis.plot(
                    mean.index, mean, style.line(label), **style.series(label),
                    marker=style.marker(label), ms=3.5, lw=1.3,
                )  # fmt: skip
        row[0].locator_params(nbins=4)
        row[0].set_ylabel(f"{style.text(order, 20)}\n{'relative' if relative else 'accuracy'}")
    for fill, top, bottom in zip(fills, axes[0], axes[-1], strict=True):
        top.set_title(style.text(_named_fill(fill), 16), fontsize=9)
        bottom.set_xlabel("hidden fraction")
    style.legend(figure, shown, lines=True)
    return figure
