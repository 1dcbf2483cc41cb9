"""The headline says what the tests show and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reldrop_bench import registry
from reldrop_bench.report.style import Style
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Prose, Table

Make = Callable[..., Results]


def built(results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", "verdict", {}).build(results, style))


def headlines(results: Results) -> list[str]:
    return [
        block.text
        for block in built(results)
        if isinstance(block, Prose) and block.kind == "headline"
    ]


def tables(results: Results) -> dict[str, Table]:
    return {block.name: block for block in built(results) if isinstance(block, Table)}


def test_no_gain_is_called_no_gain(make_results: Make) -> None:
    results = make_results(tasks=("digits",), gains=(0.0,))
    (text,) = headlines(results)
    assert "no regularizer is shown to be better than “none”" in text
    assert "5 of 5 comparisons are unclear" in text


def test_a_large_gain_is_named_with_its_size(make_results: Make) -> None:
    labels = ("none", "good", "bad")
    results = make_results(tasks=("digits",), labels=labels, gains=(0, 0.1, -0.2), seeds=6)
    (text,) = headlines(results)
    assert "better than “none”: “good” on digits by +0.03" in text
    assert "Worse than “none”: “bad” on digits by −0.06" in text
    words = tables(results)["verdict-accuracy"].frame.set_index("label")["verdict"]
    assert words.to_dict() == {"good": "better", "bad": "worse"}


def test_one_family_over_both_measures(make_results: Make) -> None:
    results = make_results(tasks=("cue-points",))
    text = " ".join(block.text for block in built(results) if isinstance(block, Prose))
    assert "over all 10 comparisons" in text
    assert set(tables(results)) == {"verdict-accuracy", "verdict-cues"}


def test_saturated_tasks_are_flagged(make_results: Make) -> None:
    results = make_results(tasks=("cue-images",))
    text = " ".join(block.text for block in built(results) if isinstance(block, Prose))
    assert "Saturated" in text
    assert tables(results)["verdict-accuracy"].frame["remark"].str.contains("saturated").all()


def test_a_failed_baseline_leaves_nothing_to_compare(make_results: Make) -> None:
    failed = tuple(("digits", "none", seed) for seed in range(3))
    (reason,) = built(make_results(tasks=("digits",), failed=failed))
    assert isinstance(reason, Prose)
    assert "nothing can be compared" in reason.text


@pytest.mark.parametrize("removed", ["guided block", "mixing"])
def test_other_labels_do_not_change_a_difference(make_results: Make, removed: str) -> None:
    results = make_results(tasks=("digits",))
    fewer = replace(
        results,
        labels=tuple(label for label in results.labels if label != removed),
        cells=results.cells[results.cells["label"] != removed],
        metrics=results.metrics[results.metrics["label"] != removed],
    )
    columns = ["label", "difference [95 % interval]", "p"]
    whole = tables(results)["verdict-accuracy"].frame[columns]
    part = tables(fewer)["verdict-accuracy"].frame[columns]
    assert part.to_dict("records") == whole[whole["label"] != removed].to_dict("records")


def test_two_models_are_two_settings(make_results: Make) -> None:
    one = make_results(tasks=("digits",), seeds=2)
    both = {name: frame for name in ("cells", "metrics") for frame in [getattr(one, name)]}
    import pandas as pd

    doubled = replace(
        one, **{name: pd.concat([f, f.assign(model="wide")]) for name, f in both.items()}
    )
    frame = tables(doubled)["verdict-accuracy"].frame
    assert set(frame["task"]) == {"digits · net", "digits · wide"}
    assert (frame["pairs"] == "2/2").all()
