"""Would a difference hold on other tasks like these? Mixed-effects model and Bayesian posterior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reldrop_bench import Figure, Prose, ReportSection, Results, Table
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.judgement import Paired, paired
from reldrop_bench.reporting.outcomes import outcomes
from reldrop_bench.reporting.rows import labels
from reldrop_bench.reporting.tables import interval_text
from reldrop_bench.statistics.bayes import Posterior, available, signed_rank_posterior
from reldrop_bench.statistics.mixed import FEWEST_SETTINGS, mixed_difference

if TYPE_CHECKING:
    from reldrop_bench.reporting.style import Style

COLORS = {"worse": "#b2560d", "equivalent": "#c9ced4", "better": "#5b3f94"}
"""As in the matrix of pairs: told apart by the colour-blind, and lighter in the middle."""

Posteriors = dict[tuple[str, str], Posterior]
"""By outcome and label."""


class OtherTasks(ReportSection):
    """How much labels differ from the baseline between tasks, and what that says of further ones."""

    name = "other-tasks"
    title = "Would it hold on other tasks?"
    order = 725

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        lined_up = [paired(results, outcome) for outcome in outcomes(results)]
        wanted = [
            (item, label)
            for item in lined_up
            for label in labels(results)
            if label != results.baseline
            and results.baseline in item.columns
            and len(item.common(label, results.baseline)) >= FEWEST_SETTINGS
        ]
        if not wanted:
            return [
                Prose(
                    f"No label can be compared on {FEWEST_SETTINGS} or more tasks that can tell it "
                    "from the baseline, so nothing can be said about tasks that are not in this "
                    "benchmark."
                )
            ]
        blocks: list[Block] = [
            Prose(
                "Here the tasks are taken as a sample of tasks like them. The mixed-effects model "
                "has a random difference for every task and seeds within tasks; its interval is "
                "wider than that of the verdict, because a further task may differ from these. "
                "“Between tasks” is the standard deviation of the true difference over tasks: where "
                "it is as large as the mean, expect the sign to change from task to task. These "
                "tasks were chosen, not drawn at random, and with few of them such an interval "
                "rests on the model."
            ),
            _mixed(results, wanted),
        ]
        bounded = [(item, label) for item, label in wanted if item.outcome.bounded]
        if bounded and not available():
            text = (
                "The Bayesian signed-rank test needs baycomp: install reldrop-bench[bayes] and write "
                "the report again."
            )
            blocks.append(Prose(text, "note"))
        elif bounded:
            blocks += _posterior(results, style, bounded)
        return blocks


def _mixed(results: Results, wanted: Sequence[tuple[Paired, str]]) -> Table:
    rows, data = [], []
    for item, label in wanted:
        common = item.common(label, results.baseline)
        groups = item.groups(label, results.baseline, common)
        found = mixed_difference(groups)
        n, planned = (
            int(sum(np.isfinite(group).sum() for group in groups)),
            sum(map(len, groups)),
        )
        numbers = {
            name: np.nan if getattr(found, name) is None else getattr(found, name)
            for name in ("mean", "low", "high", "between", "within")
        }
        row: dict[str, Any] = {"n": n, "n_expected": planned, **numbers}
        rows.append(
            {
                "outcome": item.outcome.short,
                "label": label,
                "tasks": len(common),
                "pairs": f"{n}/{planned}",
                "difference [95 % interval]": interval_text(
                    row if found.mean is not None else {**row, "n": 0}, counted=False
                ),
                "between tasks": numbers["between"],
                "within tasks": numbers["within"],
                "remark": found.note,
            }
        )
        data.append({"outcome": item.outcome.key, "label": label, **row, "note": found.note})
    frame = pd.DataFrame(rows)
    if not frame["remark"].any():
        frame = frame.drop(columns="remark")
    caption = (
        f"Mixed-effects model of the seed-paired differences to “{results.baseline}” (REML, random "
        "intercept a task): mean difference on a further such task, and standard deviations."
    )
    formats = {"between tasks": "{:.3f}", "within tasks": "{:.3f}"}
    return Table("mixed-model", caption, frame, formats, data=pd.DataFrame(data))


def _posterior(results: Results, style: Style, wanted: Sequence[tuple[Paired, str]]) -> list[Block]:
    found: Posteriors = {}
    counts: dict[tuple[str, str], str] = {}
    left: list[str] = []
    for item, label in wanted:
        groups = item.groups(label, results.baseline)
        means = [group.mean() for group in groups if np.isfinite(group).all()]
        counts[item.outcome.key, label] = f"{len(means)}/{len(groups)}"
        if len(means) < FEWEST_SETTINGS:
            left.append(f"“{label}” ({item.outcome.short}, {len(means)} of {len(groups)} tasks)")
        else:
            sign = -1 if item.outcome.direction == "lower" else 1
            posterior = signed_rank_posterior(sign * np.array(means), results.margin)
            found[item.outcome.key, label] = posterior
    if not found:
        return [Prose("Too few tasks have all of their pairs for a posterior.", "note")]
    short = {item.outcome.key: item.outcome.short for item, _ in wanted}
    frame = pd.DataFrame(
        [
            {
                "outcome": short[key],
                "label": label,
                "tasks": counts[key, label],
                "P(better)": posterior.better,
                "P(equivalent)": posterior.equivalent,
                "P(worse)": posterior.worse,
            }
            for (key, label), posterior in found.items()
        ]
    )
    caption = (
        "Bayesian signed-rank test over the tasks that have all pairs: how probable it is that the "
        f"label is better, equivalent (within ±{results.margin:g}) or worse on such a task, than "
        f"“{results.baseline}”. These are probabilities under a model, with a weak prior: from a few "
        "tasks that agree they come out near 1 where no test could be significant. No adjustment for "
        "many labels."
    )
    formats = dict.fromkeys(("P(better)", "P(equivalent)", "P(worse)"), "{:.2f}")
    table = Table("posterior", caption, frame, formats, folded=True)
    blocks: list[Block] = [_bars(results, style, found, short), table]
    if left:
        text = (
            f"Without a posterior, as tasks with all of their pairs are too few: {', '.join(left)}."
        )
        blocks.append(Prose(text, "warning"))
    return blocks


def _bars(results: Results, style: Style, found: Posteriors, short: dict[str, str]) -> Figure:
    from matplotlib.patches import Patch

    keys = list(dict.fromkeys(key for key, _ in found))
    shown = [label for label in labels(results) if label in {label for _, label in found}]
    size = (3.4, 0.5 + 0.27 * len(shown))
    figure, axes = style.panels(len(keys), 2, size, (1.6, 0.6), sharey=True)
    for axis, key in zip(axes, keys, strict=True):
        for place, label in enumerate(shown):
            posterior = found.get((key, label))
            left = 0.0
            for name in ("worse", "equivalent", "better") if posterior else ():
                share = getattr(posterior, name)
                axis.barh(place, share, 0.7, left, color=COLORS[name], linewidth=0)
                left += share
        axis.axvline(0.05, color="#ffffff", linewidth=0.8)
        axis.axvline(0.95, color="#ffffff", linewidth=0.8)
        axis.set_title(short[key])
        axis.set_xlim(0, 1)
        axis.set_yticks(range(len(shown)), [style.text(label) for label in shown])
        axis.set_ylim(len(shown) - 0.45, -0.55)
        axis.grid(visible=False)
    handles = [Patch(color=color, label=name) for name, color in COLORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return Figure(
        "posterior",
        f"Probability that a label is worse than, equivalent to (within ±{results.margin:g}) or "
        f"better than “{results.baseline}” on a task like these; thin lines at 5 % and 95 %.",
        "Stacked bars of posterior probabilities by label, a panel an outcome.",
        figure,
    )
