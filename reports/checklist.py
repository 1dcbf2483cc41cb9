"""What a reviewer asks of a comparison, each with its state and where to look."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.doses import dose_gaps
from reldrop_bench.reporting.guidance import QUESTION
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.layout import how_to_read
from reldrop_bench.reporting.outcomes import declared_when, margin_of, outcomes
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.statistics.wording import by_number, counted

FEW_SEEDS, FEW_TASKS = 5, 3


class Item(NamedTuple):
    """A question with its state: "yes", "look" where a reader has to judge, or "no"."""

    question: str
    state: str
    answer: str
    section: str


class Checklist(ReportSection):
    """Seeds, data, selection, pairs, dose, adjustment, margins, holes: each with its state."""

    name = "checklist"
    title = "Checklist for the reviewer"
    order = 150
    opening = """
    What a reviewer asks of a comparison. “look”: it has to be judged, or limits what can be concluded; “no”: it is
    not given. The last column names the section that shows it."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        if results.cells.empty:
            return [Prose("There are no cells, and so nothing to check.")]
        rows = [*_design(results), *_fairness(results), *_analysis(results)]
        frame = pd.DataFrame(rows).set_axis(["question", "state", "answer", "section"], axis=1)
        tones = {"yes": "good", "look": "warn", "no": "bad"}
        caption = "Questions of a reviewer, and how these results stand."
        return [
            how_to_read(self.opening),
            Table("checklist", caption, frame, tones=tones, keys=("question",)),
        ]


def _design(results: Results) -> Iterator[Item]:
    seeds = results.cells.groupby(["task", "model", "label"])["seed"].nunique()
    fewest = int(seeds.min())
    yield Item(
        "Enough seeds?",
        "yes" if fewest >= FEW_SEEDS else "look",
        f"{counted(fewest, 'seed')} a label and task",
        "What could have been found",
    )
    tasks = list(dict.fromkeys(results.cells["task"]))
    yield Item(
        "More than one task?",
        "yes" if len(tasks) >= FEW_TASKS else "look",
        ", ".join(tasks),
        "Would it hold on other tasks?",
    )
    made = [task for task in tasks if results.tasks.get(task, {}).get("synthetic")]
    real = [task for task in tasks if results.tasks.get(task, {}).get("synthetic") is False]
    unknown = len(tasks) - len(made) - len(real)
    yield Item(
        "Real data?",
        "yes" if len(real) == len(tasks) else "look" if real or unknown else "no",
        "; ".join(
            f"{what}: {', '.join(names)}"
            for what, names in (("real", real), ("made", made))
            if names
        )
        or "not known",
        "Completeness and protocol",
    )


def _fairness(results: Results) -> Iterator[Item]:
    if results.trained_elsewhere:
        yield Item("Trained alike?", "no", "checkpoints that were trained elsewhere", "Provenance")
        return
    recipes = (task.get("recipe", {}) for task in results.tasks.values())
    kept = ", ".join(sorted({str(recipe["select"]) for recipe in recipes if "select" in recipe}))
    yield Item(
        "Selected without test data?",
        "yes",
        f"weights of the epoch: {kept or 'as the recipe says'}; only evaluation opens test and shifted sets",
        "Completeness and protocol",
    )
    yield Item(
        "Equal tuning effort?",
        "look",
        "one recipe for all labels; how the values in the spec were found is not known here",
        "Provenance",
    )
    without = [
        label for label, rungs in results.guided.items() if not all(rungs.values()) or not rungs
    ]
    if results.guided:
        yield Item(
            "A control for each guided method?",
            "look" if without else "yes",
            f"not all of {', '.join(without)}"
            if without
            else "yes, trained alike but for guidance",
            QUESTION,
        )
        yield from _dose(results)


def _dose(results: Results) -> Iterator[Item]:
    gaps = dose_gaps(results)
    if len(gaps):
        yield Item(
            "As much hidden by controls?",
            "yes" if gaps["alike"].all() else "no",
            f"shares of hidden input differ by at most {gaps['gap'].max():.2%} of the input",
            QUESTION,
        )


def _analysis(results: Results) -> Iterator[Item]:
    compared = judge(results, paired_outcomes(results))
    if len(compared):
        short = int((compared["n"] < compared["n_expected"]).sum())
        lack = by_number(short, "lacks", "lack")
        yield Item(
            "All pairs there?",
            "look" if short else "yes",
            f"{counted(short, 'comparison', total=len(compared))} {lack} pairs",
            "Verdict: what is better, by how much, how sure",
        )
    undone = int((results.cells["status"] != "done").sum())
    yield Item(
        "All cells done?",
        "look" if undone else "yes",
        f"{counted(len(results.cells) - undone, 'cell', total=len(results.cells))} done",
        "Completeness and protocol",
    )
    deviating = int(sum(map(bool, results.cells["deviations"])))
    yield Item(
        "As the spec says?",
        "look" if deviating else "yes",
        f"{counted(deviating, 'cell')} with deviations",
        "Completeness and protocol",
    )
    yield Item(
        "Adjusted for multiple comparisons?",
        "yes",
        "Holm’s method: contrasts in a family of their own, verdicts by label and by page; primary outcomes "
        "first, all others exploratory",
        "Verdict: what is better, by how much, how sure",
    )
    judged = outcomes(results)
    margins = {outcome.short: margin_of(results, outcome) for outcome in judged}
    stated = [f"±{margin:g} of {name}" for name, margin in margins.items() if margin is not None]
    yield Item(
        "Margin stated?",
        "look" if stated else "no",
        f"{', '.join(stated) or 'none'}; whether that is what matters is for the reader",
        "Verdict: what is better, by how much, how sure",
    )
    before, when = declared_when(results)
    primary = ", ".join(outcome.short for outcome in judged if outcome.primary)
    yield Item(
        "Outcomes declared before the runs?",
        "yes" if before else "no",
        f"{when}; primary: {primary or 'none was measured'}",
        "Verdict: what is better, by how much, how sure",
    )
