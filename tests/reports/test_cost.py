"""Cost against benefit: who is on the Pareto front, and who is dominated beyond doubt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.reports.cost.pareto import (
    CLEARLY,
    DOMINATED,
    FRONT,
    SAME,
    Point,
    Standing,
    places,
)
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results

Make = Callable[..., Results]


def blocks(results: Results, **parameters: str) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", "cost", parameters).build(results, style))


def point(cost: float, benefit: float, spread: float = 0.0, seeds: int = 4) -> Point:
    wiggle = spread * np.resize([1.0, -1.0], seeds)
    return Point(np.log(np.full(seeds, cost)), benefit + wiggle)


def words(points: dict[str, Point]) -> dict[str, str]:
    return {label: standing.word for label, standing in places(points).items()}


def test_the_front_of_a_known_example() -> None:
    points = {
        "none": point(1.0, 0.0),
        "cheap and good": point(1.1, 0.05),
        "dear and better": point(2.0, 0.08),
        "dear and worse": point(3.0, 0.01),
        "free and bad": point(1.0, -0.02),
    }
    found = places(points)
    assert [label for label in points if found[label].word == FRONT] == [
        "none",
        "cheap and good",
        "dear and better",
    ]
    assert found["dear and worse"].by == "dear and better"
    assert found["free and bad"].by == "none"


def test_dominance_is_clear_only_where_the_interval_excludes_zero() -> None:
    sure = {"none": point(1.0, 0.0), "bad": point(2.0, -0.1, spread=0.001)}
    unsure = {"none": point(1.0, 0.0), "bad": point(2.0, -0.1, spread=0.5)}
    assert places(sure)["bad"] == Standing(CLEARLY, "none")
    assert places(unsure)["bad"] == Standing(DOMINATED, "none")


def test_one_seed_is_never_clear() -> None:
    points = {"none": point(1.0, 0.0, seeds=1), "bad": point(2.0, -0.1, seeds=1)}
    assert places(points)["bad"].word == DOMINATED


def test_a_cost_that_varies_is_not_clearly_lower() -> None:
    noisy = Point(np.log(np.array([1.0, 3.0, 1.0, 3.0])), np.zeros(4))
    steady = Point(np.log(np.array([1.8, 1.8, 1.8, 1.8])), np.full(4, 0.1))
    assert places({"noisy": noisy, "steady": steady})["steady"].word == FRONT
    cheaper = Point(np.log(np.array([1.2, 1.2, 2.0, 2.0])), np.array([0.1, 0.11, 0.1, 0.11]))
    assert places({"noisy": noisy, "cheaper": cheaper})["noisy"] == Standing(DOMINATED, "cheaper")


def test_costs_within_a_percent_are_the_same() -> None:
    points = {"a": point(1.0, 0.0), "b": point(1.0 + SAME / 2, 0.05)}
    assert places(points)["a"].by == "b"


def test_labels_are_compared_on_the_seeds_that_both_have() -> None:
    """The seed that only one of them has is an easy one: it must not decide."""
    first = Point(np.zeros(3), np.array([0.5, 0.5, np.nan]))
    second = Point(np.zeros(3), np.array([0.4, 0.4, 0.9]))
    assert words({"first": first, "second": second})["first"] == FRONT
    assert words({"first": first, "second": second})["second"] != FRONT


def test_a_label_without_values_has_no_place() -> None:
    hole = Point(np.full(4, np.nan), np.zeros(4))
    assert "hole" not in places({"none": point(1, 0), "hole": hole})


VALUES = st.lists(
    st.tuples(st.integers(1, 20).map(float), st.integers(-9, 9).map(float)), min_size=1, max_size=8
)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_front_is_never_empty_and_order_does_not_matter(
    values: list[tuple[float, float]], random: object
) -> None:
    points = {f"label {i}": point(cost, benefit) for i, (cost, benefit) in enumerate(values)}
    found = places(points)
    assert FRONT in {standing.word for standing in found.values()}
    order = list(points)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert places({label: points[label] for label in order}) == found
    for label, standing in found.items():
        if standing.by:
            better = points[standing.by].means[1] >= points[label].means[1]
            assert better, label


@pytest.mark.parametrize(("axis", "names"), [("time", ["time"]), ("passes", ["passes"])])
def test_the_axis_can_be_chosen(axis: str, names: list[str], complete: Results) -> None:
    figures = [b.name for b in blocks(complete, axis=axis) if isinstance(b, Figure)]
    assert figures == ["cost-benefit", *(f"cost-benefit-{name}" for name in names)]
    both = [b.name for b in blocks(complete) if isinstance(b, Figure)]
    assert both == ["cost-benefit", "cost-benefit-time", "cost-benefit-passes"]


def test_the_table_says_who_dominates_whom(complete: Results) -> None:
    (table,) = [b for b in blocks(complete) if isinstance(b, Table)]
    columns = [column for column in table.frame if column.startswith("Pareto")]
    assert columns == ["Pareto, cues 0, 1 removed", "Pareto, foreign shifts"]
    digits = table.frame[table.frame["task"] == "digits"].set_index("label")[
        "Pareto, foreign shifts"
    ]
    # By construction the costs rise with the place of a label, and the gains are known.
    assert digits["guided block"] == FRONT
    assert digits["mixing"].startswith(DOMINATED)


def test_a_metric_where_less_is_better(complete: Results) -> None:
    results = replace(
        complete,
        metric="calibration/test/ece",
        declared=dict(complete.declared) | {("calibration", "ece"): ("lower", "")},
    )
    (table,) = [b for b in blocks(results) if isinstance(b, Table)]
    digits = table.frame[table.frame["task"] == "digits"].set_index("label")
    (column,) = [column for column in table.frame if column.startswith("Pareto")]
    assert digits[column]["none"] == FRONT
    assert digits[column]["mixing"].startswith(DOMINATED)


def test_holes_are_no_points(with_holes: Results) -> None:
    (table,) = [b for b in blocks(with_holes) if isinstance(b, Table)]
    row = table.frame[(table.frame["task"] == "cue-points") & (table.frame["label"] == "cutout")]
    assert row["Pareto, foreign shifts"].tolist() == ["–"]
    assert row["timed cells"].tolist() == ["0/3"]


def test_passes_alone_are_a_cost(complete: Results) -> None:
    """Where the machine told no time, the front is one of passes."""
    nothing = complete.cells.assign(step_seconds=np.nan, train_seconds=np.nan)
    found = blocks(replace(complete, cells=nothing))
    assert [b.name for b in found if isinstance(b, Figure)] == [
        "cost-benefit",
        "cost-benefit-passes",
    ]


def test_without_any_cost_there_is_one_sentence(empty: Results) -> None:
    (block,) = blocks(empty)
    assert isinstance(block, Prose)
    assert block.kind == "warning"


def test_many_tasks_come_on_pages(make_results: Make) -> None:
    tasks = tuple(f"digits {number}" for number in range(6))
    results = make_results(tasks=tasks, labels=("none", "cutout"), seeds=2)
    overview, *figures = [b for b in blocks(results, axis="time") if isinstance(b, Figure)]
    assert overview.name == "cost-benefit"
    assert [figure.name for figure in figures] == ["cost-benefit-time-1", "cost-benefit-time-2"]
    assert sum(len(figure.figure.axes) for figure in figures) == 2 * 6
