"""Whether the explanations of a model point at what the model uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results, Table
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.paging import page_name, pages
from reldrop_bench.reporting.rows import (
    PANELS,
    Setting,
    detailed,
    explainer,
    labels,
    settings,
    with_holes,
    within,
    without_figures,
    written,
)
from reldrop_bench.reporting.style import Style
from reldrop_bench.reporting.tables import by_column, stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANDOM = "random-order"
LINES: Mapping[str, str] = {"mrf": "-", "lrf": "--", "": ":"}
"""By what is hidden first: the most relevant, the least, or whatever chance says."""


class FaithfulnessOfMaps(ReportSection):
    """Symmetric relevance gain by label, method and fill; curves beside the random order."""

    name = "faithfulness"
    title = "Faithfulness of the explanations"
    order = 520

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = _parts(written(results, "faithfulness", "test"))
        curves = results.curves
        curves = curves[(curves["evaluation"] == "faithfulness") & (curves["split"] == "test")]
        curves = _parts(curves)
        curves = curves[curves["quantity"] == "probability"]
        methods = _methods(results, rows, curves)
        if not methods:
            return [Prose("The faithfulness of explanations was not measured in this benchmark.")]
        blocks: list[Block] = [
            Prose(
                "This compares explanations of one and the same model: elements are hidden most "
                "relevant first (MRF), least relevant first (LRF) and in random order. The "
                "symmetric relevance gain, SRG, is the area under the LRF curve less that under "
                "the MRF curve: 0 for a random map, the higher the more faithful. Compare methods "
                "within a label. Do not rank labels by it: a label is a model of its own, and a "
                "flatter curve may only mean a worse explanation of it; how robust the models "
                "are is a matter of the section on occlusion. It is measured with more than one "
                "fill, as what is put in place of the hidden elements decides, too."
            ),
            *_constant(results, rows),
        ]
        tables = [_gains(results, rows, methods), _areas(results, rows, methods)]
        names = settings(results)
        own = {setting: within(curves, setting) for setting in names}
        present = [setting for setting in names if len(own[setting])]
        if len(detailed(present)) < len(present):
            blocks += _overview(results, style, methods, rows, present)
            blocks += without_figures(results, present)
        for setting, name in names.items():
            if setting in detailed(present):
                blocks.append(_curves(results, style, methods, name, own[setting]))
            blocks += [table[name] for table in tables if name in table]
        return blocks


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """Split "method/fill/mrf/probability/area" and its kin; rows of another form are left out.

    `way` is mrf, lrf, srg or, for the random order, "".
    """
    pattern = (
        rf"(?P<method>{RANDOM}|.+(?=/[^/]+/(?:mrf|lrf|srg)/))/(?P<fill>[^/]+)"
        r"(?:/(?P<way>mrf|lrf|srg))?/(?P<quantity>accuracy|probability)(?:/area)?"
    )
    parts = rows["metric"].astype(str).str.extract(f"^{pattern}$").fillna({"way": ""})
    return pd.concat([rows, parts], axis=1).dropna(subset=["method"])


def _methods(results: Results, *frames: pd.DataFrame) -> list[str]:
    """Return the methods: the benchmark's own first."""
    known = {method for frame in frames for method in frame["method"]} - {RANDOM}
    return sorted(known, key=lambda method: (method != explainer(results), method))


def _constant(results: Results, rows: pd.DataFrame) -> list[Block]:
    """Warn of maps that are constant: they order nothing."""
    metrics = written(results, "faithfulness", "test")
    counts = metrics[metrics["metric"].str.endswith("/constant_maps").astype(bool)]
    counts = counts[counts["value"] > 0]
    if counts.empty:
        return []
    found: dict[tuple[str, str, str], float] = {}
    for row in counts.sort_values(["task", "label", "metric"]).to_dict("records"):
        method = str(row["metric"]).removesuffix("/constant_maps")
        key = (row["task"], row["label"], method)
        found[key] = found.get(key, 0) + row["value"]
    texts = [
        f"{task}, “{label}”, {method}: {number:.0f}"
        for (task, label, method), number in found.items()
    ]
    more = f", and {len(texts) - 6} more" if len(texts) > 6 else ""
    told = "; ".join(texts[:6])
    text = f"Constant maps, whose gain of about 0 says nothing, over all seeds: {told}{more}."
    return [Prose(text, "warning")]


