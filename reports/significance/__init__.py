"""Ranks over tasks, the tests that belong to them, and every label against every other."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.outcomes import JUDGED, outcomes
from reldrop_bench.reporting.outcomes import ranked as ranked_outcomes
from reldrop_bench.reporting.pairs import Paired, paired
from reldrop_bench.reporting.scopes import Scope, left_out, scopes
from reldrop_bench.reporting.tables import interval_text, p_text
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.overall import overall_difference
from reldrop_bench.statistics.ranks import (
    average_ranks,
    complete,
    critical_difference,
    friedman,
)
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wilcoxon import Wilcoxon, all_pairs, many_to_one

from .figures import matrix, rank_diagram


@dataclass(frozen=True)
class Ranked:
    """The ranks of a scope's labels on one outcome, and what tests say of every two of them."""

    item: Paired
    scope: Scope
    means: np.ndarray
    """(tasks, labels), higher is better; NaN where a label lacks a seed of a task."""
    scores: np.ndarray
    """The same for the kept tasks, where no label lacks any."""
    kept: tuple[int, ...]
    ranks: np.ndarray
    worst: np.ndarray
    """Average ranks over all tasks, where a missing mean has the worst rank."""
    pairs: pd.DataFrame

    @property
    def columns(self) -> dict[str, str]:
        """What a table says of where a row belongs."""
        return {"outcome": self.item.outcome.short, "tasks": self.scope.name}

    @property
    def text(self) -> str:
        return f"{self.item.outcome.short}, {self.scope.name}"


class Significance(ReportSection):
    """Average ranks, Friedman and Wilcoxon tests over tasks, and all pairs of labels."""

    name = "significance"
    title = "Significance: ranks and pairs of labels"
    order = 720
    shows = JUDGED
    opening = """
    Ranks are made of each task’s mean over seeds: 1 is the best label, ties share their ranks. Labels are
    ranked over tasks that all of them ran on; a lower average rank alone is no evidence of a difference.
    Friedman’s test (with Iman and Davenport’s correction) asks whether any label differs; Wilcoxon’s
    signed-rank test, with Holm’s adjustment, asks of each label whether it differs from the baseline on
    tasks like these. Both see one number a task, so few tasks can show nothing. The pairwise tests further
    down take the seeds of these very tasks instead. A rank depends on which other labels are there; a
    pairwise p, before adjustment, does not."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        lined_up = [paired(results, outcome) for outcome in ranked_outcomes(results)]
        if not lined_up and outcomes(results):
            return [Prose("Neither direction of this metric is better, so there are no ranks.")]
        wanted = [(item, scope) for item in lined_up for scope in scopes(results, item)]
        ranked = [made for item, scope in wanted if (made := rank(item, scope)) is not None]
        if not ranked:
            text = """
            No group of tasks has two labels with complete, unsaturated values: nothing can be ranked."""
            return [paragraph(text)]
        blocks: list[Block] = [how_to_read(self.opening)]
        blocks += left_out(results, [scope for _, scope in wanted])
        blocks += _policy(ranked)
        several = [ranking for ranking in ranked if len(ranking.kept) > 1]
        if several:
            blocks += [_friedman(several), rank_diagram(style, several), _ranks(results, several)]
        single = [ranking.text for ranking in ranked if len(ranking.kept) == 1]
        if single:
            text = (
                f"Only one task to rank over, so no ranks and no test of them: {'; '.join(single)}."
            )
            blocks.append(Prose(text, "note"))
        leading = [ranking for ranking in ranked if ranking.item is ranked[0].item]
        return [*blocks, *(matrix(style, ranking) for ranking in leading), _pairs(ranked)]


def rank(item: Paired, scope: Scope) -> Ranked | None:
    """Rank a scope's labels; None where no task has all of their means."""
    sign = -1.0 if item.outcome.direction == "lower" else 1.0
    means = sign * item.means(scope.labels, scope.settings)
    if np.isnan(means).all(axis=0).any():
        return None
    scores, kept = complete(means)
    if not len(kept):
        return None
    # Over tasks: of all, not of the kept ones, since a pair is its own two columns.
    tests = list(all_pairs(means).values())
    adjusted = holm([test.p for test in tests])
    pairs = _all_pairs(item, scope).assign(
        p_over_tasks=adjusted,
        over_tasks=[
            _over_tasks(test, value, len(tests), "pairs")
            for test, value in zip(tests, adjusted, strict=True)
        ],
    )
    ranks = average_ranks(scores)
    worst = average_ranks(complete(means, missing="worst")[0])
    return Ranked(item, scope, means, scores, tuple(map(int, kept)), ranks, worst, pairs)


def _all_pairs(item: Paired, scope: Scope) -> pd.DataFrame:
    """Return the seed-paired overall difference of every pair of labels, in the order of the scope."""
    names = ("n", "n_expected", "mean", "low", "high", "p")
    rows = []
    for first, second in combinations(scope.labels, 2):
        common = [s for s in item.common(first, second) if s in scope.settings]
        difference = asdict(overall_difference(item.strata(first, second, common)))
        rows.append({"first": first, "second": second} | {name: difference[name] for name in names})
    frame = pd.DataFrame(rows)
    return frame.assign(p_holm=holm(frame["p"].to_numpy()))


