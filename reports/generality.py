"""Would a difference hold on other tasks like these? Mixed-effects model and Bayesian posterior."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from reldrop_bench import Block, Figure, Prose, ReportSection, Results, Style, Table
from reldrop_bench.kinds.outcome import USUAL_MARGIN
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED, margin_of
from reldrop_bench.reporting.pairs import Paired, comparable, paired_outcomes
from reldrop_bench.reporting.rows import labels
from reldrop_bench.reporting.tables import interval_text, without_empty
from reldrop_bench.statistics.bayes import Posterior, available, signed_rank_posterior
from reldrop_bench.statistics.mixed import FEWEST_SETTINGS, mixed_difference
from reldrop_bench.statistics.wording import counted

COLORS = {"worse": "#b2560d", "equivalent": "#c9ced4", "better": "#5b3f94"}
"""As in the matrix of pairs: told apart by the colour-blind, and lighter in the middle."""

Posteriors = dict[str, dict[str, Posterior]]
"""By the outcome's short name, and label."""


class OtherTasks(ReportSection):
    """How much labels differ from the baseline between tasks, and what that says of further ones."""

    name = "other-tasks"
    title = "Would it hold on other tasks?"
    order = 725
    shows = JUDGED
    opening = """
    Here the tasks are taken as a sample of tasks like them. The mixed-effects model has a random
    difference for every task and seeds within tasks; its interval is wider than that of the verdict,
    because a further task may differ from these. “Between tasks” is the standard deviation of the true
    difference over tasks: where it is as large as the mean, expect the sign to change from task to task.
    These tasks were chosen, not drawn at random, and with few of them such an interval rests on the
    model."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        wanted = [
            (item, label)
            for item in paired_outcomes(results)
            for label in comparable(results, item)
            if len(item.common(label, results.baseline)) >= FEWEST_SETTINGS
        ]
        if not wanted:
            text = f"""
            No label can be compared on {FEWEST_SETTINGS} or more tasks that can tell it from the baseline,
            so nothing can be said about tasks that are not in this benchmark."""
            return [paragraph(text)]
        blocks: list[Block] = [how_to_read(self.opening), _mixed(results, wanted)]
        bounded = [each for each in wanted if margin_of(results, each[0].outcome) is not None]
        if bounded and not available():
            text = """
            The Bayesian signed-rank test needs baycomp: install reldrop-bench[bayes] and write the report
            again."""
            blocks.append(paragraph(text, "note"))
        elif bounded:
            blocks += _posterior(results, style, bounded)
        return blocks


def _mixed(results: Results, wanted: Sequence[tuple[Paired, str]]) -> Table:
    rows, data = [], []
    for item, label in wanted:
        groups = item.groups(label, results.baseline)
        fitted = mixed_difference(groups)
        n, planned = sum(int(np.isfinite(g).sum()) for g in groups), sum(map(len, groups))
        row = {"n": n, "n_expected": planned, **asdict(fitted)}
        computed = row if np.isfinite(fitted.mean) else {**row, "n": 0}
        rows.append(
            {
                "outcome": item.outcome.short,
                "label": label,
                "tasks": len(groups),
                "pairs": f"{n}/{planned}",
                "difference [95 % interval]": interval_text(computed, counted=False),
                "between tasks": fitted.between,
                "within tasks": fitted.within,
                "remark": fitted.note,
            }
        )
        data.append({"outcome": item.outcome.key, "label": label, **row})
    caption = (
        f"Mixed-effects model of the seed-paired differences to “{results.baseline}” (REML, random "
        "intercept a task): mean difference on a further such task, and standard deviations."
    )
    formats = {"between tasks": "{:.3f}", "within tasks": "{:.3f}"}
    frame = without_empty(pd.DataFrame(rows))
    return Table("mixed-model", caption, frame, formats, data=pd.DataFrame(data))


def _posterior(results: Results, style: Style, wanted: Sequence[tuple[Paired, str]]) -> list[Block]:
    by_outcome: Posteriors = {}
    rows, left = [], []
    for item, label in wanted:
        groups = item.groups(label, results.baseline)
        means = [group.mean() for group in groups if np.isfinite(group).all()]
        short = item.outcome.short
        if len(means) < FEWEST_SETTINGS:
            left.append(f"“{label}” ({short}, {counted(len(means), 'task', total=len(groups))})")
            continue
        sign = -1 if item.outcome.direction == "lower" else 1
        margin = margin_of(results, item.outcome) or USUAL_MARGIN
        posterior = signed_rank_posterior(sign * np.array(means), margin)
        by_outcome.setdefault(short, {})[label] = posterior
        row = {"outcome": short, "label": label, "tasks": f"{len(means)}/{len(groups)}"}
        rows.append(row | {f"P({word})": chance for word, chance in asdict(posterior).items()})
    if not by_outcome:
        return [Prose("Too few tasks have all of their pairs for a posterior.", "note")]
    caption = (
        "Bayesian signed-rank test over the tasks that have all pairs: how probable it is that the "
        f"label is better, equivalent (within {_margins(results, wanted)}) or worse on such a task, than "
        f"“{results.baseline}”. These are probabilities under a model, with a weak prior: from a few "
        "tasks that agree they come out near 1 where no test could be significant. No adjustment for "
        "many labels."
    )
    formats = dict.fromkeys(("P(better)", "P(equivalent)", "P(worse)"), "{:.2f}")
    table = Table("posterior", caption, pd.DataFrame(rows), formats, folded=True)
    blocks: list[Block] = [_bars(results, style, by_outcome), table]
    if left:
        text = (
            f"Without a posterior, as tasks with all of their pairs are too few: {', '.join(left)}."
        )
        blocks.append(Prose(text, "warning"))
    return blocks


def _margins(results: Results, wanted: Sequence[tuple[Paired, str]]) -> str:
    """Name the margin of every outcome."""
    margins = {item.outcome.short: margin_of(results, item.outcome) for item, _ in wanted}
    return ", ".join(f"±{margin:g} of {outcome}" for outcome, margin in margins.items())


def _bars(results: Results, style: Style, by_outcome: Posteriors) -> Figure:
    from matplotlib.patches import Patch

    shown = labels(results, set().union(*by_outcome.values()))
    size = (3.4, 0.5 + 0.27 * len(shown))
    figure, axes = style.panels(len(by_outcome), 2, size, (1.6, 0.6), sharey=True)
    for axis, (outcome, posteriors) in zip(axes, by_outcome.items(), strict=True):
        for label, posterior in posteriors.items():
            left = 0.0
            for word, color in COLORS.items():
                share = getattr(posterior, word)
                axis.barh(shown.index(label), share, 0.7, left, color=color, linewidth=0)
                left += share
        for limit in (0.05, 0.95):
            axis.axvline(limit, color="#ffffff", linewidth=0.8)
        axis.set_title(outcome)
        axis.set_xlim(0, 1)
        style.label_rows(axis, shown, edge=0.45)
        axis.grid(visible=False)
    handles = [Patch(color=color, label=name) for name, color in COLORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return Figure(
        "posterior",
        "Probability that a label is worse than, equivalent to (within the margin) or "
        f"better than “{results.baseline}” on a task like these; thin lines at 5 % and 95 %.",
        "Stacked bars of posterior probabilities by label, a panel an outcome.",
        figure,
    )
