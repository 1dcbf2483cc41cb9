"""Report sections that break their contract are caught, each with advice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reldrop_bench.kinds.section import Block, Prose, ReportSection, Table
from reldrop_bench.results import Results

Verdicts = Callable[[str, type[Any]], dict[str, str]]


class BadSection(ReportSection):
    """It expects results, names two tables alike and changes what it is given."""

    name = "bad"
    title = "Bad"

    def build(self, results: Results, style: Any) -> list[Block]:
        if results.metrics.empty and len(results.cells):
            return []
        results.cells["seen"] = 1
        table = Table("same", "", results.cells)
        return [Prose("text", kind="shout"), table, table]


def test_a_bad_section_is_caught(failures: Verdicts) -> None:
    found = failures("sections", BadSection)
    assert "Prose kind" in found["poor_results_give_blocks"]
    assert "same" in found["names_are_unique"]
    assert "copy()" in found["results_are_untouched"]
