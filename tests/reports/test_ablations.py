"""A parameter against the outcome: which labels differ in it alone, and what their pairs say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.reports.ablations.sweeps import Sweep, sweeps
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results

Make = Callable[..., Results]
Parameters = dict[str, dict[str, Any]]


def built(results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", "ablations", {}).build(results, style))


def tables(blocks: Sequence[Block]) -> dict[str, Table]:
    return {block.name: block for block in blocks if isinstance(block, Table)}


def found(parameters: Parameters) -> dict[tuple[str, str], Sweep]:
    return {
        (sweep.regularizer, sweep.parameter): sweep
        for sweep in sweeps(parameters, list(parameters))
    }


@pytest.fixture(scope="module")
def blocks(swept: Results) -> list[Block]:
    return built(swept)


def test_one_parameter_at_a_time(swept: Results) -> None:
    known = found({label: dict(values) for label, values in swept.parameters.items()})
    k = known["block", "k"]
    assert [value for value, _ in k.lines[0].points] == [1, 10, 100, 1000]
    assert len(k.lines) == 1
    assert k.logarithmic
    p = known["block", "p"]
    assert p.lines[0].points == ((0.25, "block p=0.25"), (0.5, "block k=10"))
    assert not p.logarithmic
    rule = known["block", "relevance"]
    assert rule.lines[0].points == (("rule-a", "block k=10"), ("gradient", "block gradient"))
    assert not rule.numeric


def test_a_grid_of_two_is_a_line_for_each_value_of_the_other(swept: Results) -> None:
    known = found({label: dict(values) for label, values in swept.parameters.items()})
    alpha = known["points", "alpha"]
    assert [line.text for line in alpha.lines] == ["beta = 0.3", "beta = 0.6"]
    assert all([v for v, _ in line.points] == [0.25, 0.5, 0.75] for line in alpha.lines)
    assert len(known["points", "beta"].lines) == 3


def test_labels_of_different_regularizers_are_never_on_one_line() -> None:
    parameters: Parameters = {
        "a": {"regularizer": "first", "k": 1},
        "b": {"regularizer": "second", "k": 2},
    }
    assert not found(parameters)


def test_two_parameters_at_once_are_no_ablation() -> None:
    parameters: Parameters = {
        "a": {"regularizer": "first", "k": 1, "p": 0.1},
        "b": {"regularizer": "first", "k": 2, "p": 0.2},
    }
    assert not found(parameters)


def test_a_rule_that_a_random_score_does_not_ask_for_is_no_difference() -> None:
    parameters: Parameters = {
        "guided a": {"regularizer": "block", "score": "relevance", "relevance": "a"},
        "guided b": {"regularizer": "block", "score": "relevance", "relevance": "b"},
        "random": {"regularizer": "block", "score": "random"},
    }
    known = found(parameters)
    score = known["block", "score"]
    assert [[label for _, label in line.points] for line in score.lines] == [
        ["guided a", "random"],
        ["guided b", "random"],
    ]
    assert [line.text for line in score.lines] == ["relevance = a", "relevance = b"]
    assert [[v for v, _ in line.points] for line in known["block", "relevance"].lines] == [
        ["a", "b"]
    ]


def test_the_same_number_is_one_value() -> None:
    parameters: Parameters = {
        "a": {"regularizer": "first", "k": 1},
        "b": {"regularizer": "first", "k": 1.0},
    }
    assert not found(parameters)


def test_the_order_of_labels_does_not_change_a_number_axis(swept: Results) -> None:
    turned = sweeps(swept.parameters, list(swept.labels)[::-1])
    (k,) = [sweep for sweep in turned if sweep.parameter == "k"]
    assert [value for value, _ in k.lines[0].points] == [1, 10, 100, 1000]


def test_contrasts_are_those_of_neighbours(swept: Results, blocks: list[Block]) -> None:
    """A single task: the paired t test of scipy."""
    data = tables(blocks)["ablation-block-k-by-task"].data
    assert data is not None
    rows = data[(data["task"] == "digits") & (data["outcome"] == "accuracy")]
    assert rows["reference"].tolist() == ["", "block k=1", "block k=10", "block k=100"]
    metrics = swept.metrics
    own = metrics[
        (metrics["task"] == "digits")
        & (metrics["evaluation"] == "accuracy")
        & (metrics["metric"] == "accuracy")
    ]
    values = {label: part["value"].to_numpy() for label, part in own.groupby("label")}
    for row in rows.to_dict("records")[1:]:
        expected = stats.ttest_rel(values[row["label"]], values[row["reference"]])
        assert row["p"] == pytest.approx(expected.pvalue)
        low, high = expected.confidence_interval()
        assert (row["low"], row["high"]) == pytest.approx((low, high))
        baseline = (values[row["label"]] - values["none"]).mean()
        assert row["baseline_mean"] == pytest.approx(baseline)


def test_names_meet_the_first_of_the_spec(blocks: list[Block]) -> None:
    data = tables(blocks)["ablation-block-relevance"].data
    assert data is not None
    assert set(data["reference"]) == {"", "block k=10"}


def test_the_family_is_all_contrasts_of_a_table(blocks: list[Block]) -> None:
    data = tables(blocks)["ablation-points-alpha"].data
    assert data is not None
    tested = data[data["reference"] != ""]
    assert len(tested) == tested["outcome"].nunique() * 2 * 2  # outcomes, lines, neighbours
    assert tested["outcome"].nunique() > 3
    smallest = tested["p"].idxmin()
    assert tested["p_holm"][smallest] == pytest.approx(min(1, len(tested) * tested["p"].min()))
    assert (tested["p_holm"] >= tested["p"]).all()


def test_selection_on_test_data_is_warned_of(blocks: list[Block]) -> None:
    (warning,) = [b.text for b in blocks if isinstance(b, Prose) and b.kind == "warning"]
    assert "selection on test data" in warning
    # Harter 1961: the expected largest of 4, and of 3, standard normal values.
    assert "k of block, 4 values: 1.03" in warning
    assert "alpha of points, 3 values: 0.85" in warning


def test_a_parameter_named_like_a_column(blocks: list[Block]) -> None:
    frame = tables(blocks)["ablation-block-p"].frame
    assert frame["value of p"].tolist()[:2] == ["0.25", "0.5"]
    assert frame["p"].tolist()[0] == "–"


def test_missing_cells_are_visible(make_results: Make, swept: Results) -> None:
    results = make_results(
        labels=tuple(swept.labels),
        tasks=("digits",),
        parameters=swept.parameters,
        failed=(
            *(("digits", "block k=100", seed) for seed in range(3)),
            ("digits", "block k=1", 0),
        ),
    )
    blocks = built(results)
    frame = tables(blocks)["ablation-block-k"].frame
    row = frame[(frame["outcome"] == "accuracy") & (frame["label"] == "block k=100")]
    assert row["difference to “none”"].tolist() == ["– (n=0/3)"]
    first = frame[(frame["outcome"] == "accuracy") & (frame["label"] == "block k=1")]
    assert first["difference to “none”"].tolist()[0].endswith("(n=2/3)")
    tones = tables(blocks)["ablation-block-k"].tones or {}
    assert tones["– (n=0/3)"] == "warn"
    (figure,) = [b.figure for b in blocks if isinstance(b, Figure) and b.name == "ablation-block-k"]
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert len(crosses) == 1


def test_a_sweep_without_any_pair_says_so(make_results: Make, swept: Results) -> None:
    labels = [label for label in swept.labels if label.startswith("points")]
    failed = tuple(("digits", label, seed) for label in labels for seed in range(2))
    results = make_results(
        labels=("none", *labels),
        tasks=("digits",),
        seeds=2,
        parameters=swept.parameters,
        failed=failed,
    )
    texts = [b.text for b in built(results) if isinstance(b, Prose)]
    assert "alpha of points: no value has a pair with “none”." in texts


def test_nothing_to_say_is_one_sentence(make_results: Make) -> None:
    plain: Parameters = {"none": {"regularizer": "none"}, "cutout": {"regularizer": "cutout"}}
    results = make_results(labels=("none", "cutout"), tasks=("digits",), seeds=1, parameters=plain)
    for made, text in (
        (results, "A list in the spec makes one"),
        (replace(results, parameters={}), "do not say which parameters"),
    ):
        (block,) = built(made)
        assert isinstance(block, Prose)
        assert text in block.text


def test_a_swept_baseline_is_the_zero(make_results: Make, swept: Results) -> None:
    labels = ("block k=10", "block k=1", "block k=100")
    results = make_results(labels=labels, tasks=("digits",), parameters=swept.parameters)
    frame = tables(built(results))["ablation-block-k"].frame
    own = frame[frame["label"] == "block k=10"]
    assert set(own["difference to “block k=10”"]) == {"the baseline"}


def test_the_rows_order_does_not_matter(swept: Results, blocks: list[Block]) -> None:
    shuffled = replace(swept, metrics=swept.metrics.sample(frac=1, random_state=0))
    for name, table in tables(built(shuffled)).items():
        assert table.frame.equals(tables(blocks)[name].frame), name


def test_panels_neither_overlap_nor_leave_the_figure(swept: Results) -> None:
    style = Style(swept.labels, swept.baseline)
    with style.theme():
        blocks = registry.create("sections", "ablations", {}).build(swept, style)
        figures = [block.figure for block in blocks if isinstance(block, Figure)]
        assert len(figures) == 5
        for figure in figures:
            assert figure.get_figwidth() <= 8.6
            figure.draw_without_rendering()
            boxes = [axis.get_tightbbox() for axis in figure.axes]
            boxes += [legend.get_window_extent() for legend in figure.legends]
            page = figure.bbox.padded(2)
            for box in boxes:
                assert page.x0 <= box.x0
                assert box.x1 <= page.x1
                assert page.y0 <= box.y0
                assert box.y1 <= page.y1
            for one, other in combinations(boxes, 2):
                assert not one.padded(-2).overlaps(other.padded(-2))


def test_places_on_a_number_axis_are_the_values(swept: Results) -> None:
    style = Style(swept.labels, swept.baseline)
    with style.theme():
        blocks = registry.create("sections", "ablations", {}).build(swept, style)
    (figure,) = [b.figure for b in blocks if isinstance(b, Figure) and b.name == "ablation-block-k"]
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    places = [line.get_xdata()[0] for line in axis.lines if line.get_marker() not in ("None", "x")]
    assert sorted(np.unique(places)) == [1, 10, 100, 1000]
