"""A leaderboard as static files: one page, a page a row with its cells, and the rows as data."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from reldrop_bench.comparing.alignment import Alignment, align
from reldrop_bench.comparing.leaderboard.standings import Standings, compute_standings
from reldrop_bench.comparing.reproduction import reproduction, reproduction_remarks
from reldrop_bench.comparing.result_sets import ResultSet, open_sets
from reldrop_bench.errors import UserError, printable
from reldrop_bench.files import write_atomically
from reldrop_bench.reporting.csv_text import csv_text
from reldrop_bench.reporting.page import rendered
from reldrop_bench.reporting.tables import digits_of, interval_text, telling_digits
from reldrop_bench.statistics.spread import shown
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.folder import BENCHMARK_FILE

TEMPLATES = Path(__file__).parent / "templates"
INDEX = "index.html"
DATA = "leaderboard.json"
OWN_PAGE = re.compile(r"cells/[A-Za-z0-9-]+\.html")
METRIC = "accuracy/test/accuracy"


def leaderboard(
    folders: Sequence[str | Path],
    output: str | Path,
    metric: str = METRIC,
    plugins: Sequence[str | Path] = (),
) -> Path:
    """Write the leaderboard of some result sets into `output`; returns the path of index.html.

    Beside it lie leaderboard.csv, leaderboard.json and cells/*.html, one a row. The same sets give
    the same bytes. metric: EVALUATION/SPLIT/METRIC, or less where only one is meant. What cannot
    be compared is told apart as by `compare`.

    Raises
    ------
    UserError
        A folder without results, a metric that none has, or an output folder that holds something
        else than a leaderboard.
    """
    target = Path(os.path.expanduser(output))
    before = _own_pages(target)
    sets = open_sets(folders, plugins, least=1)
    alignment = align(sets)
    standings = compute_standings(sets, alignment, metric)
    remarks = [
        *alignment.incomparable,
        *reproduction_remarks(reproduction(sets, alignment), sets),
        *alignment.remarks,
    ]
    files = _files(sets, alignment, standings, remarks)
    for name, content in files.items():
        write_atomically(target / name, content.encode("utf-8", "replace"))
    for name in before - files.keys():  # rows that are no more
        (target / name).unlink(missing_ok=True)
    return target / INDEX


def _own_pages(target: Path) -> set[str]:
    """Return the pages of an earlier leaderboard in a folder that may be written."""
    if not target.exists():
        return set()
    if not target.is_dir() or (target / BENCHMARK_FILE).exists():
        raise UserError(
            f"{target} holds something else than a leaderboard; choose another --output"
        )
    try:
        rows = json.loads((target / DATA).read_text(encoding="utf-8"))["rows"]
        pages = {str(row["page"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        if any(target.iterdir()):
            raise UserError(
                f"{target} holds something else than a leaderboard; choose another --output"
            ) from None
        return set()
    return {name for name in pages if OWN_PAGE.fullmatch(name)}


def _files(
    sets: Sequence[ResultSet], alignment: Alignment, standings: Standings, remarks: Sequence[str]
) -> dict[str, str]:
    """Return the content of every file by its name."""
    common = {"metric": standings.metric, "direction": standings.direction}
    records = standings.rows.to_dict("records")
    numbers = standings.rows.to_json(orient="records", double_precision=15)
    listed = [
        {
            "set": result_set.name,
            "benchmark": result_set.results.name,
            "cells": len(result_set.results.cells),
            "done": int((result_set.results.cells["status"] == "done").sum()),
            "schema": result_set.benchmark.schema_version,
        }
        for result_set in sets
    ]
    data = {
        "metric": standings.metric,
        "direction": standings.direction,
        "sets": listed,
        "remarks": list(remarks),
        "rows": json.loads(numbers),
    }
    values = pd.DataFrame({"mean": standings.rows["value"], "column": standings.metric})
    digits = next(iter(digits_of(values, None)), 3)
    files = {
        INDEX: rendered(
            TEMPLATES / "leaderboard.html.j2",
            "leaderboard.js",
            **common,
            sets=listed,
            remarks=remarks,
            comparisons=standings.comparisons,
            rows=[_shown(row, digits) for row in records],
            counted=counted,
            filters={
                "set": list(dict.fromkeys(result_set.name for result_set in sets)),
                "task": list(dict.fromkeys(standings.rows["task"])),
                "model": list(dict.fromkeys(standings.rows["model"])),
                "method": list(dict.fromkeys(standings.rows["label"])),
            },
        ),
        "leaderboard.csv": csv_text(standings.rows),
        DATA: json.dumps(data, indent=1, allow_nan=False) + "\n",
    }
    by_set = {
        result_set.name: _by_row(result_set, alignment, index)
        for index, result_set in enumerate(sets)
    }
    owners = {result_set.name: result_set for result_set in sets}
    for row in records:
        parts = by_set[row["set"]][row["task"], row["model"], row["label"]]
        shown_cells = _cells_of(owners[row["set"]], *parts)
        files[row["page"]] = rendered(
            TEMPLATES / "leaderboard-cells.html.j2",
            **common,
            row=_shown(row, digits),
            **shown_cells,
        )
    return files


def _shown(row: Mapping[Any, Any], digits: int) -> dict[str, Any]:
    """Return a row's texts, and the numbers that it is sorted by ("" where there is none)."""
    is_baseline = row["label"] == row["baseline"]
    pairs = {"n": row["pairs"], "n_expected": row["pairs_expected"], "mean": row["difference"]}
    pairs |= {"low": row["low"], "high": row["high"]}
    compared = not is_baseline and not math.isnan(row["pairs"])
    ratio = row["step_ratio"]
    words = row["established"].partition(" ")[0]
    return {
        **{name: printable(row[name]) for name in ("set", "task", "model", "label", "page")},
        "value": shown(row["value"], row["sd"], row["n"], row["n_expected"], digits),
        "difference": _interval(pairs, digits) if compared else "–",
        "pairs": f"{row['pairs']:.0f}/{row['pairs_expected']:.0f}" if compared else "–",
        "established": printable(row["established"]),
        "tone": {"better": "good", "worse": "bad"}.get(words, "muted"),
        "cells": f"{row['done']}/{row['planned']}",
        "complete": row["done"] == row["planned"],
        "ratio": "1 (baseline)" if is_baseline else "–" if math.isnan(ratio) else f"{ratio:.2f}×",
        "sort": {
            name: "" if math.isnan(value) else repr(float(value))
            for name, value in (
                ("value", row["value"]),
                ("difference", row["difference"]),
                ("ratio", 1.0 if is_baseline else ratio),
            )
        },
    }


def _interval(pairs: dict[str, Any], digits: int) -> str:
    whole = pairs | {"n": int(pairs["n"]), "n_expected": int(pairs["n_expected"])}
    numbers = [whole[name] for name in ("low", "high")]
    return interval_text(whole, telling_digits(numbers, [0.0], digits))


Parts = tuple[pd.DataFrame, pd.DataFrame]


def _by_row(
    result_set: ResultSet, alignment: Alignment, index: int
) -> dict[tuple[str, str, str], Parts]:
    """Return by the row's task, model and label, under common names, its cells and metrics."""
    names = ["task", "model", "label"]
    metrics = dict(iter(result_set.results.metrics.groupby(names, sort=False)))
    by_row = {}
    for row, cells in result_set.results.cells.groupby(names, sort=False):
        task, model, label = cast(tuple[str, str, str], row)
        common = (*alignment.settings[index][task, model], alignment.labels[index][label])
        by_row[common] = (cells, metrics.get(row, result_set.results.metrics.head(0)))
    return by_row


def _cells_of(result_set: ResultSet, cells: pd.DataFrame, metrics: pd.DataFrame) -> dict[str, Any]:
    """Return what the page of a row shows of its cells."""
    cells = cells.sort_values(["seed", "key"])
    names = ["evaluation", "split", "metric"]
    values: dict[tuple[str, ...], dict[str, float]] = {}
    for *name, key, value in metrics[[*names, "key", "value"]].itertuples(index=False, name=None):
        values.setdefault(tuple(name), {})[key] = value
    environments: dict[str, list[str]] = {}
    for key, seed in zip(cells["key"], cells["seed"], strict=True):
        if environment := result_set.environment(key):
            environments.setdefault(json.dumps(environment), []).append(str(seed))
    return {
        "cells": cells.to_dict("records"),
        "values": [
            (name, [f"{of[key]:.6g}" if key in of else "–" for key in cells["key"]])
            for name, of in sorted(values.items())
        ],
        "environments": [(seeds, json.loads(text)) for text, seeds in environments.items()],
        "parameters": dict(result_set.results.parameters.get(cells["label"].iloc[0], {})),
    }
