"""Whether the explanations of a model point at what the model uses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, task_by_task
from reldrop_bench.reporting.paging import numbered, pages
from reldrop_bench.reporting.rows import (
    PANELS,
    Setting,
    detailed,
    explainer,
    fewer_seeds,
    in_order,
    labels,
    metric_rows,
    settings,
    settings_in,
    with_holes,
    within,
    without_figures,
)
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, stacked
from reldrop_bench.statistics.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANDOM = "random-order"
LINES: Mapping[str, str] = {"mrf": "-", "lrf": "--", "": ":"}
"""By what is hidden first: the most relevant, the least, or whatever chance says."""
WAYS: Mapping[str, str] = {"mrf": "MRF", "": "random", "lrf": "LRF"}
"""The same as columns: the random order stands between the two of each method."""

FURTHER = (
    r"faithfulness/test/(clean_.*|samples|.*/constant_maps)",
    r"faithfulness/test/(?!.*/srg/).*/accuracy/area",
)
"""What its own tables do not show."""


class FaithfulnessOfMaps(ReportSection):
    """Symmetric relevance gain by label, method and fill; curves beside the random order."""

    name = "faithfulness"
    title = "Faithfulness of the explanations"
    order = 520
    shows = ("faithfulness/test/.*",)
    opening = """
    This compares explanations of one and the same model: elements are hidden most relevant first (MRF),
    least relevant first (LRF) and in random order. The symmetric relevance gain, SRG, is the area under
    the LRF curve less that under the MRF curve: 0 for a random map, the higher the more faithful. Compare
    methods within a label. Do not rank labels by it: a label is a model of its own, and a flatter curve
    may only mean a worse explanation of it; how robust the models are is a matter of the section on
    occlusion. It is measured with more than one fill, as what is put in place of the hidden elements
    decides, too."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = _parts(metric_rows(results, "faithfulness", "test"))
        curves = results.curves
        curves = curves[(curves["evaluation"] == "faithfulness") & (curves["split"] == "test")]
        curves = _parts(curves)
        curves = curves[curves["quantity"] == "probability"]
        # The benchmark's own method comes first.
        methods = sorted(
            {*rows["method"], *curves["method"]} - {RANDOM},
            key=lambda method: (method != explainer(results), method),
        )
        if not methods:
            return [Prose("The faithfulness of explanations was not measured in this benchmark.")]
        tables = [_gains(results, rows, methods), _areas(results, rows, methods)]
        tables.append(further_tables(results, "faithfulness-further", FURTHER))
        blocks: list[Block] = [how_to_read(self.opening), *_constant(results)]
        present = settings_in(results, curves)
        if len(detailed(present)) < len(present):
            blocks += _overview(results, style, methods, rows, present)
            blocks += without_figures(results, present)

        def draw(setting: Setting, name: str) -> list[Figure]:
            return [_curves(results, style, methods, setting, name, within(curves, setting))]

        return [*blocks, *task_by_task(results, tables, present, draw)]


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


def _constant(results: Results) -> list[Block]:
    """Warn of maps that are constant: they order nothing."""
    rows = metric_rows(results, "faithfulness", "test")
    rows = rows[rows["metric"].str.endswith("/constant_maps").astype(bool) & (rows["value"] > 0)]
    if rows.empty:
        return []
    rows = rows.assign(method=rows["metric"].str.removesuffix("/constant_maps"))
    counts = rows.groupby(["task", "label", "method"])["value"].sum().reset_index()
    texts = [
        f"{task}, “{label}”, {method}: {number:.0f}"
        for task, label, method, number in counts.itertuples(index=False, name=None)
    ]
    more = f", and {len(texts) - 6} more" if len(texts) > 6 else ""
    told = "; ".join(texts[:6])
    text = f"Constant maps, whose gain of about 0 says nothing, over all seeds: {told}{more}."
    return [Prose(text, "warning")]


def _gains(results: Results, rows: pd.DataFrame, methods: list[str]) -> dict[str, Table]:
    gains = rows[rows["way"] == "srg"].sort_values(["quantity", "fill"], ascending=[False, True])
    gains = gains.assign(column=gains["fill"] + " fill, " + gains["quantity"])
    caption = (
        f"SRG by fill, of the label's probability and of the accuracy, {OVER_SEEDS} (higher: more "
        "faithful; random order: 0)."
    )
    return _by_method(results, "faithfulness", caption, gains, methods, "higher")


def _areas(results: Results, rows: pd.DataFrame, methods: list[str]) -> dict[str, Table]:
    areas = rows[(rows["way"] != "srg") & (rows["quantity"] == "probability")]
    chance = areas[areas["method"] == RANDOM]
    # The random order is the same for all methods.
    copies = [chance.assign(method=method) for method in methods]
    areas = pd.concat([areas[areas["method"] != RANDOM], *copies], ignore_index=True)
    areas = areas.assign(place=areas["way"].map(list(WAYS).index)).sort_values(["fill", "place"])
    areas = areas.assign(column=areas["fill"] + " fill, " + areas["way"].map(WAYS))
    caption = (
        "areas under the curves of the label's probability, by fill and by what is hidden first, "
        f"{OVER_SEEDS}. A faithful map has MRF < random < LRF."
    )
    tables = _by_method(results, "faithfulness-areas", caption, areas, methods)
    return {name: replace(table, folded=True) for name, table in tables.items()}


