"""Every evaluation together: the same bits for any number of workers and any order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from reldrop_bench.plugins import registry
from reldrop_bench.results import Results
from reldrop_bench.running.runner import run

SMALL: dict[str, dict[str, Any]] = {
    "agreement": {"max_samples": 40},
    "cues": {"max_samples": 40},
    "diversity": {"max_samples": 70},
    "faithfulness": {"max_samples": 24, "fractions": [0, 0.3, 0.6], "methods": ["smoothgrad"]},
    "occlusion": {"max_samples": 30, "fractions": [0, 0.3, 0.6]},
    "quantus": {"max_samples": 20},
}


def spec(evaluations: list[str]) -> dict[str, Any]:
    return {
        "name": "every",
        "tasks": [
            {"cue-images": {"samples": 64, "test_samples": 80}},
            {"cue-points": {"samples": 64, "test_samples": 80}},
        ],
        "regularizers": ["none", "random-input-dropout", "reldrop-pixel", "reldrop-points"],
        "skip": {"cue-images": ["reldrop-points"], "cue-points": ["reldrop-pixel"]},
        "seeds": 2,
        "recipe": {"epochs": 1},
        "evaluations": [{name: SMALL.get(name, {})} for name in evaluations],
    }


def tables(results: Results) -> list[pd.DataFrame]:
    """Return everything that was measured, without what a clock says."""
    found = []
    for frame in (
        results.metrics,
        results.curves,
        results.examples,
        results.samples,
        results.notes,
    ):
        keys = [column for column in frame.columns if column not in ("key", "value")]
        found.append(frame.sort_values(keys, ignore_index=True, na_position="first"))
    return found


def test_two_workers_and_the_reverse_order_give_the_same_bits(tmp_path: Path) -> None:
    names = [entry.name for entry in registry.entries("evaluations") if entry.cls is not None]
    assert {"quantus", "occlusion", "faithfulness", "diversity", "cost"} <= set(names)
    one = run(spec(names), output=tmp_path / "one", workers=1)
    two = run(spec(names[::-1]), output=tmp_path / "two", workers=2)
    for results in (one, two):
        assert results.cells["error"].tolist() == [""] * 12
    written = set(one.metrics["evaluation"]) | set(one.samples["evaluation"])
    assert written == set(names)
    for first, second in zip(tables(one), tables(two), strict=True):
        assert len(first)
        pd.testing.assert_frame_equal(first, second, check_exact=True)
    for frame in (one.metrics, one.curves, one.examples, one.samples):
        assert frame["value"].notna().all()
    # The reference is one model for all; so is the first seed, and the baseline of each seed.
    orders = set(one.metrics.query("evaluation == 'occlusion'")["metric"].str.partition("/")[0])
    assert {"random", "mask", "reference"} <= orders
    assert set(one.metrics.query("evaluation == 'agreement'")["split"]) == {
        "to-baseline",
        "between-seeds",
    }
