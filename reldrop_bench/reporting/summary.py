"""The verdict in a few lines: what a terminal shows at the end of a run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.reporting.guidance import QUESTION, answer, judge_contrasts
from reldrop_bench.reporting.headlines import headline, nothing_compared
from reldrop_bench.reporting.judgement import DECIDED, judge
from reldrop_bench.reporting.pairs import Paired, paired_outcomes
from reldrop_bench.reporting.rows import labels
from reldrop_bench.reporting.tables import decided_text, digits_of
from reldrop_bench.results import Results
from reldrop_bench.statistics.spread import shown
from reldrop_bench.statistics.wording import by_number, counted


@dataclass(frozen=True)
class Summary:
    """Sentences, and a row a label about the leading outcome."""

    sentences: Sequence[str]
    outcome: str = ""
    """What the rows are about; "": there are none."""
    rows: Sequence[Sequence[str]] = ()
    """Label, mean over its tasks, how many tasks, difference to the baseline, verdict."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        rows = [list(row) for row in self.rows]
        return {"sentences": list(self.sentences), "outcome": self.outcome, "rows": rows}


def summarize(results: Results) -> Summary:
    """Return what the results say; where that is nothing, why."""
    lined_up = paired_outcomes(results)
    unfinished = int((results.cells["status"] != "done").sum())
    are = by_number(unfinished, "is", "are")
    cells = counted(unfinished, "cell", total=len(results.cells))
    lacking = f"{cells} {are} not done" if unfinished else ""
    if not lined_up:
        what = results.metric or "test accuracy"
        reasons = filter(None, (f"no cell has a value of {what}", lacking))
        return Summary([f"No verdict: {'; '.join(reasons)}."])
    compared = judge(results, lined_up)
    if compared.empty or not compared["n"].sum():
        reason = nothing_compared(results, lined_up)
        reason = reason[0].lower() + reason[1:]
        sentences = [f"No verdict: {'; '.join(filter(None, (reason, lacking)))}."]
    else:
        keys = set(compared["outcome"])
        contrasts = judge_contrasts(results, lined_up)
        answered = answer(results, lined_up, contrasts)
        sentences = [f"{QUESTION} {answered[0]}", *answered[1:]] if answered else []
        sentences += [
            headline(results, item, compared, contrasts)
            for item in lined_up
            if item.outcome.key in keys and item.outcome.primary
        ]
        others = [item.outcome.text for item in lined_up if not item.outcome.primary]
        sentences += [f"Exploratory, see the report: {', '.join(others)}."] if others else []
        sentences += _why_not(compared)
        sentences += [f"{lacking[0].upper()}{lacking[1:]}."] if lacking else []
    item = lined_up[0]
    rows = [_row(results, item, compared, label) for label in labels(results)]
    return Summary(sentences, item.outcome.short, rows)


def _why_not(compared: pd.DataFrame) -> list[str]:
    """Say why comparisons were not tested."""
    untested = compared[compared["p"].isna()]
    if untested.empty:
        return []
    notes = Counter(
        note.removesuffix(": no t test").removesuffix(": no interval")
        for note in untested["note"]
        if note
    )
    told = "; ".join(
        f"{note} ({number})" if len(notes) > 1 else note for note, number in notes.items()
    )
    many = (
        "Nothing"
        if len(untested) == len(compared)
        else counted(len(untested), "difference", total=len(compared))
    )
    verb = "" if many == "Nothing" else "not "
    more = " More seeds are needed for a verdict." if (untested["n"] < 2).any() else ""
    text = f"{many} could {verb}be tested: {told}."
    return [text + more]


def _digits(item: Paired) -> int:
    values = item.frame.rename(columns={"value": "mean"}).assign(column="")
    return next(iter(digits_of(values, None)), 3)


def _row(results: Results, item: Paired, compared: pd.DataFrame, label: str) -> list[str]:
    values = item.frame[item.frame["label"] == label]
    by_task = values.groupby(["task", "model"], sort=False)["value"]
    means = by_task.mean().dropna()
    over = {"n": int(values["value"].notna().sum()), "n_expected": len(values)}
    digits = 3 if item.outcome.bounded else _digits(item)
    middle = np.sort(means.to_numpy(np.float64)).mean() if len(means) else np.nan
    mean = shown(middle, np.nan, **over, digits=digits)
    tasks = f"{len(means)}/{len(item.settings)}"
    if label == results.baseline:
        return [label, mean, tasks, "baseline", ""]
    rows = compared[(compared["label"] == label) & (compared["outcome"] == item.outcome.key)]
    if rows.empty:
        shared = item.shared(label, results.baseline) if results.baseline in item.columns else ()
        return [label, mean, tasks, "–", "saturated" if shared else "no pair"]
    row = rows.to_dict("records")[0]
    star = "" if row["holds"] or row["verdict"] not in DECIDED else "*"
    return [label, mean, tasks, decided_text(row, digits), f"{row['verdict']}{star}"]
