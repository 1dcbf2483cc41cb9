"""What is better than the baseline, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from reldrop_bench.report.measures import Setting, holes, measure, settings, within
from reldrop_bench.report.tables import interval_text, signed
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.statistics.paired import compare, holm, limits_of, pair, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reldrop_bench.report.style import Style

LEVEL = 0.05
SATURATED = 0.995


@dataclass(frozen=True)
class Measure:
    """A metric that a verdict is given on."""

    key: str
    text: str
    evaluation: str
    split: str


MEASURES = (
    Measure("accuracy", "test accuracy", "accuracy", "test"),
    Measure("cues", "accuracy with the two easiest cues removed", "cues", "removed-01"),
)
METRIC = "accuracy"


@dataclass(frozen=True)
class Verdict(ReportSection):
    """Seed-paired differences to the baseline with intervals and Holm-adjusted verdicts."""

    name: ClassVar[str] = "verdict"
    title: ClassVar[str] = "Verdict: what is better, by how much, how sure"
    order: ClassVar[int] = 100

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        values = {item: measure(results, item.evaluation, item.split, METRIC) for item in MEASURES}
        values = {item: frame for item, frame in values.items() if len(frame)}
        if not values:
            return [Prose("No cell has a test accuracy, so nothing can be compared.", "warning")]
        compared = _compare_all(results, values)
        if not compared["n"].sum():
            reason = f"No label has a pair with the baseline “{results.baseline}”"
            return [Prose(f"{reason}: nothing can be compared.", "warning")]
        blocks: list[Block] = [
            Prose(_headline(results, compared, item), "headline") for item in values
        ]
        blocks += [*_protocol(results, compared), *_warnings(results, values, compared)]
        blocks.append(_forest(results, style, values, compared))
        return [*blocks, *(_table(results, *item, compared) for item in values.items())]


def _compare_all(results: Results, values: dict[Measure, pd.DataFrame]) -> pd.DataFrame:
    """Return all comparisons of the section: one family for Holm's adjustment."""
    parts = [
        compare(frame, results.baseline).assign(measure=item.key) for item, frame in values.items()
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["p_holm"] = holm(frame["p"].to_numpy())
    direction = results.directions.get(METRIC, "higher")
    frame["verdict"] = [
        verdict(mean, p, direction, LEVEL)
        for mean, p in zip(frame["mean"], frame["p_holm"], strict=True)
    ]
    return frame


def _headline(results: Results, compared: pd.DataFrame, item: Measure) -> str:
    """Say in plain words what the adjusted tests show, and nothing more."""
    rows = compared[compared["measure"] == item.key]
    measured = rows[rows["verdict"] != "no measure"]
    what = f"{item.text[0].upper()}{item.text[1:]}"
    sentences, decided = [], 0
    for word in ("better", "worse"):
        found = measured[measured["verdict"] == word].to_dict("records")
        decided += len(found)
        named = [
            f"“{row['label']}” on {settings(results)[row['task'], row['model']]} by "
            f"{signed(row['mean'])} (95 % interval {signed(row['low'])} to {signed(row['high'])}"
            + (
                ""
                if row["n"] == row["n_expected"]
                else f", {row['n']} of {row['n_expected']} pairs"
            )
            + ")"
            for row in sorted(found, key=lambda row: -abs(row["mean"]))
        ]
        rest = f"; and {len(named) - 3} more, see the table" if len(named) > 3 else ""
        if named:
            sentences.append(f"{word} than “{results.baseline}”: {'; '.join(named[:3])}{rest}.")
        elif word == "better":
            sentences.append(f"no regularizer is shown to be better than “{results.baseline}”.")
    unclear = len(measured) - decided
    if unclear:
        sentences.append(f"{unclear} of {len(rows)} comparisons are unclear.")
    if len(measured) < len(rows):
        sentences.append(f"{len(rows) - len(measured)} of {len(rows)} cannot be made.")
    first, *others = sentences
    return " ".join([f"{what}: {first}", *(text[0].upper() + text[1:] for text in others)])


def _protocol(results: Results, compared: pd.DataFrame) -> list[Block]:
    family = len(compared)
    raw = int((compared["p"] < LEVEL).sum())
    adjusted = int((compared["p_holm"] < LEVEL).sum())
    untested = int(compared["p"].isna().sum())
    text = (
        f"Each row compares a label with “{results.baseline}” on the same task, model and seeds: "
        "the mean of the seed-paired differences, its 95 % t interval (not adjusted), the "
        "effect size d_z = mean / standard deviation of the differences, and a two-sided paired "
        f"t test. The verdict uses p adjusted by Holm’s method over all {family} comparisons of "
        f"this section (level {LEVEL}). Without adjustment {raw} of them would be significant, "
        f"with it {adjusted}. “Unclear” means not shown either way; it does not mean equal."
    )
    if untested:
        text += f" {untested} could not be tested and count in the family with p = 1."
    counts = compared.loc[compared["n"] > 0, "n"]
    limits = limits_of(int(counts.max()), family, LEVEL)
    if counts.min() < counts.max():
        limits += f" Some comparisons have only n={counts.min()} and can show less than that."
    return [Prose(text), Prose(limits, "note")]


def _saturated(values: pd.DataFrame) -> list[Setting]:
    groups = values.dropna(subset="value").groupby(["task", "model"], sort=False)["value"]
    lowest = groups.min()
    return lowest[lowest >= SATURATED].index.tolist()


def _warnings(
    results: Results, values: dict[Measure, pd.DataFrame], compared: pd.DataFrame
) -> list[Prose]:
    found: list[Prose] = []
    names = settings(results)
    for item, frame in values.items():
        full = [names[setting] for setting in _saturated(frame)]
        if full:
            found.append(
                Prose(
                    f"Saturated: every cell reaches {item.text} of {SATURATED} or more on "
                    f"{', '.join(full)}. That measure cannot tell methods apart there; look at "
                    "shifts, occlusion and cues.",
                    "warning",
                )
            )
    short = compared[compared["n"] < compared["n_expected"]]
    if len(short):
        found.append(
            Prose(
                f"{len(short)} of {len(compared)} comparisons lack pairs because a cell failed "
                "or is missing. They rest on the pairs that exist (column pairs); if a method "
                "fails where it does badly, such a mean flatters it.",
                "warning",
            )
        )
    if not len(short):
        for frame in values.values():
            found += holes(frame)
    return found


def _p(value: float) -> str:
    if pd.isna(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _table(results: Results, item: Measure, values: pd.DataFrame, compared: pd.DataFrame) -> Table:
    names = settings(results)
    rows = compared[compared["measure"] == item.key]
    full = _saturated(values)
    paired = pair(values, results.baseline).dropna(subset="difference")
    base = paired.groupby(["task", "model", "label"])["baseline_value"].mean()
    frame = pd.DataFrame(
        [
            {
                "task": names[row["task"], row["model"]],
                "label": row["label"],
                "verdict": row["verdict"],
                "difference [95 % interval]": interval_text(row).partition(" (n=")[0],
                "baseline": base.get((row["task"], row["model"], row["label"])),
                "pairs": f"{row['n']}/{row['n_expected']}",
                "d_z": row["d_z"],
                "p": _p(row["p"]),
                "p (Holm)": _p(row["p_holm"]),
                "remark": "; ".join(
                    text
                    for text in (
                        row["note"],
                        "saturated" if (row["task"], row["model"]) in full else "",
                    )
                    if text
                ),
            }
            for row in rows.to_dict("records")
        ]
    )
    if not frame["remark"].any():
        frame = frame.drop(columns="remark")
    return Table(
        f"verdict-{item.key}",
        f"Difference of {item.text} to the baseline “{results.baseline}”. “baseline” is the "
        "baseline’s mean over the same pairs.",
        frame,
        {"d_z": "{:.2f}", "baseline": "{:.3f}"},
        data=rows.drop(columns="measure"),
        tones={"better": "good", "worse": "bad", "unclear": "muted", "no measure": "warn"},
    )


def _forest(
    results: Results, style: Style, values: dict[Measure, pd.DataFrame], compared: pd.DataFrame
) -> Figure:
    names = settings(results)
    panels = [
        (item, setting)
        for item, frame in values.items()
        for setting in names
        if setting in set(zip(frame["task"], frame["model"], strict=True))
    ]
    shown = [label for label in style.labels if label in set(compared["label"])]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    height = 0.75 + 0.36 * len(shown)
    figure, axes = style.grid(rows, columns, (2.4, height), (1.6, 0.3), sharey=True)
    flat = [axis for row in axes for axis in row]
    for axis, (item, setting) in zip(flat, panels, strict=False):
        paired = pair(values[item], results.baseline)
        rows_here = within(compared[compared["measure"] == item.key], setting)
        points = within(paired, setting)
        short = "test accuracy" if item.key == "accuracy" else "cues 0, 1 removed"
        axis.set_title(f"{style.text(names[setting])}\n{short}")
        _forest_panel(axis, style, shown, rows_here, points)
    for axis in flat[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(f"difference to “{style.text(results.baseline)}”", fontsize=9)
    return Figure(
        "verdict-forest",
        "Seed-paired differences: the large marker is the mean, the line its 95 % t interval "
        "(not adjusted), each small ring one seed. Right of the zero line is higher accuracy "
        "than the baseline. Scales differ between panels. A hollow large marker has fewer pairs "
        "than planned.",
        "Forest plot of the differences in the tables below, a panel a task and measure.",
        figure,
    )


def _forest_panel(
    axis: Axes, style: Style, shown: list[str], rows: pd.DataFrame, points: pd.DataFrame
) -> None:
    axis.axvline(0, color="#808080", linewidth=1)
    records: dict[str, dict[Any, Any]] = {row["label"]: row for row in rows.to_dict("records")}
    for place, label in enumerate(shown):
        row = records.get(label)
        if row is None or not row["n"]:
            text = "left out" if row is None else "no pair"
            axis.text(
                0.98,
                place,
                text,
                transform=axis.get_yaxis_transform(),
                va="center",
                ha="right",
                fontsize=7,
            )
            continue
        color = style.color(label)
        seeds = points.loc[points["label"] == label, "difference"].dropna()
        axis.plot(seeds, [place + 0.24] * len(seeds), "o", mfc="none", mec=color, ms=3.5, mew=0.8)
        if not pd.isna(row["low"]):
            axis.plot([row["low"], row["high"]], [place, place], color=color, linewidth=1.6)
        whole = row["n"] == row["n_expected"]
        axis.plot(
            row["mean"],
            place,
            style.marker(label),
            color=color,
            mfc=color if whole else "white",
            ms=6.5,
        )
    axis.set_yticks(range(len(shown)), [style.text(label) for label in shown])
    axis.set_ylim(len(shown) - 0.45, -0.55)
    low, high = axis.get_xlim()
    axis.set_xlim(max(low, -1.05), min(high, 1.05))
    axis.grid(axis="y", visible=False)
    axis.locator_params(axis="x", nbins=4)
