"""Former section: say in one line what the section of the report tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from reldrop_bench.results import Results
from reldrop_bench.section import Block, Prose, ReportSection, Table
from reldrop_bench.statistics.spread import over_seeds

CELL = ["task", "model", "label", "seed"]


@dataclass(frozen=True)
class FormerSection(ReportSection):
    """Negative log-likelihood on the test split by task and regularizer."""

    name: ClassVar[str] = "former-section"
    title: ClassVar[str] = "Former section"
    # Place in the report: small numbers first; `reldrop-bench list sections` shows the others.
    order: ClassVar[int] = 900

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        # `results` holds tidy data frames: cells (one row each, also failed ones), metrics, curves,
        # examples, epochs. A section with nothing to say gives the reason.
        rows = results.metrics
        rows = rows[(rows["split"] == "test") & (rows["metric"] == "nll")]
        if rows.empty:
            return [Prose("No cell has a likelihood: add calibration to the spec's evaluations.")]
        # Lined up with the matrix, so that a cell without a value is counted and not passed over.
        values = results.cells[CELL].merge(rows[[*CELL, "value"]], on=CELL, how="left")
        # Statistics come from reldrop_bench.statistics, never from here.
        frame = over_seeds(values, ["task", "label"])
        # A table's name becomes the name of its CSV file, so it is unique in the report. Figures
        # are drawn with style.theme() and style.grid(...), which give each label its colour.
        formats = {"mean": "{:.3f}", "sd": "{:.3f}"}
        caption = "Negative log-likelihood, mean and standard deviation over n seeds."
        return [Table("former-section", caption, frame, formats)]
