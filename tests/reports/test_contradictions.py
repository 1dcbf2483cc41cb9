"""A verdict and the interval beside it never say different things, wherever the two are shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reldrop_bench.reporting import Report
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.reporting.tables import telling_digits
from reldrop_bench.results import CELL_COLUMNS, METRIC_COLUMNS, Results

NUMBER = r"[+−]?\d+\.\d+"
SAID = re.compile(
    rf"(better|worse|unclear|equivalent|no measure)\*?\s+(?:{NUMBER}|–)"
    rf"(?:\s+\{{?\[\}}?({NUMBER}), ({NUMBER})\{{?\]\}}?|\s+\{{?\[\}}?no interval)?"
)
METRICS = (
    ("accuracy", "test", "accuracy"),
    ("shifts", "noise/1", "accuracy"),
    ("occlusion", "test", "random/mean/auc"),
)
MARGIN = 0.01


def random_results(number: int) -> Results:
    """Return results of several methods, tasks, seeds and outcomes; effects of every size, and holes."""
    random = np.random.default_rng(number)
    labels = ("none", *(f"method {place}" for place in range(random.integers(1, 5))))
    seeds, tasks = int(random.integers(1, 8)), int(random.integers(1, 4))
    effects = random.choice([0, 0.002, 0.005, 0.012, 0.03], (len(labels), len(METRICS)))
    effects *= random.choice([-1, 1], effects.shape)
    spread = random.choice([0, 0.0005, 0.003, 0.01], (len(labels), len(METRICS)))
    cells, metrics = [], []
    for task in range(tasks):
        for seed in range(seeds):
            for place, label in enumerate(labels):
                done = random.uniform() > 0.03
                cell = {"key": f"{task}-{place}-{seed}", "task": f"task {task}", "model": "net"}
                cell |= {"regularizer": "plugin", "label": label, "seed": seed}
                cells.append(cell | {"status": "done" if done else "failed", "error": ""})
                for column, (evaluation, split, metric) in enumerate(METRICS if done else ()):
                    noise = random.normal(0, spread[place, column]) if place else 0.0
                    value = 0.8 + (effects[place, column] if place else 0.0) + noise
                    row = {"evaluation": evaluation, "split": split, "metric": metric}
                    metrics.append(cell | row | {"value": value})
    return Results(
        "random",
        "none",
        labels,
        pd.DataFrame(cells, columns=list(CELL_COLUMNS)),
        pd.DataFrame(metrics, columns=list(METRIC_COLUMNS)),
        declared={("accuracy", "accuracy"): ("higher", "")},
    )


def agree(word: str, low: float, high: float, margin: float = MARGIN) -> bool:
    """Whether a word is what an interval says; a margin of NaN: equivalence is not tested."""
    if word == "incomplete":  # nothing is claimed, whatever the tasks that are there show
        return True
    if np.isnan(low):
        return word in ("unclear", "no measure", "saturated")
    if word in ("better", "worse"):
        return low > 0 if word == "better" else high < 0
    if not low <= 0 <= high:
        return False
    inside = -margin < low and high < margin
    return np.isnan(margin) or inside == (word == "equivalent")


def number(text: str | None) -> float:
    return float("nan") if text is None else float(text.replace("−", "-"))


def said(text: str) -> list[tuple[str, float, float]]:
    return [(each[1], number(each[2]), number(each[3])) for each in SAID.finditer(text)]


def test_the_numbers_agree_with_the_words_in_many_benchmarks() -> None:
    words = []
    for seed in range(40):
        results = random_results(seed)
        for row in judge(results, paired_outcomes(results)).to_dict("records"):
            words.append(row["verdict"])
            bounds = (row["verdict_low"], row["verdict_high"], row["margin"])
            assert agree(row["verdict"], *bounds), (seed, row)
            if not np.isnan(row["verdict_low"]) and row["verdict"] != "equivalent":
                # It holds the plain interval: what is claimed is never more than that one would.
                assert row["verdict_low"] <= row["low"]
                assert row["high"] <= row["verdict_high"]
    counts = pd.Series(words).value_counts()
    assert set(counts.index) >= {"better", "worse", "unclear", "equivalent"}
    assert counts.min() >= 5


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_what_is_printed_agrees_too(seed: int, tmp_path: Path) -> None:
    results = random_results(seed).changed(margin=MARGIN)  # the same for all that is printed
    Report(results, sections=["verdict"]).write(tmp_path, ["html", "markdown"])
    for path in sorted((tmp_path / "tables").glob("verdict*.csv")):
        frame = pd.read_csv(path)
        margin = np.nan if "d_z" in frame else MARGIN  # of single tasks, equivalence is not tested
        for row in frame.to_dict("records"):
            assert agree(row["verdict"], row["low"], row["high"], margin), row
    compared = len(judge(results, paired_outcomes(results)))
    for name, start in (("report.html", "<figure"), ("report.md", "*")):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\", "")
        found = 0
        for part in text.split(f"\n{start}"):
            margin = np.nan if "effect size d_z" in part else MARGIN
            for word, low, high in said(re.sub(r"<[^>]+>", " ", part)):
                assert agree(word, low, high, margin), (name, word, low, high)
                found += 1
        assert found >= compared


def test_digits_are_added_until_no_rounding_changes_what_is_said() -> None:
    assert telling_digits([0.012, 0.0341], [0.0]) == 3
    assert telling_digits([0.0004, 0.01], [0.0]) == 4  # "+0.000" would seem to hold zero
    assert telling_digits([-0.01003], [0.0, 0.01, -0.01]) == 5
    assert telling_digits([0.01], [0.01]) == 3
