"""Do these very models differ on the test items? Another question than that of the verdict."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.rows import Setting, labels, settings, within
from reldrop_bench.reporting.tables import interval_text, p_text
from reldrop_bench.statistics.adjustment import benjamini_hochberg, holm
from reldrop_bench.statistics.items import cochran_q, item_bootstrap, mcnemar
from reldrop_bench.statistics.verdicts import LEVEL

Right = dict[Setting, pd.DataFrame]
"""By setting: the items (rows) that a cell (label, seed) has right, NaN if unknown."""


class TestItems(ReportSection):
    """McNemar's and Cochran's tests and item bootstrap over the items of the test split."""

    name = "test-items"
    title = "Test items: do these very models differ?"
    order = 740
    opening = """
    Two models are compared on the same test items: McNemar’s exact test takes the items that one alone has
    right, Cochran’s Q all labels of a seed at once, and the bootstrap draws items. This is about the models
    that were trained, not about the methods: with many items two trainings of the same method differ
    significantly too. So it never enters the verdict, and p-values of seeds and of items must not be put
    together. p is adjusted within a row’s own seeds (Holm), and over the whole table by Benjamini and
    Hochberg’s method, as exploration."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rights: Right = dict(_right(results))
        rows = list(_rows(results, rights))
        if not any(row["seeds"] for row in rows):
            text = """
            No two cells of one task, model and seed have their predictions on the same test items, so
            models cannot be compared item by item."""
            return [paragraph(text)]
        return [how_to_read(self.opening), _mcnemar(rows), _cochran(results, rights)]


def _right(results: Results) -> Iterator[tuple[Setting, pd.DataFrame]]:
    """Yield the settings with predictions; see `Right`."""
    for setting in settings(results):
        of_setting = results.examples_of(
            *setting, "accuracy"
        )  # one at a time: they are most of all rows
        of_setting = of_setting[
            (of_setting["split"] == "test") & of_setting["metric"].isin(["prediction", "target"])
        ]
        if of_setting.empty:
            continue
        wide: Any = of_setting.pivot(
            index="item", columns=["metric", "label", "seed"], values="value"
        )
        names = set(wide.columns.get_level_values("metric"))
        if names == {"prediction", "target"}:
            prediction, target = wide["prediction"], wide["target"]
            both = prediction.notna() & target.reindex_like(prediction).notna()
            right = (prediction == target).astype(np.float64).where(both)
            yield setting, right.sort_index()


def _rows(results: Results, rights: Right) -> Iterator[dict[str, Any]]:
    """Yield a row a setting and label: what the tests say of its models and the baseline's."""
    names = settings(results)
    for setting, right in rights.items():
        cells = within(results.cells, setting)
        for label in labels(results, set(cells["label"]) - {results.baseline}):
            keys = [
                [(label, seed), (results.baseline, seed)]
                for seed in sorted(set(right.columns.get_level_values("seed")))
            ]
            # A table a seed: what the label's model and the baseline's have right, by item.
            pairs = [right[pair].dropna() for pair in keys if set(pair) <= set(right.columns)]
            pairs = [pair for pair in pairs if len(pair)]
            tests = [mcnemar(*pair.to_numpy().T) for pair in pairs]
            row: dict[str, Any] = {"task": names[setting], "label": label, "seeds": len(pairs)}
            row |= {"planned": int((cells["label"] == label).sum())}
            if pairs:
                # An item counts with all its models or not at all: what is drawn is the item.
                parts = [pair.iloc[:, 0] - pair.iloc[:, 1] for pair in pairs]
                difference = pd.concat(parts, axis=1).dropna().mean(axis=1).to_numpy()
                row |= {
                    "items": len(difference),
                    "only_label": [test.only_first for test in tests],
                    "only_baseline": [test.only_second for test in tests],
                    "p": [test.p for test in tests],
                    "significant": int((holm([test.p for test in tests]) < LEVEL).sum()),
                }
                if len(difference):
                    interval = item_bootstrap(difference)
                    row |= {"mean": difference.mean(), "low": interval.low, "high": interval.high}
            yield row


def _mcnemar(rows: Sequence[dict[str, Any]]) -> Table:
    smallest = [min(1.0, len(p) * min(p)) if (p := row.get("p")) else np.nan for row in rows]
    rows = [row | {"q": q} for row, q in zip(rows, benjamini_hochberg(smallest), strict=True)]
    frame = pd.DataFrame(
        [
            {
                "task": row["task"],
                "label": row["label"],
                "items": row.get("items"),
                "seeds": f"{row['seeds']}/{row['planned']}",
                "right: label alone": ", ".join(map(str, row.get("only_label", ["–"]))),
                "right: baseline alone": ", ".join(map(str, row.get("only_baseline", ["–"]))),
                "seeds that differ": f"{row['significant']}/{row['seeds']}"
                if row["seeds"]
                else "–",
                "q (table)": p_text(row["q"]),
                "difference [item bootstrap]": interval_text(
                    {"n": "mean" in row, **row}, counted=False
                ),
            }
            for row in rows
        ]
    )
    data = pd.DataFrame(rows)
    for column in ("only_label", "only_baseline", "p"):
        data[column] = [" ".join(f"{value:.6g}" for value in row.get(column, ())) for row in rows]
    caption = (
        "Each label’s models against the baseline’s of the same seeds on the same test items: items "
        "that one alone has right, seed by seed; on how many seeds McNemar’s exact test finds a "
        f"difference (p < {LEVEL}, Holm-adjusted over the seeds); the smallest of these, adjusted "
        "over this table; and the accuracy difference of these models with a 95 % interval over items."
    )
    return Table("mcnemar", caption, frame, data=data)


def _cochran(results: Results, rights: Right) -> Table | Prose:
    names, rows = settings(results), []
    for setting, right in rights.items():
        planned = within(results.cells, setting).groupby("seed")["label"].nunique()
        for seed in sorted(set(right.columns.get_level_values("seed"))):
            columns = [(label, seed) for label in labels(results) if (label, seed) in right.columns]
            table = right[columns].dropna().to_numpy()
            if len(columns) < 3 or not len(table):
                continue
            test = cochran_q(table)
            rows.append(
                {
                    "task": names[setting],
                    "seed": seed,
                    "labels": f"{test.models}/{planned[seed]}",
                    "items": test.n,
                    "that tell": test.informative,
                    "Q": test.q,
                    "df": test.df,
                    "p": p_text(test.p),
                }
            )
    if not rows:
        return Prose("Cochran’s Q needs three labels with a model of the same seed.", "note")
    caption = (
        "Cochran’s Q: do the models of one seed, one a label, have the same share of items right? "
        "Only items that some have right and others wrong tell; with few of them p is rough."
    )
    return Table("cochran", caption, pd.DataFrame(rows), {"Q": "{:.1f}"}, folded=True)