def _by_method(
    results: Results,
    name: str,
    caption: str,
    rows: pd.DataFrame,
    methods: list[str],
    better: str = "neither",
) -> dict[str, Table]:
    """Return for each setting a table with the methods of a label below one another."""
    tables = stacked(
        {
            method: by_column(
                results,
                name,
                caption,
                with_holes(results, rows[rows["method"] == method]),
                better=better,
            )
            for method in methods
        },
        "method",
    )
    for setting, table in tables.items():
        frame = in_order(results, table.frame, "label")
        frame.insert(0, "label", frame.pop("label"))
        tables[setting] = replace(table, frame=frame)
    return tables


def _overview(
    results: Results,
    style: Style,
    methods: list[str],
    rows: pd.DataFrame,
    present: Sequence[Setting],
) -> Iterator[Figure]:
    """Yield a panel a setting with the mean gain of each method, where there are many settings."""
    looks = Style((*methods, RANDOM), RANDOM)
    names, shown = settings(results), labels(results)
    gains = rows[(rows["way"] == "srg") & (rows["quantity"] == "probability")]
    means = gains.sort_values("value").groupby(["task", "model", "method", "label"])["value"].mean()
    for page, which, _ in numbered(pages(present, PANELS)):
        size = (2.4, 0.6 + 0.2 * len(shown))
        figure, axes = style.panels(len(page), 3, size, (1.6, 0.5), sharey=True)
        for axis, setting in zip(axes, page, strict=True):
            for method in methods:
                values = [means.get((*setting, method, label), math.nan) for label in shown]
                look: Any = {"marker": looks.marker(method), "color": looks.color(method)}
                axis.plot(values, range(len(shown)), **look, linestyle="none", ms=4)
            axis.axvline(0, color=looks.color(RANDOM), linewidth=0.8)
            style.label_rows(axis, shown)
            axis.set_title(style.text(names[setting]))
            axis.locator_params(axis="x", nbins=4)
        looks.legend(figure, methods)
        yield Figure(
            "faithfulness-overview",
            f"{which}SRG of the label's probability, mean over fills and the seeds that are there, a "
            "panel a task; 0: a random map. Colours stand for methods here.",
            f"Strip plots of the gains on {counted(len(page), 'task')}; the numbers are in the tables below.",
            figure,
        )


def _curves(
    results: Results,
    style: Style,
    methods: list[str],
    setting: Setting,
    name: str,
    of_setting: pd.DataFrame,
) -> Figure:
    shown, fills = labels(results, set(of_setting["label"])), sorted(set(of_setting["fill"]))
    looks = Style((*methods, RANDOM), RANDOM)  # colours tell methods apart: each panel is a label
    wide = min(4, len(shown))
    lines = -(-len(shown) // wide)
    figure, axes = style.grid(
        lines * len(fills), wide, (7.4 / max(3, wide), 1.75), (0.8, 0.5), sharex=True, sharey=True
    )
    flat = [axis for row in axes for axis in row]
    for number, fill in enumerate(fills):
        panels = flat[number * lines * wide : (number + 1) * lines * wide]
        for index, (axis, label) in enumerate(zip(panels, shown, strict=False)):
            here = of_setting[(of_setting["label"] == label) & (of_setting["fill"] == fill)]
            _panel(axis, looks, methods, here)
            axis.set_title(f"{style.text(label)}\n{style.text(f'{fill} fill')}", fontsize=8.5)
            if index % wide == 0:
                axis.set_ylabel("probability")
            if index + wide >= len(shown):  # nothing below it
                axis.tick_params(labelbottom=True)
                axis.set_xlabel("hidden fraction")
        for axis in panels[len(shown) :]:
            axis.set_visible(False)
    looks.legend(figure, [*methods, RANDOM])
    return Figure(
        f"faithfulness-{name}",
        f"{name}: the label's probability as more and more is hidden, mean over seeds; a panel a "
        "label and fill. Solid: most relevant first. Dashed: least relevant first. Dotted: random "
        "order. The wider a method's two lines lie apart, the more faithful its maps. Colours "
        f"stand for methods here.{fewer_seeds(results, of_setting, setting)}",
        f"Curves of {counted(len(methods), 'method')} for {counted(len(shown), 'label')} on {name}; "
        "areas are in the tables below.",
        figure,
    )


def _panel(axis: Axes, looks: Style, methods: list[str], here: pd.DataFrame) -> None:
    for method in (*methods, RANDOM):
        look: Any = {"color": looks.color(method), "marker": looks.marker(method)}
        for way, line in LINES.items():
            values = here[(here["method"] == method) & (here["way"] == way)]
            mean = values.sort_values(["x", "value"]).groupby("x")["value"].mean()
            axis.plot(mean.index, mean, line, **look, ms=2.5, lw=1.2)
    axis.locator_params(nbins=4)
