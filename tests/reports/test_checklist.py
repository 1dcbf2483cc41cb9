"""The reviewer's checklist tells good results from poor ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from reldrop_bench.kinds.section import Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results


def states(results: Results) -> pd.DataFrame:
    blocks = registry.create("sections", "checklist", {}).build(
        results, Style(results.labels, results.baseline)
    )
    (table,) = (block for block in blocks if isinstance(block, Table))
    return table.frame.set_index("question")


def test_each_question_has_a_state_that_follows_the_results(
    make_results: Callable[..., Results],
) -> None:
    good = make_results(tasks=("digits", "digits 2", "digits 3"), seeds=5)
    guided = {"guided block": {"random": "guided, random score"}}
    tasks = {name: {**facts, "synthetic": False} for name, facts in good.tasks.items()}
    good = replace(good, guided=guided, tasks=tasks)
    found = states(good)["state"]
    asked = [
        "Enough seeds?", "More than one task?", "Real data?", "Selected without test data?",
        "A control for each guided method?", "As much hidden by controls?", "All pairs there?",
        "All cells done?", "As the spec says?", "Adjusted for multiple comparisons?",
    ]  # fmt: skip
    assert found[asked].eq("yes").all(), found

    titles = {str(cls.title) for entry in registry.entries("sections") if (cls := entry.cls)}  # type: ignore[attr-defined]
    assert set(states(good)["section"]) <= titles, "it names sections that are there"

    poor = make_results(
        tasks=("cue-images",), seeds=2, missing=(("cue-images", "guided block", 1),)
    )
    facts = {name: {**facts, "synthetic": True} for name, facts in poor.tasks.items()}
    hidden = poor.cells["occluded_fraction"].where(poor.cells["label"] != "cutout", 0.43)
    deviations = [["other data"] if place == 0 else [] for place in range(len(poor.cells))]
    cells = poor.cells.assign(occluded_fraction=hidden, deviations=deviations)
    labels = {"guided block": {"random": "cutout"}, "points k=10": {}}
    poor = replace(poor, guided=labels, tasks=facts, cells=cells)
    found = states(poor)["state"]
    assert found["Real data?"] == found["As much hidden by controls?"] == "no"
    others = [question for question in asked if question not in (
        "Real data?", "Selected without test data?", "As much hidden by controls?",
        "Adjusted for multiple comparisons?",
    )]  # fmt: skip
    assert found[others].eq("look").all(), found
    answers = states(poor)["answer"]
    assert "points k=10" in answers["A control for each guided method?"]
    assert "23.00%" in answers["As much hidden by controls?"]
