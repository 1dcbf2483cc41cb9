"""Every cell that is not done: what happened, where, and which comparisons suffer."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.errors import one_line
from reldrop_bench.reporting.layout import paragraph
from reldrop_bench.reporting.rows import CELL, labels, settings
from reldrop_bench.statistics.wording import by_number, counted

HEAD, TAIL = 8, 40
"""Lines of a long traceback that are shown: what was called first, and what failed."""
LONGEST = 400
"""Characters of a line of a traceback that are shown."""
LEFT = {0: "no comparison", 1: "no interval"}
"""What so many pairs are too few for."""
TRACEBACKS = 20
"""Tracebacks that are shown at most: one an error, the most frequent first."""


class Failures(ReportSection):
    """Cells that are not done by error, with tracebacks and the pairs that are lost."""

    name = "failures"
    title = "Failures"
    order = 950

    opening = """
    The first table groups them by status and error (errors that differ in numbers alone are one
    group); the second says which comparisons with the baseline lose pairs by that. No number of this report
    stands for a cell that is not done: means and tests rest on the cells that are. Where a method fails
    because it does badly, such a mean flatters it. The same command runs the cells again that are not
    done."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        rows = results.cells[results.cells["status"] != "done"]
        if rows.empty:
            return [Prose(f"Nothing failed: {_all(len(results.cells))} done.")]
        if (results.cells["status"] == "missing").all():
            return [Prose(f"Nothing has run yet: {_all(len(rows))} missing.", "warning")]
        groups, are = _groups(rows), by_number(len(rows), "is", "are")
        few = f"{counted(len(rows), 'cell', total=len(results.cells))} {are}"
        return [
            paragraph(f"{few} not done. {self.opening}"),
            _by_error(results, groups),
            _lost(results),
            *_tracebacks(results, groups),
        ]


Groups = list[tuple[str, list[dict[Any, Any]]]]
"""By error: its status, and the cells as records."""


def _groups(rows: pd.DataFrame) -> Groups:
    by_error: dict[tuple[str, str], list[dict[Any, Any]]] = {}
    for row in rows.fillna({"error": "", "traceback": ""}).to_dict("records"):
        kind = re.sub(r"\d+(\.\d+)?", "#", one_line(row["error"]))
        by_error.setdefault((str(row["status"]), kind), []).append(row)
    order = sorted(by_error.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(status, cells) for (status, _), cells in order]


def _error(cells: list[dict[Any, Any]]) -> str:
    """Return the error of a group: of its first seed, where they differ in numbers."""
    errors = Counter(one_line(row["error"]) for row in cells)
    first = next(iter(errors))
    if not first:
        return "never started" if cells[0]["status"] == "missing" else "no error was recorded"
    return first if len(errors) == 1 else f"{first} (and with other numbers)"


def _by_error(results: Results, groups: Groups) -> Table:
    names = settings(results)
    rows = [
        {
            "cells": len(cells),
            "status": status,
            "error": _error(cells),
            "by label": _counted(row["label"] for row in cells),
            "by task": _counted(names[row["task"], row["model"]] for row in cells),
            "seeds": _seeds(row["seed"] for row in cells),
        }
        for status, cells in groups
    ]
    columns = ["key", *CELL, "status", "error"]
    data = pd.DataFrame([row for _, cells in groups for row in cells])[columns]
    caption = "Cells that are not done, by status and error; in brackets how many of them."
    tones = {"failed": "bad", "timeout": "bad", "oom": "bad", "interrupted": "warn"}
    return Table("failed-cells", caption, pd.DataFrame(rows), data=data, tones=tones)


def _counted(texts: Iterable[str]) -> str:
    return ", ".join(f"{text} ({number})" for text, number in Counter(texts).items())


def _seeds(seeds: Iterable[Any]) -> str:
    return ", ".join(str(seed) for seed in sorted(set(seeds)))


def _lost(results: Results) -> Block:
    """Count, for each label and setting, the pairs that lack the label's or the baseline's cell."""
    seeds: dict[tuple[str, str, str], dict[Any, bool]] = {}
    for task, model, label, seed, status in results.cells[[*CELL, "status"]].itertuples(
        index=False
    ):
        seeds.setdefault((task, model, label), {})[seed] = status == "done"
    rows = []
    for (task, model), name in settings(results).items():
        base = seeds.get((task, model, results.baseline), {})
        for label in labels(results):
            ours = seeds.get((task, model, label))
            if label == results.baseline or ours is None:
                continue
            planned = ours.keys() | base.keys()
            here, there = ({seed for seed in planned if done.get(seed)} for done in (ours, base))
            left = len(here & there)
            if left < len(planned):
                rows.append(
                    {
                        "task": name,
                        "label": label,
                        "pairs left": f"{left}/{len(planned)}",
                        "its own seeds lost": _seeds(planned - here) or "none",
                        "the baseline’s seeds lost": _seeds(planned - there) or "none",
                        "what is left": LEFT.get(left, "fewer pairs"),
                    }
                )
    caption = (
        f"Pairs with the baseline “{results.baseline}” that are lost. A seed that the baseline "
        "lacks is lost for every label of the task."
    )
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=["task", "label", "pairs left"])
    if not rows:
        caption += " None: no comparison needs a cell that is not done."
    return Table("lost-pairs", caption, frame, tones={LEFT[0]: "bad", LEFT[1]: "warn"})


def _all(count: int) -> str:
    return by_number(count, "the only cell is", f"all {count} cells are")


def trimmed(text: str) -> str:
    """Return a traceback with at most `HEAD` + `TAIL` lines of `LONGEST` characters, and a note."""
    lines = [
        line if len(line) <= LONGEST else f"{line[:LONGEST]} … ({len(line) - LONGEST} more)"
        for line in text.rstrip().splitlines()
    ]
    left_out = len(lines) - HEAD - TAIL
    if left_out > 1:
        note = f"… {left_out} lines left out here; the cell’s record holds them …"
        lines = [*lines[:HEAD], note, *lines[-TAIL:]]
    return "\n".join(lines)


def _tracebacks(results: Results, groups: Groups) -> list[Block]:
    names = settings(results)
    blocks: list[Block] = []
    with_trace = [
        (status, cells, [row for row in cells if str(row["traceback"]).strip()])
        for status, cells in groups
    ]
    shown = [group for group in with_trace if group[2]]
    for status, cells, traced in shown[:TRACEBACKS]:
        first = traced[0]
        where = f"{names[first['task'], first['model']]}, “{first['label']}”, seed {first['seed']}"
        several = f", the first of {len(cells)} cells" if len(cells) > 1 else ""
        summary = f"Traceback of {where}{several}: {status}, {_error(cells)}"
        blocks.append(Prose(trimmed(str(first["traceback"])), "code", summary=summary))
    if len(shown) > TRACEBACKS:
        more = len(shown) - TRACEBACKS
        have = by_number(more, "has a traceback", "have tracebacks")
        text = f"{counted(more, 'further error')} {have}; the cells’ records hold them."
        blocks.append(Prose(text, "note"))
    silent = sum(not traced for _, _, traced in with_trace)
    if silent:
        have = by_number(silent, "has", "have")
        text = (
            f"{counted(silent, 'error', total=len(groups))} {have} no traceback: such a cell never started, or "
            "was ended from outside (time, memory, an interrupt or a crash of its process)."
        )
        blocks.append(Prose(text))
    return blocks
