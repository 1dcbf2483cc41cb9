"""What failed is told once, with where, why and what it costs the comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from reldrop_bench.kinds.section import Block, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.reports.failures import HEAD, LONGEST, TAIL, TRACEBACKS, trimmed
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results

Make = Callable[..., Results]


def built(results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    return list(registry.create("sections", "failures", {}).build(results, style))


def table(results: Results, name: str) -> Table:
    (found,) = [b for b in built(results) if isinstance(b, Table) and b.name == name]
    return found


def codes(results: Results) -> list[Prose]:
    return [b for b in built(results) if isinstance(b, Prose) and b.kind == "code"]


def test_nothing_failed_is_one_sentence(complete: Results) -> None:
    (block,) = built(complete)
    assert isinstance(block, Prose)
    assert block.text == "Nothing failed: all 54 cells are done."


def test_cells_are_grouped_by_status_and_error(with_holes: Results) -> None:
    found = table(with_holes, "failed-cells")
    assert found.frame["cells"].tolist() == [4, 1]
    assert found.frame["status"].tolist() == ["failed", "missing"]
    assert found.frame["by label"][0] == "none (1), cutout (3)"
    assert found.frame["by task"][0] == "digits (1), cue-points (3)"
    assert found.frame["seeds"][0] == "0, 1, 2"
    assert found.data is not None
    assert len(found.data) == 5


def test_errors_that_differ_in_numbers_are_one_group(with_holes: Results) -> None:
    cells = with_holes.cells.copy()
    failed = cells["status"] == "failed"
    cells.loc[failed, "error"] = [f"loss is NaN at step {step}" for step in (3, 7, 7.5, 12)]
    found = table(replace(with_holes, cells=cells), "failed-cells")
    assert found.frame["error"][0] == "loss is NaN at step 3 (and with other numbers)"
    assert len(found.frame) == 2


def test_a_lost_baseline_seed_is_lost_for_every_label(with_holes: Results) -> None:
    frame = table(with_holes, "lost-pairs").frame
    digits = frame[frame["task"] == "digits"]
    assert digits["label"].tolist() == [label for label in with_holes.labels if label != "none"]
    assert set(digits["pairs left"]) == {"2/3"}
    assert set(digits["the baseline’s seeds lost"]) == {"1"}
    assert set(digits["its own seeds lost"]) == {"none"}
    (points,) = frame[frame["task"] == "cue-points"].to_dict("records")
    assert (points["label"], points["pairs left"]) == ("cutout", "0/3")
    assert points["what is left"] == "no comparison"
    (images,) = frame[frame["task"] == "cue-images"].to_dict("records")
    assert (images["label"], images["its own seeds lost"]) == ("guided block", "2")


def test_a_failed_label_nobody_is_compared_with_loses_no_other_pair(make_results: Make) -> None:
    results = make_results(tasks=("digits",), failed=(("digits", "cutout", 0),))
    assert table(results, "lost-pairs").frame["label"].tolist() == ["cutout"]


def test_each_error_has_its_traceback_folded(with_holes: Results) -> None:
    (block,) = codes(with_holes)
    assert "loss is NaN" in block.text
    assert block.summary.startswith("Traceback of digits, “none”, seed 1, the first of 4 cells")
    texts = [b.text for b in built(with_holes) if isinstance(b, Prose)]
    assert any("1 of 2 errors has no traceback" in text for text in texts)


def test_a_long_traceback_keeps_its_head_and_tail() -> None:
    lines = [f"line {number}" for number in range(500)]
    text = trimmed("\n".join(lines)).splitlines()
    assert text[:HEAD] == lines[:HEAD]
    assert text[-TAIL:] == lines[-TAIL:]
    assert text[HEAD].startswith(f"… {500 - HEAD - TAIL} lines left out")
    assert len(text) == HEAD + TAIL + 1
    assert len(trimmed("x" * 10_000)) < LONGEST + 40
    short = "\n".join(lines[: HEAD + TAIL + 1])
    assert trimmed(short) == short


def test_the_page_does_not_drown_in_tracebacks(make_results: Make) -> None:
    failed = tuple(("digits", "cutout", seed) for seed in range(TRACEBACKS + 5))
    results = make_results(tasks=("digits",), seeds=TRACEBACKS + 5, failed=failed)
    letters = [f"unlike {chr(97 + number)}" for number in range(TRACEBACKS + 5)]
    cells = results.cells.copy()
    cells.loc[cells["status"] == "failed", "error"] = letters
    results = replace(results, cells=cells)
    assert len(codes(results)) == TRACEBACKS
    assert len(table(results, "failed-cells").frame) == TRACEBACKS + 5
    assert any("5 further errors" in b.text for b in built(results) if isinstance(b, Prose))


@pytest.mark.parametrize("missing", ["", None, float("nan")])
def test_a_cell_without_error_or_traceback(missing: object, with_holes: Results) -> None:
    cells = with_holes.cells.assign(error=missing, traceback=missing).astype(
        {"error": object, "traceback": object}
    )
    found = table(replace(with_holes, cells=cells), "failed-cells")
    assert found.frame["error"].tolist() == ["no error was recorded", "never started"]
    assert not codes(replace(with_holes, cells=cells))


def test_cells_in_any_order_give_the_same_pairs(with_holes: Results) -> None:
    shuffled = replace(with_holes, cells=with_holes.cells.sample(frac=1, random_state=1))
    key = ["task", "label"]
    first, second = (
        table(results, "lost-pairs").frame.sort_values(key, ignore_index=True)
        for results in (with_holes, shuffled)
    )
    assert first.equals(second)
