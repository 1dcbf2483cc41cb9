"""What would decide what is still open: seeds, and the time that they take."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.reporting.judgement import PRIMARY
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.results import Results
from reldrop_bench.statistics.power import MOST_PAIRS, POWER, pairs_needed_a_setting
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import counted


def what_would_decide(
    results: Results,
    lined_up: Sequence[Paired],
    contrasts: pd.DataFrame,
    undecided: Set[tuple[str, str]],
) -> str:
    """Say how many seeds the undecided questions (label, primary outcome) need, and for how long they train.

    So many that a difference as large as the margin is found with `POWER` after Holm's adjustment, by how
    much the differences scatter here. "" where nothing is undecided or nothing is known of their scatter.
    """
    items = {item.outcome.key: item for item in lined_up}
    if not undecided:
        return ""
    primary = contrasts[contrasts["role"] == PRIMARY]
    needed: dict[tuple[str, str], float] = {}
    for row in primary[primary["verdict"] == "unclear"].to_dict("records"):
        question = row["label"], row["outcome"]
        if question not in undecided or not row["rung"]:
            continue
        seeds = _seeds(items[row["outcome"]], row, len(primary))
        if seeds is not None:
            needed[question] = max(seeds, needed.get(question, 0.0))
    now = int(results.cells.groupby(["task", "model", "label"])["seed"].nunique().min())
    if not needed:
        one = (primary["n"] <= primary["settings"]).all()
        more = "more seeds than one, of which nothing can be said"
        return f"What would decide the rest: {more}, such as `seeds: 5`." if one else ""
    if all(count <= now for count in needed.values()):
        return (
            f"{counted(now, 'seed')} would have found a difference as large as the margin with {POWER:.0%} "
            "probability: what there is, is smaller, or near the margin. How many seeds would decide that is not known."
        )
    least, most = (choose(needed, key=lambda each: needed[each]) for choose in (min, max))
    names = {
        question: f"“{question[0]}”, {items[question[1]].outcome.text}"
        for question in (least, most)
    }
    if needed[least] == needed[most]:
        seeds_text = f"{_count(needed[most])}"
        whose = ""
    else:
        seeds_text = f"{_count(needed[least], '')} to {_count(needed[most])}"
        whose = f": the least for {names[least]}, the most for {names[most]}"
    finite = [question for question, count in needed.items() if np.isfinite(count)]
    longest = {label: 0.0 for label, _ in finite}
    for label, outcome in finite:
        seconds = needed[label, outcome] * _seconds(results, items[outcome], label)
        longest[label] = max(longest[label], seconds)
    hours = sum(longest.values()) / 3600
    time = f", about {_hours(hours)} of training" if hours else ""
    return (
        f"What would decide the rest: a run of its own with {seeds_text} instead of {now}{time}{whose}. So many find "
        f"a difference as large as the margin with {POWER:.0%} probability, as far as these seeds tell how much it "
        f"scatters. Seeds that are added to this run, whose outcome is known, make false verdicts likelier."
    )


def _count(seeds: float, unit: str = " seeds") -> str:
    return (f"{seeds:,.0f}" if np.isfinite(seeds) else f"more than {MOST_PAIRS:,}") + unit


def _seeds(item: Paired, row: dict[Any, Any], comparisons: int) -> float | None:
    """Return the seeds a contrast needs, infinity for more than `MOST_PAIRS`; None: nothing is known."""
    groups = item.strata(row["label"], row["other"])
    there = [group[np.isfinite(group)] for group in groups]
    deviations = [float(group.std(ddof=1)) for group in there if len(group) > 1]
    if not any(deviations) or np.isnan(row["margin"]):
        return None
    found = pairs_needed_a_setting(row["margin"], deviations, level=LEVEL / comparisons)
    return np.inf if found is None else float(found)


def _seconds(results: Results, item: Paired, label: str) -> float:
    """Return how long the cells of one more seed of a guided label and its controls train."""
    names = [label, *filter(None, results.guided[label].values())]
    cells = results.cells[results.cells["label"].isin(names)]
    there = pd.MultiIndex.from_frame(cells[["task", "model"]]).isin(list(item.settings))
    means = cells[there].groupby(["task", "model", "label"])["train_seconds"].mean()
    return float(np.sort(means.dropna().to_numpy(np.float64)).sum())


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"
