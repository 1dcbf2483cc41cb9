"""Quality of the explanations by the metrics of Quantus."""

from collections.abc import Sequence

from reldrop_bench import Block, Prose, ReportSection, Results, Style
from reldrop_bench.reporting.further import further_tables
from reldrop_bench.reporting.layout import how_to_read, task_by_task
from reldrop_bench.reporting.rows import metric_rows, usual_first, with_holes
from reldrop_bench.reporting.tables import OVER_SEEDS, by_column, difference_tables, directed

GROUPS = ("localisation", "complexity", "faithfulness", "robustness", "randomisation")


class Quantus(ReportSection):
    """Localisation, complexity, faithfulness, robustness, randomisation: a table a group."""

    name = "quantus"
    title = "Quantus metrics"
    order = 650
    shows = ("quantus/test/.*",)
    opening = """
    Quantus scores the maps of the benchmark's own attribution method on each model (Hedström et al.,
    JMLR 2023); for Quantus' own descriptions see its documentation by these names. The word behind a
    name says which direction is better; where there is none, neither is. The scores rank explanations:
    between labels they say how well the maps suit each model, and not which model is better. Robustness
    and randomisation favour smooth maps, complexity sparse ones: no single metric decides. Means are
    over test items and then seeds; a metric that has no value for some items says so among the values
    left out."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = metric_rows(results, "quantus", "test")
        rows = rows[rows["metric"].str.fullmatch(r"[^/]+/[^/]+").astype(bool)]
        if rows["value"].notna().sum() == 0:
            if (results.notes["evaluation"] == "quantus").any():
                reason = "every value was left out: Completeness says why"
                return [Prose(f"Quantus was run, and {reason}.", "warning")]
            return [Prose("No metric of Quantus was measured in this benchmark.")]
        parts = rows["metric"].str.partition("/")
        rows = rows.assign(group=parts[0], name=parts[2]).sort_values("name", kind="stable")
        names = zip(rows["metric"], rows["name"], strict=True)
        rows["column"] = [directed(results, "quantus", metric, name) for metric, name in names]
        metrics = dict(zip(rows["column"], rows["metric"], strict=True))
        better = {
            column: results.direction("quantus", metric) for column, metric in metrics.items()
        }
        tables = []
        for group in sorted(set(rows["group"]), key=usual_first(GROUPS)):
            values, name = with_holes(results, rows[rows["group"] == group]), f"quantus-{group}"
            what = f"these scores of {group}"
            tables += [
                by_column(results, name, f"{group}, {OVER_SEEDS}.", values, None, better),
                difference_tables(results, f"{name}-differences", what, values, None),
            ]
        tables.append(further_tables(results, "quantus-further", ("quantus/test/samples",)))
        return [how_to_read(self.opening), *task_by_task(results, tables)]
