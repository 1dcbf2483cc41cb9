"""Where the numbers come from: spec, machines, versions, keys, and the command to repeat it."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import yaml

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.rows import CELL, entry_name
from reldrop_bench.reporting.stamp import versions
from reldrop_bench.reporting.values import texts_of
from reldrop_bench.statistics.wording import counted

KEYS = 1000
"""Cells whose keys the page lists; the CSV has all."""
MACHINES = 5
"""Environments that are shown beside each other; the CSV has all."""


class Provenance(ReportSection):
    """Everything that is needed to make the same results again."""

    name = "provenance"
    title = "Provenance"
    order = 1000

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        return [
            *_commands(results),
            Prose(
                "The same spec on the same machine and versions gives the same bits; on another "
                "machine floating-point sums may be ordered otherwise, and results differ slightly."
            ),
            *_seeds_and_deviations(results),
            *_data(results),
            *_environments(results),
            _reported_with(),
            *_keys(results),
        ]


def _commands(results: Results) -> list[Block]:
    sets = results.spec.get("sets")
    if sets:
        baseline = (sets[0].get("spec") or {}).get("baseline")
        return [*_compared(sets), *_report_command(results, "compare DIR DIR…", baseline)]
    if results.trained_elsewhere:
        command = "reldrop-bench evaluate --model FILE.py:FUNCTION --weights FILE --task TASK"
        return [
            Prose("Each checkpoint was evaluated by this command, with its own files:"),
            Prose(f"{command} --label LABEL --seed SEED", "code"),
            *_report_command(results, "report DIR", results.baseline),
        ]
    if not results.spec:
        return [Prose("The results hold no spec, so no command can be given.", "warning")]
    foreign, note = _foreign(results), list[Block]()
    if foreign:
        text = (
            "DIR is the folder with the plugins that are not part of this package: "
            f"{', '.join(foreign)}. A cell’s record holds the hash of their source."
        )
        note.append(Prose(text, "note"))
    return [
        Prose("To make the same results again, save the spec below as spec.yaml and run:"),
        Prose("reldrop-bench run spec.yaml" + (" --plugins DIR" if foreign else ""), "code"),
        *note,
        Prose("Add --data DIR where a task reads data sets from a folder of yours."),
        Prose(_yaml(results.spec), "code", summary="spec.yaml"),
        *_report_command(results, "report DIR", results.spec.get("baseline", results.baseline)),
    ]


def _yaml(spec: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(dict(spec), default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def _compared(sets: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return how to make each of the sets again that `compare` has put together."""
    rows = [{name: fact for name, fact in one.items() if name != "spec"} for one in sets]
    blocks: list[Block] = [
        Prose(
            f"This report compares {len(sets)} sets of results. To make one of them again, save its "
            "spec below as spec.yaml and run:"
        ),
        Prose("reldrop-bench run spec.yaml", "code"),
        Table("sets", "The sets that are compared.", pd.DataFrame(rows)),
    ]
    for one in sets:
        if one.get("spec"):
            summary = f"spec.yaml of {one['set']}"
            blocks.append(Prose(_yaml(one["spec"]), "code", summary=summary))
        else:
            blocks.append(Prose(f"{one['set']} holds no spec.", "warning"))
    return blocks


def _report_command(results: Results, command: str, baseline: Any) -> list[Block]:
    """Return the command of this report where it differs from what the spec alone would give."""
    chosen = []
    if results.baseline != baseline:
        chosen.append(f"--baseline {shlex.quote(results.baseline)}")
    if results.metric:
        chosen.append(f"--metric {shlex.quote(results.metric)}")
    if results.margin is not None:
        chosen.append(f"--margin {results.margin:g}")
    if not chosen:
        return []
    return [
        Prose("This report is made from the folder of the results by:"),
        Prose(" ".join(["reldrop-bench", command, *chosen]), "code"),
    ]


