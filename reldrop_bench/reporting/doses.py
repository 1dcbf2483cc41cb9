"""How much labels hid of their training input, and whether a method and its controls hid alike."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reldrop_bench.results import Results

ALIKE = 0.05
"""Shares of hidden input are alike if they differ by at most this part of the larger one."""


def doses(results: Results) -> pd.Series:
    """Return the share of the training input that was hidden, by (task, model, label); the mean over seeds."""
    by = ["task", "model", "label"]
    return results.cells.groupby(by, sort=False)["occluded_fraction"].mean().dropna()


def dose_gaps(results: Results) -> pd.DataFrame:
    """Return task, model, label, other, share, other_share, gap, alike: a row a guided label and control."""
    hidden = doses(results)
    known: dict[Any, float] = hidden.to_dict()
    rows = [
        (task, model, label, other, share, known[task, model, other])
        for (task, model, label), share in known.items()
        for other in results.guided.get(label, {}).values()
        if (task, model, other) in known
    ]
    frame = pd.DataFrame(rows, columns=["task", "model", "label", "other", "share", "other_share"])
    largest = frame[["share", "other_share"]].max(axis=1)
    gap = (frame["share"] - frame["other_share"]).abs()
    return frame.assign(gap=gap, alike=gap <= ALIKE * largest)


def unlike_doses(results: Results) -> dict[str, str]:
    """Say of each guided label that hid not as much as a control of its: by how much, where it is most."""
    frame = dose_gaps(results)
    unlike = frame[~frame["alike"]].sort_values("gap", ascending=False).drop_duplicates("label")
    return {
        str(
            row["label"]
        ): f"“{row['label']}” hid {row['share']:.1%} of the input of {row['task']} and its control "
        f"“{row['other']}” {row['other_share']:.1%}: what lies between them is not due to guidance alone."
        for row in unlike.to_dict("records")
    }