def _by_label(results: Results, table: Table) -> Table:
    """Put the methods of a label below one another."""
    rank = {label: place for place, label in enumerate(labels(results))}
    frame = table.frame.sort_values("label", key=lambda label: label.map(rank), kind="stable")
    columns = ["label", "method", *(c for c in frame.columns if c not in ("label", "method"))]
    return replace(table, frame=frame[columns].reset_index(drop=True))


def _gains(results: Results, rows: pd.DataFrame, methods: list[str]) -> dict[str, Table]:
    gains = rows[rows["way"] == "srg"].sort_values(["quantity", "fill"], ascending=[False, True])
    gains = gains.assign(column=gains["fill"] + " fill, " + gains["quantity"])
    caption = (
        "SRG by fill, of the label's probability and of the accuracy, mean ± standard deviation "
        "over seeds (higher: more faithful; random order: 0)."
    )
    return _stacked(results, "faithfulness", caption, gains, methods)


def _areas(results: Results, rows: pd.DataFrame, methods: list[str]) -> dict[str, Table]:
    areas = rows[(rows["way"] != "srg") & (rows["quantity"] == "probability")]
    chance = areas[areas["method"] == RANDOM]
    # The random order is the same for all methods; it stands between the two of each.
    copies = [chance.assign(method=method) for method in methods]
    areas = pd.concat([areas[areas["method"] != RANDOM], *copies], ignore_index=True)
    place, text = {"mrf": 0, "": 1, "lrf": 2}, {"mrf": "MRF", "": "random", "lrf": "LRF"}
    areas = areas.assign(place=areas["way"].map(place)).sort_values(["fill", "place"])
    areas = areas.assign(column=areas["fill"] + " fill, " + areas["way"].map(text))
    caption = (
        "areas under the curves of the label's probability, by fill and by what is hidden first, "
        "mean ± standard deviation over seeds. A faithful map has MRF < random < LRF."
    )
    tables = _stacked(results, "faithfulness-areas", caption, areas, methods)
    return {name: replace(table, folded=True) for name, table in tables.items()}


def _stacked(
    results: Results, name: str, caption: str, rows: pd.DataFrame, methods: list[str]
) -> dict[str, Table]:
    parts = {
        method: by_column(
            results, name, caption, with_holes(results, rows[rows["method"] == method])
        )
        for method in methods
    }
    tables = stacked(parts, "method")
    return {setting: _by_label(results, table) for setting, table in tables.items()}


def _overview(
    results: Results,
    style: Style,
    methods: list[str],
    rows: pd.DataFrame,
    present: Sequence[Setting],
) -> list[Figure]:
    """Return a panel a setting with the mean gain of each method, where there are many settings."""
    looks = Style((*methods, RANDOM), RANDOM)
    names, shown, figures = settings(results), labels(results), []
    gains = rows[(rows["way"] == "srg") & (rows["quantity"] == "probability")]
    means = gains.sort_values("value").groupby(["task", "model", "method", "label"])["value"].mean()
    every = pages(present, PANELS)
    for number, page in enumerate(every, 1):
        size = (2.4, 0.6 + 0.2 * len(shown))
        figure, axes = style.panels(len(page), 3, size, (1.6, 0.5), sharey=True)
        for axis, setting in zip(axes, page, strict=True):
            for method in methods:
                values = [means.get((*setting, method, label), math.nan) for label in shown]
                axis.plot(
                    values, range(len(shown)), looks.marker(method), color=looks.color(method), ms=4
                )
            axis.axvline(0, color=looks.color(RANDOM), linewidth=0.8)
            axis.set_yticks(range(len(shown)), [style.text(label) for label in shown])
            axis.set_ylim(len(shown) - 0.4, -0.6)
            axis.set_title(style.text(names[setting]))
            axis.locator_params(axis="x", nbins=4)
        looks.legend(figure, methods)
        figures.append(
            Figure(
                "faithfulness-overview",
                f"{page_name(number, len(every))}SRG of the label's probability, mean over fills "
                "and the seeds that are there, a panel a task; 0: a random map. Colours stand for "
                "methods here.",
                f"Strip plots of the gains on {len(page)} tasks; the numbers are in the tables below.",
                figure,
            )
        )
    return figures


