"""Ranks, aggregates, generality, items and power in the report: known answers and honest gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import EXAMPLE_COLUMNS, ItemTable, Results
from reldrop_bench.statistics.items import mcnemar
from tests.reports.test_verdict import of_scores

Make = Callable[..., Results]


def built(name: str, results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", name, {}).build(results, style))


def tables(name: str, results: Results) -> dict[str, Table]:
    return {block.name: block for block in built(name, results) if isinstance(block, Table)}


def texts(name: str, results: Results) -> str:
    return "\n".join(block.text for block in built(name, results) if isinstance(block, Prose))


def scores(tasks: int, seeds: int, labels: int = 4, gain: float = 0.02) -> Results:
    random = np.random.default_rng(tasks)
    base = np.linspace(0.5, 0.8, tasks)[:, None] + random.normal(0, 0.02, (tasks, seeds))
    return of_scores(
        {
            "none" if not place else f"label {place}": base
            + gain * place
            + random.normal(0, 0.005, base.shape)
            for place in range(labels)
        }
    )


def means(results: Results) -> pd.DataFrame:
    return results.metrics.pivot_table(index="task", columns="label", values="value")


def test_ranks_are_those_of_scipy() -> None:
    results = scores(tasks=8, seeds=3)
    wide = means(results)
    found = tables("significance", results)
    ranks = found["ranks"].frame.set_index("label")["average rank"]
    expected = wide.rank(axis=1, ascending=False).mean()
    pd.testing.assert_series_equal(ranks.sort_index(), expected.sort_index(), check_names=False)
    row = found["friedman"].frame.iloc[0]
    assert row["χ²"] == pytest.approx(stats.friedmanchisquare(*wide.to_numpy().T).statistic)
    p = stats.wilcoxon(wide["label 3"] - wide["none"]).pvalue
    adjusted = found["ranks"].frame.set_index("label")["Wilcoxon p (Holm)"]["label 3"]
    assert float(adjusted) == pytest.approx(min(1, 3 * p), abs=5e-4)


def test_few_tasks_cannot_be_significant() -> None:
    found = tables("significance", scores(tasks=3, seeds=4))["ranks"].frame
    others = found[found["label"] != "none"]["Wilcoxon p (Holm)"]
    assert set(others) == {"cannot be significant with n=3"}


def test_saturated_tasks_do_not_drive_the_ranks() -> None:
    rising = np.array([[0.7, 0.71], [0.72, 0.7]])
    full = np.ones((3, 2))
    full_but_one = np.array([[1.0, 0.999]] * 3)
    results = of_scores(
        {
            "none": np.vstack([rising, full]),
            "good": np.vstack([rising + 0.1, full_but_one]),
            "bad": np.vstack([rising - 0.1, full]),
        }
    )
    ranks = tables("significance", results)["ranks"].frame.set_index("label")["average rank"]
    assert ranks.to_dict() == {"good": 1, "none": 2, "bad": 3}


def test_a_label_that_lacks_a_task_is_named_and_ranked_both_ways() -> None:
    results = scores(tasks=6, seeds=2)
    lost = (results.metrics["task"] == "task 0") & (results.metrics["label"] == "label 3")
    fewer = replace(results, metrics=results.metrics[~lost])
    assert "without task 0" in texts("significance", fewer)
    row = tables("significance", fewer)["ranks"].frame.set_index("label").loc["label 3"]
    assert row["failure = worst"] > row["average rank"]
    aggregates = tables("aggregate-scores", fewer)["aggregates"].frame.set_index("label")
    assert aggregates.loc["label 3", "interquartile mean"] == "–"
    assert aggregates.loc["label 3", "runs"] == "10/12"


def test_groups_of_one_task_have_no_ranks() -> None:
    found = built("significance", scores(tasks=1, seeds=3))
    assert "Only one task to rank over" in texts("significance", scores(tasks=1, seeds=3))
    assert not any(isinstance(block, Table) and block.name == "ranks" for block in found)


def test_all_pairs_are_there_once() -> None:
    data = tables("significance", scores(tasks=2, seeds=3))["pairs"].data
    assert data is not None
    assert len(data) == 6
    assert not data[["first", "second"]].duplicated().any()


def test_pairs_are_told_apart_over_tasks_as_scipy_and_statsmodels_do() -> None:
    results = scores(tasks=10, seeds=3)
    wide = means(results)
    data = tables("significance", results)["pairs"].data
    assert data is not None
    p = [
        stats.wilcoxon(wide[a] - wide[b]).pvalue
        for a, b in zip(data["first"], data["second"], strict=True)
    ]
    np.testing.assert_allclose(data["p_over_tasks"], multipletests(p, method="holm")[1])
    few = tables("significance", scores(tasks=5, seeds=3))["pairs"].frame
    assert set(few["Wilcoxon p (Holm)"]) == {"cannot be significant with n=5"}


def test_the_diagram_of_ranks_joins_nothing_and_says_so() -> None:
    # A bar that is missing was read as a difference, in about 4 % of pairs that are alike.
    (figure,) = (
        block
        for block in built("significance", scores(tasks=6, seeds=3, gain=0.0))
        if isinstance(block, Figure) and block.name == "average-ranks"
    )
    assert "no evidence of a difference is no evidence that there is none" in figure.caption
    (axis,) = figure.figure.axes
    drawn = [line.get_xdata() for line in axis.get_lines()]
    assert all(len(set(x)) > 1 or len(x) == 1 for x in drawn)  # nothing is upright
    assert len(drawn) == 2 * 4


def test_aggregates_are_those_of_the_paper() -> None:
    results = scores(tasks=4, seeds=5)
    data = tables("aggregate-scores", results)["aggregates"].data
    assert data is not None
    rows = data.set_index("label")
    for label, own in results.metrics.groupby("label"):
        values = own["value"].to_numpy()
        middle = stats.trim_mean(values, 0.25)
        assert rows.loc[label, "interquartile mean"] == pytest.approx(middle)
        assert rows.loc[label, "optimality gap"] == pytest.approx(1 - values.mean())
    wide = {label: own.groupby("task")["value"] for label, own in results.metrics.groupby("label")}
    shares = [
        stats.mannwhitneyu(own, wide["none"].get_group(task)).statistic / 25
        for task, own in wide["label 1"]
    ]
    assert rows.loc["label 1", "probability of improvement"] == pytest.approx(np.mean(shares))


def test_intervals_come_with_what_they_cover() -> None:
    frame = tables("aggregate-scores", scores(tasks=2, seeds=3))["aggregates-coverage"].frame
    assert set(frame["runs a task"]) == {3}
    assert frame["covers, normal scores"].between(0.5, 1).all()
    covers = tables("detectable", scores(tasks=2, seeds=3))["coverage"].frame
    assert covers["normal"].between(0.93, 0.99).all()
    assert "skewed differences" in texts("detectable", scores(tasks=2, seeds=3))


def test_other_tasks_need_three_tasks() -> None:
    assert "nothing can be said about tasks" in texts("other-tasks", scores(tasks=2, seeds=3))
    found = tables("other-tasks", scores(tasks=6, seeds=3))
    data = found["mixed-model"].data
    assert data is not None
    row = data.set_index("label").loc["label 3"]
    assert row["low"] < 0.06 < row["high"]
    wide = means(scores(tasks=6, seeds=3))
    assert row["mean"] == pytest.approx((wide["label 3"] - wide["none"]).mean())
    posterior = found["posterior"].frame.set_index("label").loc["label 3"]
    assert posterior["P(better)"] > 0.95
    total = posterior[["P(better)", "P(equivalent)", "P(worse)"]].sum()
    assert total == pytest.approx(1)


def with_items(results: Results, items: int = 60) -> tuple[Results, dict[Any, np.ndarray]]:
    """Give every cell predictions for the same items; returns what each has right as well."""
    random = np.random.default_rng(0)
    rows, right = [], {}
    identity = ["key", "task", "model", "regularizer", "label", "seed"]
    for cell in results.cells[identity].to_dict("records"):
        target = np.arange(items) % 3
        correct = random.uniform(size=items) < 0.7
        right[cell["task"], cell["label"], cell["seed"]] = correct
        prediction = np.where(correct, target, (target + 1) % 3)
        for metric, values in (("prediction", prediction), ("target", target)):
            frame = pd.DataFrame({"item": np.arange(items), "value": values.astype(float)})
            extra = {"evaluation": "accuracy", "split": "test", "metric": metric}
            rows.append(frame.assign(**cell, **extra))
    examples = pd.concat(rows, ignore_index=True)[list(EXAMPLE_COLUMNS)]
    return replace(results, by_item=ItemTable.of(examples)), right


def test_items_are_compared_as_they_are_and_apart_from_seeds() -> None:
    results, right = with_items(scores(tasks=1, seeds=2, labels=3))
    found = tables("test-items", results)
    data = found["mcnemar"].data
    assert data is not None
    row = data.set_index("label").loc["label 1"]
    expected = [
        mcnemar(right["task 0", "label 1", seed], right["task 0", "none", seed]) for seed in (0, 1)
    ]
    assert row["only_label"] == " ".join(str(test.only_first) for test in expected)
    assert row["p"] == " ".join(f"{test.p:.6g}" for test in expected)
    gap = np.mean(
        [
            right["task 0", "label 1", seed].mean() - right["task 0", "none", seed].mean()
            for seed in (0, 1)
        ]
    )
    assert row["mean"] == pytest.approx(gap)
    assert len(found["cochran"].frame) == 2
    assert "never enters the verdict" in texts("test-items", results)


def test_a_cell_without_predictions_is_no_pair() -> None:
    results, _ = with_items(scores(tasks=1, seeds=2, labels=3))
    examples = results.examples
    lost = (examples["label"] == "label 1") & (examples["seed"] == 1)
    fewer = replace(results, by_item=ItemTable.of(examples[~lost]))
    frame = tables("test-items", fewer)["mcnemar"].frame.set_index("label")
    assert frame.loc["label 1", "seeds that differ"].endswith("/1")
    assert frame.loc["label 2", "seeds that differ"].endswith("/2")
    assert "cannot be compared item by item" in texts("test-items", scores(tasks=1, seeds=2))


def test_what_could_have_been_found_grows_with_the_spread() -> None:
    base = np.full((1, 5), 0.8) + np.arange(5) / 100
    noise = np.array([[0.01, -0.01, 0.02, 0.0, -0.02]])
    results = of_scores({"none": base, "calm": base + noise, "wild": base + 4 * noise})
    rows = tables("detectable", results)["detectable"].frame.set_index("label")
    column = rows["smallest detectable difference"]
    assert column["wild"] == pytest.approx(4 * column["calm"])
    # d_z = 1.68 is what five pairs find (Results of a noncentral t, as in the documentation).
    assert column["calm"] == pytest.approx(1.68 * noise.std(ddof=1), rel=0.005)


@pytest.mark.parametrize(
    "name", ["significance", "other-tasks", "aggregate-scores", "test-items", "detectable"]
)
def test_sections_hold_with_holes_and_hostile_names(make_results: Make, name: str) -> None:
    results = make_results(
        labels=("none", "<script>", "a_b%$"),
        failed=(("digits", "none", 1), *(("cue-points", "a_b%$", seed) for seed in range(3))),
        seeds=3,
    )
    blocks = built(name, results)
    assert blocks
    assert all(isinstance(block, Prose | Table | Figure) for block in blocks)


def test_a_label_may_lack_what_others_are_judged_by() -> None:
    """Only the second task has shifts, and the label is left out there."""
    results = scores(tasks=2, seeds=2)
    cells, metrics = results.cells, results.metrics
    shifts = metrics[metrics["task"] == "task 1"].assign(evaluation="shifts", split="noise/1")
    cells, metrics = (
        frame[(frame["task"] != "task 1") | (frame["label"] != "label 1")]
        for frame in (cells, pd.concat([metrics, shifts], ignore_index=True))
    )
    results = replace(results, cells=cells, metrics=metrics)
    for name in ("verdict", "significance", "other-tasks", "aggregate-scores"):
        assert built(name, results)
    frame = tables("detectable", results)["detectable"].frame
    assert frame["label"].tolist().count("label 1") == 1
    assert frame["label"].tolist().count("label 2") == 2


def test_six_tasks_are_too_few_for_all_pairs_of_many_labels() -> None:
    """Six tasks give p = .031 at least: enough for one comparison, not for the first of three."""
    two = tables("significance", scores(tasks=6, seeds=2, labels=2))["ranks"].frame
    assert two["Wilcoxon p (Holm)"].str.contains("0.031").any()
    four = tables("significance", scores(tasks=6, seeds=2, labels=4))["ranks"].frame
    others = four[four["label"] != "none"]["Wilcoxon p (Holm)"]
    assert set(others) == {"cannot be significant with n=6 and 3 labels"}


def test_labels_that_all_lack_a_task_have_no_aggregate() -> None:
    results = scores(tasks=3, seeds=2)
    metrics = results.metrics
    lost = metrics["task"].eq("task 0") & metrics["label"].isin(["none", "label 1"])
    lost |= metrics["task"].eq("task 1") & metrics["label"].isin(["label 2", "label 3"])
    assert "nothing to pool" in texts("aggregate-scores", replace(results, metrics=metrics[~lost]))


def test_items_that_a_seed_lacks_are_lined_up_by_item() -> None:
    results, right = with_items(scores(tasks=1, seeds=2, labels=2))
    examples = results.examples
    gone = (examples["seed"] == 0) & (examples["item"] == 0)
    gone |= (examples["seed"] == 1) & (examples["item"] == 59)
    data = tables("test-items", replace(results, by_item=ItemTable.of(examples[~gone])))[
        "mcnemar"
    ].data
    assert data is not None
    both = slice(1, 59)
    gaps = [
        right["task 0", "label 1", seed][both].mean() - right["task 0", "none", seed][both].mean()
        for seed in (0, 1)
    ]
    assert data["mean"].item() == pytest.approx(np.mean(gaps))
    assert data["items"].item() == 58
