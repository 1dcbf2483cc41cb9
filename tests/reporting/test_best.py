"""What is bold in a table, against the paired t test of scipy and Holm's adjustment of statsmodels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy
from statsmodels.stats.multitest import multipletests

from reldrop_bench.kinds.section import Table
from reldrop_bench.reporting import Report, latex, markdown
from reldrop_bench.reporting.rows import metric_values
from reldrop_bench.reporting.tables import OVER_TASKS, by_column, by_setting
from reldrop_bench.results import Results

Make = Callable[..., Results]
GAINS = (0.0, 0.001, 0.05, -0.039, 0.049, -0.04)


def bold(table: Table) -> dict[str, set[str]]:
    """Return by column the labels whose cell LaTeX prints in bold."""
    rows = [line.split(" & ") for line in latex.table(table).splitlines() if line.endswith(r"\\")]
    heads, *rows = rows
    names = [head.removesuffix(r" \\").strip() for head in heads]
    found: dict[str, set[str]] = {name: set() for name in names[1:]}
    for row in rows:
        for name, cell in zip(names[1:], row[1:], strict=True):
            if cell.startswith(r"\textbf{"):
                found[name].add(row[0])
    return found


def expected(wide: pd.DataFrame, lower: bool = False) -> set[str]:
    """Return the labels to be bold of a table (seeds, labels) without holes."""
    means = wide.mean()
    best = means.idxmin() if lower else means.idxmax()
    others = [label for label in wide if label != best]
    p = [scipy.stats.ttest_rel(wide[label], wide[best]).pvalue for label in others]
    rejected = multipletests(p, 0.05, method="holm")[0]
    return {best} | {label for label, told in zip(others, rejected, strict=True) if not told}


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_best_and_what_is_not_told_apart_from_it_are_bold(
    make_results: Make, better: str
) -> None:
    results = make_results(tasks=("digits", "cue-points"), seeds=6, gains=GAINS)
    values = metric_values(results, "accuracy", "test", "accuracy")
    table = by_setting(results, "t", "T.", values, better=better)
    found = bold(table)
    sizes = set()
    for task in ("digits", "cue-points"):
        wide = values[values["task"] == task].pivot(index="seed", columns="label", values="value")
        wanted = expected(wide, better == "lower")
        assert found[task] == wanted
        sizes.add(len(wanted))
    assert sizes != {1}
    assert "Bold: the best mean" in table.caption
    assert "**" in markdown.table(table)
    mean = values.groupby(["task", "label"])["value"].mean().groupby("label").mean()
    champion = mean.idxmax() if better == "higher" else mean.idxmin()
    assert champion in found[OVER_TASKS]
    shown = table.frame.set_index("label")[OVER_TASKS].astype(float)
    np.testing.assert_allclose(shown[mean.index], mean, atol=0.0005)
    worst = mean.idxmin() if better == "higher" else mean.idxmax()
    assert worst not in found[OVER_TASKS]


def test_nothing_is_bold_where_neither_direction_is_better(make_results: Make) -> None:
    results = make_results(tasks=("digits",), seeds=3)
    table = by_setting(results, "t", "T.", metric_values(results, "accuracy", "test", "accuracy"))
    assert bold(table) == {"digits": set()}
    assert "Bold" not in table.caption
    assert OVER_TASKS not in table.frame


def test_what_lacks_seeds_is_never_the_best(make_results: Make) -> None:
    tasks, missing = ("digits", "cue-points"), (("digits", "guided block", 3),)
    gains = (0.0, 0.01, 0.2, -0.03, 0.04, -0.04)
    results = make_results(tasks=tasks, seeds=4, gains=gains, missing=missing)
    values = metric_values(results, "accuracy", "test", "accuracy")
    found = bold(by_setting(results, "t", "T.", values, better="higher"))
    means = values[values["task"] == "digits"].groupby("label")["value"].mean()
    assert means.idxmax() == "guided block"
    assert found["digits"] == {"points k=10"}
    assert found["cue-points"] == {"guided block"}
    alone = make_results(tasks=("digits",), seeds=1)
    values = metric_values(alone, "accuracy", "test", "accuracy")
    one = bold(by_setting(alone, "t", "T.", values, better="higher"))
    assert len(one["digits"]) == 1  # one seed tells nothing of the others, which are not bold


def test_columns_may_have_directions_of_their_own(make_results: Make) -> None:
    results = make_results(tasks=("digits",), seeds=6, gains=GAINS)
    parts = [
        metric_values(results, "accuracy", "test", "accuracy").assign(column=name)
        for name in ("up", "down", "none")
    ]
    values = pd.concat(parts, ignore_index=True)
    better = {"up": "higher", "down": "lower"}
    found = bold(by_column(results, "t", "T.", values, better=better)["digits"])
    wide = parts[0].pivot(index="seed", columns="label", values="value")
    assert found == {"up": expected(wide), "down": expected(wide, lower=True), "none": set()}


def test_the_verdict_of_a_paper_has_signs_for_its_words(make_results: Make, tmp_path: Path) -> None:
    results = make_results(seeds=5, gains=(0.0, 0.003, 0.05, -0.03, 0.012, 0.02))
    metrics = results.metrics
    wide = metrics["value"].mask(
        (metrics["label"] == "mixing") & (metrics["evaluation"] == "shifts"),
        metrics["value"] + 0.05 * (metrics["seed"] - 2),
    )
    results = replace(results, metrics=metrics.assign(value=wide))
    Report(replace(results, margin=0.02), sections=["verdict"]).write(tmp_path, "latex")
    text = (tmp_path / "tables" / "verdict.tex").read_text(encoding="utf-8")
    caption, _, body = text.partition(r"\midrule")
    assert re.findall(r"\b(better|worse|unclear|equivalent)\b", body) == []
    assert r"\uparrow" in body
    words = pd.read_csv(tmp_path / "tables" / "verdict.csv")["verdict"]
    assert set(words) == {"better", "worse", "equivalent", "unclear"}
    assert re.search(r"\\uparrow\} better, .*worse, .*equivalent, no sign: unclear\.", caption)
    assert body.count(r"\uparrow") == (words == "better").sum()
    assert body.count(r"\downarrow") == (words == "worse").sum()
    assert body.count(r"\approx") == (words == "equivalent").sum()
