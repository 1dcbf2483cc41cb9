"""How accuracy falls as more and more of the input is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from reldrop_bench.report.measures import (
    CELL,
    Setting,
    labels,
    settings,
    with_holes,
    within,
    written,
)
from reldrop_bench.report.tables import by_column, differences
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection

if TYPE_CHECKING:
    from reldrop_bench.report.style import Style

CLEAN = "clean accuracy"


@dataclass(frozen=True)
class Occlusion(ReportSection):
    """Robustness curves and their areas, raw and relative to the clean accuracy."""

    name: ClassVar[str] = "occlusion"
    title: ClassVar[str] = "Robustness to occlusion"
    order: ClassVar[int] = 500

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
                "seed. The order says where: random, or mask (the region of interest first, "
                "where a task has one). The fill says with what. Never read an area without the "
                "clean accuracy: the normalised curve divides by it, and a model that starts "
                "lower can look flatter. A label that was trained with a fill has an advantage "
                "under that fill."
            )
        ]
        over = "mean ± standard deviation over seeds, beside the clean accuracy of the same items."
        caption = f"area under the occlusion curve by order/fill, {over}"
        tables = [by_column(results, "occlusion", caption, raw)]
        caption = f"the same areas divided by the clean accuracy, {over}"
        tables.append(by_column(results, "occlusion-normalised", caption, normalised))
        areas = raw[raw["column"] != CLEAN] if len(raw) else raw
        tables.append(differences(results, "occlusion-differences", "the raw areas", areas))
        for setting, name in settings(results).items():
            own = within(curves, setting)
            if len(own):
                blocks.append(_curves(results, style, setting, name, own))
            blocks += [table[name] for table in tables if name in table]
        return blocks


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


def _curves(
    results: Results, style: Style, setting: Setting, name: str, own: pd.DataFrame
) -> Figure:
    pairs = list(dict.fromkeys(_parts(metric) for metric in own["metric"]))
    orders = list(dict.fromkeys(order for order, _ in pairs))
    fills = list(dict.fromkeys(fill for _, fill in pairs))
    figure, axes = style.grid(
        2 * len(orders),
        len(fills),
        (7.2 / max(3, len(fills)), 1.75),
        (0.4, 0.7),
        sharex=True,
        sharey="row",
    )
    expected = within(results.cells, setting)
    shown = [label for label in labels(results) if label in set(own["label"])]
    keyed = own.assign(pair=own["metric"].str.rpartition("/")[0])
    for row, order in enumerate(orders):
        for column, fill in enumerate(fills):
            here = keyed[keyed["pair"] == f"{order}/{fill}"]
            raw, normalised = axes[2 * row][column], axes[2 * row + 1][column]
            raw.set_title(style.text(f"{order} order, {fill}"))
            for label in shown:
                wide = here[here["label"] == label].pivot(index="x", columns="seed", values="value")
                if wide.empty:
                    continue
                for axis, values in ((raw, wide), (normalised, wide / wide.iloc[0])):
                    mean = values.mean(axis=1, skipna=False)
                    axis.plot(
                        mean.index, mean, style.line(label), color=style.color(label),
                        marker=style.marker(label), ms=3.5, lw=1.3,
                    )  # fmt: skip
        for axis in (axes[2 * row][0], axes[2 * row + 1][0]):
            axis.locator_params(nbins=4)
        axes[2 * row][0].set_ylabel("accuracy")
        axes[2 * row + 1][0].set_ylabel("relative to clean")
    for axis in axes[-1]:
        axis.set_xlabel("hidden fraction")
    style.legend(figure, shown, lines=True)
    seeds = own.drop_duplicates(["label", "seed"]).groupby("label").size()
    counts = expected.groupby("label").size()
    short = [
        f"“{label}” n={seeds[label]}/{counts[label]}"
        for label in shown
        if seeds[label] < counts[label]
    ]
    remark = f" Fewer seeds than planned: {', '.join(short)}." if short else ""
    return Figure(
        f"occlusion-{name}",
        f"{name}: accuracy against the hidden fraction, mean over seeds; below each, the same "
        f"curve divided by its value at the smallest fraction.{remark}",
        f"Occlusion curves of {len(shown)} labels on {name}; areas are in the table below.",
        figure,
    )
