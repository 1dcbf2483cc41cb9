"""The rows of a leaderboard: what each label of each set has reached, and what is established."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.comparing.alignment import Alignment
from reldrop_bench.comparing.result_sets import ResultSet
from reldrop_bench.reporting.question import find_metric
from reldrop_bench.reporting.rows import metric_paths
from reldrop_bench.results import Results
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.paired import against_baseline
from reldrop_bench.statistics.spread import over_seeds
from reldrop_bench.statistics.verdicts import verdict

ROW = ["task", "model", "label"]
COLUMNS = (
    "set", "task", "model", "label", "baseline", "value", "sd", "n", "n_expected",
    "difference", "low", "high", "pairs", "pairs_expected", "p", "p_holm", "established",
    "done", "planned", "step_ratio", "page",
)  # fmt: skip
"""One row a label of a setting of a set. value, sd, n, n_expected: of the metric over seeds.
baseline: the label that the set is compared with. difference, low, high: of seed-paired differences
to it with the 95 % t interval, NaN where no test could be made. p: of the paired t test; p_holm:
adjusted for all rows. done, planned: cells. step_ratio: time of a training step relative to the
baseline's, geometric mean over seeds. page: the file that shows the row's cells."""


@dataclass(frozen=True)
class Standings:
    """A leaderboard's rows, and what they are about."""

    rows: pd.DataFrame
    metric: str
    """EVALUATION/SPLIT/METRIC."""
    direction: str
    """"higher", "lower" or "neither" is better."""
    comparisons: int
    """Rows that are compared with a baseline."""


def compute_standings(sets: Sequence[ResultSet], alignment: Alignment, metric: str) -> Standings:
    """Compute the rows; names are the common ones of `alignment`.

    Raises
    ------
    UserError
        No set has the metric.
    """
    triples = pd.concat(
        [one.results.metrics[["evaluation", "split", "metric"]].drop_duplicates() for one in sets]
    )
    whole = Results("", "", (), pd.DataFrame(), triples)
    path = find_metric(whole, metric)
    triple = metric_paths(whole)[path]
    declared = {key: value for one in reversed(sets) for key, value in one.results.declared.items()}
    direction = replace(whole, declared=declared).direction(triple[0], triple[2])
    parts = [_of_set(sets, alignment, index, triple) for index in range(len(sets))]
    rows = pd.concat(parts, ignore_index=True)
    others = (rows["label"] != rows["baseline"]).to_numpy()
    rows["p_holm"] = np.nan
    rows.loc[others, "p_holm"] = holm(rows.loc[others, "p"].to_numpy(dtype=np.float64))
    rows["established"] = [_established(row, direction) for row in rows.to_dict("records")]
    rows["page"] = [_page_name(row) for row in rows.to_dict("records")]
    return Standings(_ordered(rows, direction)[list(COLUMNS)], path, direction, int(others.sum()))


def _of_set(
    sets: Sequence[ResultSet], alignment: Alignment, index: int, triple: tuple[str, str, str]
) -> pd.DataFrame:
    """Return a set's rows; a value that was measured otherwise than in an earlier set is a hole."""
    results, labels = sets[index].results, alignment.labels[index]
    baseline = labels.get(results.baseline, results.baseline)
    keys = [*ROW, "seed"]
    metrics = results.metrics
    chosen = (metrics[["evaluation", "split", "metric"]] == list(triple)).all(axis=1)
    cells = results.cells[[*keys, "status", "step_seconds"]]
    cells = cells.merge(metrics.loc[chosen, [*keys, "value"]], on=keys, how="left")
    settings = list(zip(cells["task"], cells["model"], strict=True))
    left_out, names = alignment.left_out[index], alignment.settings[index]
    cells["foreign"] = [triple[0] in left_out.get(setting, ()) for setting in settings]
    cells["value"] = cells["value"].astype(np.float64).mask(cells["foreign"])
    cells["task"] = [names[setting][0] for setting in settings]
    cells["model"] = [names[setting][1] for setting in settings]
    cells["label"] = cells["label"].map(labels)
    rows = over_seeds(cells[[*ROW, "seed", "value"]], ROW).rename(columns={"mean": "value"})
    renamed = {"mean": "difference", "n": "pairs", "n_expected": "pairs_expected"}
    paired = against_baseline(cells[[*keys, "value"]], baseline).rename(columns=renamed)
    untested = paired["p"].isna()  # an interval of no width would say more than was tested
    paired.loc[untested, ["low", "high"]] = np.nan
    columns = [*ROW, "difference", "low", "high", "pairs", "pairs_expected", "p", "note"]
    steps = cells[keys].assign(value=np.log(cells["step_seconds"].astype(np.float64)))
    ratio = against_baseline(steps, baseline)
    ratio["step_ratio"] = np.exp(ratio["mean"])
    counts = cells.assign(is_done=cells["status"] == "done").groupby(ROW, sort=False)
    counted = counts.agg(
        done=("is_done", "sum"), planned=("is_done", "size"), foreign=("foreign", "any")
    )
    for further in (paired[columns], ratio[[*ROW, "step_ratio"]], counted.reset_index()):
        rows = rows.merge(further, on=ROW, how="left")
    return rows.assign(set=sets[index].name, baseline=baseline)


def _established(row: dict[Any, Any], direction: str) -> str:
    """Say in words what the row's difference to the baseline shows."""
    baseline = row["baseline"]
    if row["foreign"]:
        return "measured otherwise than in an earlier set"
    if row["label"] == baseline:
        return "baseline"
    pairs = row["pairs"]
    if not pairs or np.isnan(pairs):
        return f"no pair with “{baseline}”"
    alone, whole = (
        verdict(row["difference"], row[p], direction=direction) for p in ("p", "p_holm")
    )
    if alone != "unclear":
        also = "taken alone" if whole == "unclear" else "also among all of this page"
        return f"{alone} than “{baseline}”, {also}"
    note = f" ({row['note']})" if row["note"] else ""
    return f"not told apart from “{baseline}”{note}"


def _page_name(row: dict[Any, Any]) -> str:
    """Return a file name that is safe and unique, whatever the names hold."""
    names = [str(row[name]) for name in ("set", *ROW)]
    digest = hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(names)).strip("-")[:60]
    return f"cells/{slug or 'row'}-{digest}.html"


def _ordered(rows: pd.DataFrame, direction: str) -> pd.DataFrame:
    """Sort by task and model in order of appearance, then by mean, holes last."""
    settings = pd.factorize(pd.MultiIndex.from_frame(rows[["task", "model"]]))[0]
    sign = 1 if direction == "lower" else -1
    order = pd.DataFrame({"setting": settings, "value": sign * rows["value"]}, rows.index)
    chosen = order.sort_values(["setting", "value"], kind="stable", na_position="last").index
    return rows.loc[chosen].reset_index(drop=True)
