"""The figure of guidance: guided minus control, a panel an outcome."""

from collections.abc import Sequence

import pandas as pd

from reldrop_bench import Figure, Results, Style
from reldrop_bench.reporting.judgement import Paired


def ladder(
    results: Results, style: Style, lined_up: Sequence[Paired], contrasts: pd.DataFrame
) -> Figure:
    """Return a panel an outcome and a row a contrast: the difference with the verdict's interval."""
    keys = set(contrasts["outcome"])
    shown = [item for item in lined_up if item.outcome.key in keys]
    pairs = list(dict.fromkeys(zip(contrasts["label"], contrasts["other"], strict=True)))
    rungs = dict(
        zip(
            zip(contrasts["label"], contrasts["other"], strict=True), contrasts["rung"], strict=True
        )
    )
    names = [f"{label} − {rungs[label, other] or other}" for label, other in pairs]
    height = 0.75 + 0.34 * len(pairs)
    figure, axes = style.panels(len(shown), 2, (3.6, height), (1.6, 0.3), sharey=True)
    for axis, item in zip(axes, shown, strict=True):
        lower = " (lower is better)" if item.outcome.direction == "lower" else ""
        axis.set_title(item.outcome.short + lower)
        axis.axvline(0, color="#808080", linewidth=1)
        if item.outcome.bounded:
            axis.axvspan(-results.margin, results.margin, color="#808080", alpha=0.15, linewidth=0)
        here = contrasts[contrasts["outcome"] == item.outcome.key]
        rows = {(row["label"], row["other"]): row for row in here.to_dict("records")}
        for place, pair in enumerate(pairs):
            row = rows.get(pair)
            if row is None or not row["n"]:
                continue
            look = style.series(pair[0]) | {"marker": style.marker(pair[0]), "linestyle": "none"}
            if not pd.isna(row["verdict_low"]):
                ends = [row["verdict_low"], row["verdict_high"]]
                axis.plot(ends, [place, place], **style.series(pair[0]), linewidth=1.6)
            axis.plot([row["mean"]], [place], **look, markersize=6.5)
        axis.set_yticks(range(len(names)), [style.text(name, 40) for name in names])
        axis.set_ylim(len(names) - 0.55, -0.45)
        axis.locator_params(axis="x", nbins=5)
    figure.supxlabel("guided method − control", fontsize=9)
    return Figure(
        "guidance-ladder",
        "Every guided method minus each of its controls: the mean over tasks with the interval that the verdict "
        "rests on. Right of the zero line guidance adds something (left of it where lower is better). "
        "The grey band is the margin within which a difference is too small to matter; scales differ between panels.",
        "Forest plot of guided methods minus their controls, a panel an outcome.",
        figure,
    )
