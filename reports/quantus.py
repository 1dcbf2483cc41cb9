"""Quality of the explanations by the metrics of Quantus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reldrop_bench import Prose, ReportSection, Results
from reldrop_bench.kinds.section import Block
from reldrop_bench.reporting.rows import settings, with_holes, written
from reldrop_bench.reporting.tables import by_column, differences, directed

if TYPE_CHECKING:
    from reldrop_bench.reporting.style import Style

GROUPS = ("localisation", "complexity", "faithfulness", "robustness", "randomisation")


class Quantus(ReportSection):
    """Localisation, complexity, faithfulness, robustness, randomisation: a table a group."""

    name = "quantus"
    title = "Quantus metrics"
    order = 650

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = written(results, "quantus", "test")
        rows = rows[rows["metric"].str.fullmatch(r"[^/]+/[^/]+").astype(bool)]
        if rows["value"].notna().sum() == 0:
            if (results.notes["evaluation"] == "quantus").any():
                reason = "every value was left out: Completeness says why"
                return [Prose(f"Quantus was run, and {reason}.", "warning")]
            return [Prose("No metric of Quantus was measured in this benchmark.")]
        parts = rows["metric"].str.partition("/")
        rows = rows.assign(group=parts[0], name=parts[2]).sort_values("name", kind="stable")
        rows["column"] = [
            directed(results, metric, name)
            for metric, name in zip(rows["metric"], rows["name"], strict=True)
        ]
        blocks: list[Block] = [
            Prose(
                "Quantus scores the maps of the benchmark's own attribution method on each model "
                "(Hedström et al., JMLR 2023); for Quantus' own descriptions see its "
                "documentation by these names. The word behind a name says which direction is "
                "better; where there is none, neither is. The scores rank explanations: between "
                "labels they say how well the maps suit each model, and not which model is "
                "better. Robustness and randomisation favour smooth maps, complexity sparse ones: "
                "no single metric decides. Means are over test items and then seeds; a metric "
                "that has no value for some items says so among the values left out."
            )
        ]
        groups = set(rows["group"])
        ordered = [*(g for g in GROUPS if g in groups), *sorted(groups - set(GROUPS))]
        tables = []
        for group in ordered:
            values = with_holes(results, rows[rows["group"] == group])
            tables += _of_group(results, group, values)
        for name in settings(results).values():
            blocks += [table[name] for table in tables if name in table]
        return blocks


def _of_group(results: Results, group: str, values: pd.DataFrame) -> list[dict]:
    caption = f"{group}, mean ± standard deviation over seeds."
    what = f"these scores of {group}"
    return [
        by_column(results, f"quantus-{group}", caption, values, None),
        differences(results, f"quantus-{group}-differences", what, values, None),
    ]