def _policy(ranked: Sequence[Ranked]) -> list[Prose]:
    """Name the tasks that ranks leave out because a label lacks a value."""
    texts = []
    for ranking in ranked:
        lacking = [
            ranking.item.settings[setting]
            for number, setting in enumerate(ranking.scope.settings)
            if number not in ranking.kept
        ]
        if lacking:
            texts.append(f"{ranking.text}: without {', '.join(lacking)}")
    if not texts:
        return []
    text = (
        "Ranks are over the tasks where every label has all of its seeds (intersection). "
        f"{'; '.join(texts)}. The column “failure = worst” ranks over all tasks and gives the worst "
        "rank to a label that lacks a seed."
    )
    return [Prose(text, "warning")]


def _friedman(ranked: Sequence[Ranked]) -> Table:
    rows: list[dict[str, Any]] = []
    for ranking in ranked:
        labels, tasks = len(ranking.scope.labels), len(ranking.kept)
        row: dict[str, Any] = {**ranking.columns, "number of tasks": tasks, "labels": labels}
        if labels > 2:
            test = friedman(ranking.scores)
            row |= {
                "χ²": test.chi_square,
                "p": p_text(test.p),
                "F (Iman–Davenport)": test.f,
                "p of F": p_text(test.f_p),
                "critical difference": critical_difference(labels, tasks),
            }
        rows.append(row)
    caption = (
        "Friedman’s test of equal ranks, with Iman and Davenport’s F, and Nemenyi’s critical "
        f"difference of average ranks at {LEVEL:.0%} (for comparison: unlike it, the pairwise tests "
        "below do not depend on further labels)."
    )
    formats = dict.fromkeys(("χ²", "F (Iman–Davenport)", "critical difference"), "{:.2f}")
    return Table("friedman", caption, pd.DataFrame(rows), formats)


def _ranks(results: Results, ranked: Sequence[Ranked]) -> Table:
    incomplete = any(len(ranking.kept) < len(ranking.scope.settings) for ranking in ranked)
    rows: list[dict[str, Any]] = []
    for ranking in ranked:
        base = ranking.scope.labels.index(results.baseline)
        others = [number for number in range(len(ranking.scope.labels)) if number != base]
        tests = dict(zip(others, many_to_one(ranking.means, base), strict=True))
        adjusted = dict(zip(others, holm([test.p for test in tests.values()]), strict=True))
        for number in map(int, np.argsort(ranking.ranks, kind="stable")):
            counts, test = "baseline", "–"
            if number != base:
                signs = np.sign(ranking.means[:, number] - ranking.means[:, base])
                counts = "–".join(str(int(np.sum(signs == sign))) for sign in (1, 0, -1))
                test = _over_tasks(tests[number], adjusted[number], len(others), "labels")
            rows.append(
                ranking.columns
                | {"label": ranking.scope.labels[number], "average rank": ranking.ranks[number]}
                | ({"failure = worst": ranking.worst[number]} if incomplete else {})
                | {"better–equal–worse": counts, "Wilcoxon p (Holm)": test}
            )
    tests_said = {str(row["Wilcoxon p (Holm)"]) for row in rows}
    tones = {text: "muted" for text in tests_said if text.startswith("cannot")}
    caption = (
        "Average rank of each label, on how many tasks its mean is better than, equal to and worse "
        f"than that of “{results.baseline}”, and Wilcoxon’s signed-rank test over tasks."
    )
    formats = {"average rank": "{:.2f}", "failure = worst": "{:.2f}"}
    return Table("ranks", caption, pd.DataFrame(rows), formats, tones=tones)


def _over_tasks(test: Wilcoxon, adjusted: float, family: int, members: str) -> str:
    """Write an adjusted p, or that no outcome could have been significant."""
    if test.smallest_p * family < LEVEL:
        return p_text(adjusted)
    beside = f" and {family} {members}" if test.smallest_p < LEVEL else ""
    return f"cannot be significant with n={test.n}{beside}"


def _pairs(ranked: Sequence[Ranked]) -> Table:
    lower = {r.item.outcome.short for r in ranked if r.item.outcome.direction == "lower"}
    better = f"Lower is better for {', '.join(sorted(lower))}." if lower else "Higher is better."
    data = pd.concat(
        [
            ranking.pairs.drop(columns="over_tasks").assign(
                outcome=ranking.item.outcome.key, tasks=ranking.scope.name
            )
            for ranking in ranked
        ],
        ignore_index=True,
    )
    frame = pd.DataFrame(
        [
            {
                **ranking.columns,
                "label": row["first"],
                "other": row["second"],
                "difference [95 % interval]": interval_text(row),
                "p": p_text(row["p"]),
                "p (Holm)": p_text(row["p_holm"]),
                "Wilcoxon p (Holm)": row["over_tasks"],
            }
            for ranking in ranked
            for row in ranking.pairs.to_dict("records")
        ]
    )
    caption = (
        "Every pair of labels: seed-paired difference (label − other), mean over tasks, with its "
        "95 % t interval and p, and Wilcoxon’s signed-rank test over tasks; Holm’s adjustment over all "
        "pairs of the group and outcome. "
        f"{better}"
    )
    return Table("pairs", caption, frame, data=data, folded=True)