def _foreign(results: Results) -> list[str]:
    """Name the plugins that these results use and that are not part of this package."""
    kinds: dict[str, Iterable[Any]] = {
        "regularizers": results.cells["regularizer"],
        "tasks": [entry_name(entry) for entry in results.spec.get("tasks") or ()],
        "models": results.cells["model"],
        "attributors": results.cells["relevance"],
        "evaluations": results.metrics["evaluation"],
    }
    named: list[str] = []
    for kind, names in kinds.items():
        # What is not known here at all may be anyone's: nothing is said of it.
        foreign = {entry.name for entry in registry.entries(kind) if not entry.built_in}
        singular = registry.KINDS[kind].singular
        named += [
            f"{singular} “{name}”" for name in dict.fromkeys(map(str, names)) if name in foreign
        ]
    return named


def _seeds_and_deviations(results: Results) -> list[Block]:
    seeds = sorted(set(results.cells["seed"]))
    blocks: list[Block] = []
    if seeds:
        listed = ", ".join(str(seed) for seed in seeds)
        blocks.append(
            Prose(
                f"Seeds: {listed}. Weights, data order and splits follow from (task, seed) alone; "
                "the regularizer draws from a stream of its own."
            )
        )
    counts = Counter(text for value in results.cells["deviations"] for text in texts_of(value))
    if not counts:
        return [*blocks, Prose("Deviations from the spec: none was recorded.")]
    frame = pd.DataFrame([{"deviation": text, "cells": n} for text, n in counts.items()])
    caption = "What deviates from the spec, and in how many cells; “Completeness” says in which."
    return [*blocks, Table("deviations-by-cells", caption, frame)]


def _data(results: Results) -> list[Block]:
    """Say what lay in the files that the tasks read."""
    rows = [
        {"task": task, **facts["data"]} for task, facts in results.tasks.items() if "data" in facts
    ]
    if not rows:
        return [Prose("Data: every task makes its own, or does not say which files it reads.")]
    caption = (
        "Files that the tasks read: how many, bytes, and a hash of their names and of what they held, "
        "which belongs to the keys of the cells."
    )
    return [Table("data", caption, pd.DataFrame(rows))]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list | tuple):
            flat[f"{prefix}{key}"] = ", ".join(str(part) for part in inner)
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat


def _environments(results: Results) -> list[Block]:
    if not results.environments:
        return [Prose("The environment was not recorded.", "warning")]
    environments = [_flat(environment) for environment in results.environments]
    several = len(environments) > 1
    rows: list[dict[str, str]] = []
    for key in dict.fromkeys(key for environment in environments for key in environment):
        values = [environment.get(key) for environment in environments]
        row = {"fact": key} | (
            {"the same": "yes" if len({*values}) == 1 else "no"} if several else {}
        )
        for number, value in enumerate(values, start=1):
            row[f"environment {number}" if several else "value"] = "–" if value is None else value
        rows.append(row)
    rows.sort(key=lambda row: row.get("the same", "yes") == "yes")  # what differs comes first
    whole = pd.DataFrame(rows)
    shown = whole[list(whole)[: 2 + MACHINES]] if several else whole
    caption = "Machines and versions that the cells ran on."
    if len(environments) > MACHINES:
        caption += f" The first {MACHINES} of {len(environments)}; the CSV has all."
    table = Table("environments", caption, shown, data=whole, tones={"no": "warn"})
    if not several:
        return [table]
    differing = [row["fact"] for row in rows if row["the same"] == "no"]
    text = (
        f"The cells ran in {len(environments)} different environments, which differ in "
        f"{', '.join(differing)}; differences between cells may come from that."
    )
    return [Prose(text, "warning"), table]


def _reported_with() -> Table:
    frame = pd.DataFrame(list(versions().items()), columns=["package", "version"])
    caption = "Versions that this report was made with, which need not be those of the runs."
    return Table("reported-with", caption, frame, folded=True)


def _keys(results: Results) -> list[Block]:
    if results.cells.empty:
        return []
    columns = [*CELL, "status", "relevance", "key"]
    frame = results.cells[columns].fillna("").astype({"seed": str})
    caption = (
        f"Keys of {counted(len(frame), 'cell')}: the hash of a cell’s resolved spec and its plugins’ "
        "source, and the name of its folder among the results."
    )
    if len(frame) > KEYS:
        caption += f" The first {KEYS}; the CSV has all."
    return [Table("cells", caption, frame.head(KEYS), data=frame, folded=True)]