def _curves(
    results: Results, style: Style, methods: list[str], name: str, own: pd.DataFrame
) -> Figure:
    shown = [label for label in labels(results) if label in set(own["label"])]
    fills = sorted(set(own["fill"]))
    looks = Style((*methods, RANDOM), RANDOM)  # colours tell methods apart: each panel is a label
    wide = min(4, len(shown))
    lines = -(-len(shown) // wide)
    figure, axes = style.grid(
        lines * len(fills), wide, (7.4 / max(3, wide), 1.75), (0.8, 0.5), sharex=True, sharey=True
    )
    flat = [axis for row in axes for axis in row]
    for number, fill in enumerate(fills):
        first = number * lines * wide
        for place in range(lines * wide):
            axis = flat[first + place]
            if place >= len(shown):
                axis.set_visible(False)
                continue
            here = own[(own["label"] == shown[place]) & (own["fill"] == fill)]
            _panel(axis, looks, methods, here)
            axis.set_title(
                f"{style.text(shown[place])}\n{style.text(f'{fill} fill')}", fontsize=8.5
            )
            if place % wide == 0:
                axis.set_ylabel("probability")
            if place + wide >= len(shown):  # nothing below it
                axis.tick_params(labelbottom=True)
                axis.set_xlabel("hidden fraction")
    looks.legend(figure, [*methods, RANDOM])
    lacking = _lacking(results, own)
    return Figure(
        f"faithfulness-{name}",
        f"{name}: the label's probability as more and more is hidden, mean over seeds; a panel a "
        "label and fill. Solid: most relevant first. Dashed: least relevant first. Dotted: random "
        "order. The wider a method's two lines lie apart, the more faithful its maps. Colours "
        f"stand for methods here.{lacking}",
        f"Curves of {len(methods)} methods for {len(shown)} labels on {name}; areas are in the "
        "tables below.",
        figure,
    )


def _panel(axis: Axes, looks: Style, methods: list[str], here: pd.DataFrame) -> None:
    for method in (*methods, RANDOM):
        of_method = here[here["method"] == method]
        for way, line in LINES.items():
            values = of_method[of_method["way"] == way].sort_values(["x", "value"])
            mean = values.groupby("x")["value"].mean()
            axis.plot(
                mean.index, mean, line, color=looks.color(method), marker=looks.marker(method),
                ms=2.5, lw=1.2,
            )  # fmt: skip
    axis.locator_params(nbins=4)


def _lacking(results: Results, own: pd.DataFrame) -> str:
    """Say which labels have fewer seeds than planned."""
    task, model = own["task"].iloc[0], own["model"].iloc[0]
    planned = within(results.cells, (task, model)).groupby("label").size()
    there = own.drop_duplicates(["label", "seed"]).groupby("label").size()
    short = [
        f"“{label}” n={there.get(label, 0)}/{planned[label]}"
        for label in labels(results)
        if there.get(label, 0) < planned.get(label, 0)
    ]
    return f" Fewer seeds than planned: {', '.join(short)}." if short else ""
