"""What is better than the baseline, by how much, how sure that is, and what cannot be concluded."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style
from reldrop_bench.reporting.guidance import judge_contrasts
from reldrop_bench.reporting.headlines import headline, nothing_compared
from reldrop_bench.reporting.judgement import judge, judge_tasks
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED, SATURATED, declared_when, margin_of
from reldrop_bench.reporting.pairs import Paired, paired_outcomes
from reldrop_bench.statistics.power import limits_of
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import by_number, counted

from .figures import forest
from .tables import by_task, details, scoreboard


class Verdict(ReportSection):
    """Every label against the baseline over all tasks: differences, intervals, adjusted verdicts."""

    name = "verdict"
    title = "Verdict: what is better, by how much, how sure"
    order = 100
    shows = JUDGED

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        lined_up = paired_outcomes(results)
        if not lined_up:
            what = results.metric or "test accuracy"
            return [Prose(f"No cell has a value of {what}, so nothing can be compared.", "warning")]
        compared = judge(results, lined_up)
        if compared.empty or not compared["n"].sum():
            reason = nothing_compared(results, lined_up)
            return [Prose(f"{reason}: nothing can be compared.", "warning")]
        keys = set(compared["outcome"])
        judged = [item for item in lined_up if item.outcome.key in keys]
        contrasts = judge_contrasts(results, lined_up)
        blocks: list[Block] = [
            *(Prose(headline(results, item, compared, contrasts), "headline") for item in judged),
            scoreboard(results, lined_up, compared),
            forest(results, style, judged, compared),
            Prose("What cannot be concluded, and why:"),
            *_limits(results, lined_up, compared),
            _protocol(results, judged, compared),
        ]
        tasks = judge_tasks(results, lined_up)
        for number, item in enumerate(lined_up):
            if item.outcome.key in keys:
                blocks.append(details(results, item, compared))
            blocks.append(by_task(results, item, tasks, folded=number > 0))
        return blocks


def _limits(results: Results, lined_up: Sequence[Paired], compared: pd.DataFrame) -> list[Block]:
    """Say what cannot be concluded, each with its reason."""
    blocks: list[Block] = []
    for item in lined_up:
        telling = item.telling
        full = ", ".join(name for key, name in item.settings.items() if key not in telling)
        if full:
            text = f"""
            Saturated: every cell reaches {item.outcome.text} of {SATURATED} or more on {full}. That cannot
            tell methods apart, so it is left out of this outcome’s means, ranks and verdicts (as is a task,
            for one label, where that label and the baseline are both at the ceiling)."""
            blocks.append(paragraph(text, "warning"))
    short = (compared["n"] < compared["n_expected"]) | (
        compared["settings"] < compared["settings_expected"]
    )
    if count := int(short.sum()):
        lack = by_number(count, "lacks", "lack")
        text = f"""
        {counted(count, "comparison", total=len(compared))} {lack} pairs because a cell failed, is missing or was not
        measured. What is shown rests on the pairs that exist (columns pairs and tasks); if a method fails where it
        does badly, such a mean flatters it."""
        blocks.append(paragraph(text, "warning"))
    unclear = int((compared["verdict"] == "unclear").sum())
    if unclear:
        margins = {margin_of(results, item.outcome) for item in lined_up} - {None}
        rule = (
            "is said only where the difference is shown to lie within the margin of its outcome."
            if margins
            else "is not said of a metric for which no margin is known (--margin gives one)."
        )
        are = by_number(unclear, "is", "are")
        text = f"""
        {counted(unclear, "comparison", total=len(compared))} {are} unclear: neither a difference nor its
        absence is shown. That is not evidence of equality; “equivalent” {rule}"""
        blocks.append(paragraph(text, "note"))
    counts = [
        [int(np.isfinite(group).sum()) for group in item.groups(label, results.baseline)]
        for label in set(compared["label"])
        for item in lined_up
        if label in item.planned and results.baseline in item.planned
    ]
    tests = compared.groupby("label")["settings_expected"].sum().max()
    most = max((count for group in counts for count in group), default=0)
    blocks.append(Prose(f"Within one task: {limits_of(most, tests)}", "note"))
    blocked = compared[compared["smallest_p_sign_flip"] >= LEVEL]
    if len(blocked):
        shown = " or ".join(f"n={count}" for count in sorted(set(blocked["differing"])))
        text = f"""
        A sign-flip permutation test, which assumes no distribution, cannot be significant with {shown} pairs
        that differ: {counted(len(blocked), "verdict", total=len(compared))} here
        {by_number(len(blocked), "rests", "rest")} on the t test alone, that is on
        differences that are roughly normal."""
        blocks.append(paragraph(text, "note"))
    tasks = len({setting for item in lined_up for setting in item.telling})
    text = f"""
    These verdicts are about the {counted(tasks, "task")} of this benchmark and new seeds on them.
    Whether a method would help on other tasks is a question of its own: see “Would it hold on other
    tasks?”."""
    return [*blocks, paragraph(text, "note")]


def _protocol(results: Results, judged: Sequence[Paired], compared: pd.DataFrame) -> Prose:
    raw, own, page = (int((compared[name] < LEVEL).sum()) for name in ("p", "p_pair", "p_page"))
    untested = int(compared["p"].isna().sum())
    primary = sum(item.outcome.primary for item in judged)
    text = f"""
    A label is compared with “{results.baseline}” on equal task, model and seed: same data,
    order and first weights. The seed-paired differences are averaged within each task, then over tasks with equal
    weight; p is of a t test that lets every task have its own spread (Satterthwaite’s degrees of freedom, and
    less the further out t lies and the fewer the pairs). The verdict adjusts p by Holm’s method over the
    {counted(primary, "primary outcome")} of that label alone (the {counted(len(judged) - primary, "exploratory one")}
    are a family of their own), and its interval is the one at the level that
    decided; so neither depends on which other labels are in the benchmark. A label that does nothing was called
    different in at most 5.5 % of simulated benchmarks (3 to 20 seeds, up to 12 tasks, of which some scatter up to
    20 times as much as others; 7 % with a single task whose accuracy comes in very few steps). With 3 seeds and
    several tasks that costs power: 5 find much more. An asterisk marks a verdict that does not hold when all
    {counted(len(compared), "comparison")} of this section are adjusted together. Of these, {raw}
    {by_number(raw, "is", "are")} significant without adjustment, {own} as adjusted for their own label,
    {page} for the whole page."""
    if untested:
        text += f" {untested} could not be tested: p = 1 in the families that count."
    what = "; ".join(
        f"{item.outcome.text}: {item.outcome.definition}"
        for item in judged
        if item.outcome.definition
    )
    text += f" As for outcomes: {declared_when(results)[1]}."
    return how_to_read(f"{text} The outcomes are {what}." if what else text)
