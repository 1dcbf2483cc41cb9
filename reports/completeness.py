"""Which cells of the matrix are there, and under which protocol they were made."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.errors import one_line
from reldrop_bench.reporting.layout import how_to_read, paragraph
from reldrop_bench.reporting.rows import CELL, labels, settings
from reldrop_bench.reporting.values import texts_of
from reldrop_bench.results import told
from reldrop_bench.statistics.wording import by_number, counted

SOME = re.compile(r"(\d+) of \d+ ")
"""How a reason begins that holds for some samples only."""


class Completeness(ReportSection):
    """Cells done, failed and missing; errors, warnings, deviations; recipe and rules."""

    name = "completeness"
    title = "Completeness and protocol"
    order = 200

    opening = """
    A cell is one training run: a label on a task with a model and a seed. The first table counts the cells
    that are done out of those planned; whatever is missing here is missing in every table and figure below,
    and is never filled in."""

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        remarks = [Prose(remark, "warning") for remark in results.remarks]
        if results.cells.empty:
            return [*remarks, Prose("The matrix has no cells.", "warning")]
        return [
            *remarks,
            how_to_read(self.opening),
            _matrix(results),
            *_failures(results),
            *_notes(results, "deviations", "Deviations from the spec"),
            *_notes(results, "warnings", "Warnings"),
            *_evaluations(results),
            *_left_out(results),
            *(_elsewhere(results) if results.trained_elsewhere else _protocol(results)),
            *_skipped(results),
        ]


def _matrix(results: Results) -> Table:
    cells, names = results.cells, settings(results)
    counts: dict[tuple[str, str, str], Counter[str]] = {}
    columns = ["task", "model", "label", "status"]
    for task, model, label, status in cells[columns].itertuples(index=False, name=None):
        counts.setdefault((task, model, label), Counter())[status] += 1
    tones = {"left out": "muted"}
    rows = []
    for label in labels(results):
        row = {"label": label}
        for setting, name in names.items():
            here = counts.get((*setting, label))
            if here is None:
                row[name] = "left out"
                continue
            total, done = sum(here.values()), here["done"]
            others = [f"{number} {status}" for status, number in here.items() if status != "done"]
            row[name] = " · ".join([f"{done}/{total}", *others])
            tones[row[name]] = "bad" if others else ""
        rows.append(row)
    identity = ["key", *CELL, "status", "error"]
    caption = "Cells done out of cells planned, by label and task."
    return Table("completeness", caption, pd.DataFrame(rows), data=cells[identity], tones=tones)


def _failures(results: Results) -> list[Block]:
    rows = results.cells[results.cells["status"] != "done"]
    if rows.empty:
        return [Prose("All cells are done.")]
    frame = rows[[*CELL, "status"]].copy()
    frame["error"] = [one_line(error) or "–" for error in rows["error"].fillna("")]
    are = by_number(len(frame), "is", "are")
    caption = (
        f"The {counted(len(frame), 'cell')} that {are} not done, and why; section “Failures” has tracebacks and "
        "says which comparisons suffer."
    )
    return [Table("failures", caption, frame, folded=len(frame) > 20)]


def _notes(results: Results, column: str, title: str) -> list[Block]:
    seeds_by_text: dict[tuple[str, str, str], list[str]] = {}
    for row in results.cells.to_dict("records"):
        for text in texts_of(row[column]):
            seeds_by_text.setdefault((row["task"], row["label"], text), []).append(str(row["seed"]))
    if not seeds_by_text:
        return [Prose(f"{title}: none.")]
    frame = pd.DataFrame(
        [(*key, ", ".join(seeds)) for key, seeds in seeds_by_text.items()],
        columns=["task", "label", "text", "seeds"],
    )
    return [Table(column, f"{title}.", frame)]


def _evaluations(results: Results) -> list[Block]:
    """Count the done cells that have rows of each evaluation, where some lack them."""
    tables = (results.metrics, results.curves, results.with_examples(), results.samples)
    parts = [table[[*CELL, "evaluation"]] for table in tables if len(table)]
    if not parts:
        return [Prose("No evaluation has written anything.", "warning")]
    rows = pd.concat(parts, ignore_index=True).drop_duplicates()
    counts = rows.groupby(["task", "model", "evaluation"], sort=False).size()
    done = results.cells[results.cells["status"] == "done"].groupby(["task", "model"]).size()
    names = settings(results)
    wide = []
    for evaluation in dict.fromkeys(rows["evaluation"]):
        row = {"evaluation": evaluation}
        for setting, name in names.items():
            number, total = int(counts.get((*setting, evaluation), 0)), int(done.get(setting, 0))
            row[name] = f"{number}/{total}" if number else "–"
        wide.append(row)
    caption = (
        "Cells with values of each evaluation, out of the cells that are done; a dash: the "
        "evaluation does not apply to the task, or every attempt failed. The first baseline has no "
        "model to agree with."
    )
    return [Table("evaluations", caption, pd.DataFrame(wide))]


def _left_out(results: Results) -> list[Block]:
    """Say which values evaluations have left out, and why."""
    notes = results.notes
    if notes.empty:
        return [Prose("No evaluation has left a value out.")]
    names = settings(results)
    columns = [*CELL, "evaluation", "split", "metric", "reason"]
    # One line a reason: many metrics and cells lack a value, or some samples, for one and the same.
    merged: dict[tuple[str, str, str], list[dict[Any, Any]]] = {}
    for row in notes[columns].to_dict("records"):
        some = SOME.match(row["reason"])
        row["samples"] = int(some[1]) if some else None
        reason = row["reason"][some.end(1) :] if some else row["reason"]
        line = (names[row["task"], row["model"]], row["evaluation"], reason)
        merged.setdefault(line, []).append(row)
    frame = pd.DataFrame(
        [
            {
                "task": task,
                "evaluation": evaluation,
                "value": _listed(f"{row['split']}/{row['metric']}" for row in rows),
                "reason": _range(row["samples"] for row in rows) + reason,
                "labels": _listed(row["label"] for row in rows),
                "seeds": _listed(str(seed) for seed in sorted({row["seed"] for row in rows})),
            }
            for (task, evaluation, reason), rows in merged.items()
        ]
    )
    caption = "Values that evaluations have left out or made of fewer samples, and why."
    return [Table("left-out", caption, frame, data=notes[columns], folded=len(frame) > 12)]


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _range(counts: Iterable[int | None]) -> str:
    """Return "3" or "3 to 17"; "" where nothing was counted."""
    counted = sorted({count for count in counts if count is not None})
    return " to ".join(str(count) for count in dict.fromkeys([*counted[:1], *counted[-1:]]))


def _elsewhere(results: Results) -> list[Block]:
    text = f"""
    These models were trained elsewhere: how, on what, and how they were chosen is not known here. Those of
    one task, model and seed are compared as pairs; whether that is fair is for those to say who gave them
    their seeds. Relevance rule of the evaluations: {_relevance(results)}."""
    return [paragraph(text, "note")]


def _relevance(results: Results) -> str:
    return _plain(results.spec.get("relevance") or "not stated")


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(inner) for inner in value) or "none"
    return str(value)


def _protocol(results: Results) -> list[Block]:
    recipes: dict[str, Mapping[str, Any]] = {
        name: results.tasks.get(task, {}).get("recipe") or {}
        for (task, _), name in settings(results).items()
    }
    keys = dict.fromkeys(key for recipe in recipes.values() for key in recipe)
    frame = pd.DataFrame(
        [
            {"setting": key}
            | {task: _plain(recipe.get(key, "–")) for task, recipe in recipes.items()}
            for key in keys
        ]
    )
    selection = {_plain(recipe.get("select", "last")) for recipe in recipes.values()}
    meaning = {
        "last": "the weights of the last epoch are evaluated",
        "best-validation": "the weights of the epoch with the highest validation accuracy are evaluated",
    }
    rules = sorted({str(rule) for rule in results.cells["relevance"].dropna() if str(rule)})
    guided = (
        f"guided cells were trained with {', '.join(rules)}"
        if rules
        else "no cell used it in training"
    )
    text = f"""
    Selection: {"; ".join(meaning.get(name, name) for name in sorted(selection))}; the test split is opened
    once, by evaluation, and decides nothing. Relevance rule: {_relevance(results)}; {guided}. Seeds:
    {", ".join(str(seed) for seed in sorted(set(results.cells["seed"])))}. Initial weights, data order and
    splits depend on task and seed alone, so cells of equal task, model and seed are paired."""
    return [
        Table("recipe", "Training recipe, the same for every label of a task.", frame)
        if keys
        else Prose("Recipe: the defaults of each task; the spec changes nothing."),
        paragraph(text),
    ]


def _skipped(results: Results) -> list[Block]:
    skip = results.spec.get("skip") or {}
    named = "; ".join(f"{task}: {_plain(names)}" for task, names in dict(skip).items())
    texts = [f"Left out on purpose by the spec: {named or 'nothing'}."]
    if unfit := told(results.unfit):
        texts.append(f"What does not fit is {'; '.join(unfit)}.")
    return [Prose(text) for text in texts]
