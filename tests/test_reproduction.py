"""The benchmark finds, from spec to statistics, the order that a feasibility study had measured.

The noise of cue-images is set by the accuracy of the baseline alone; that the methods differ, and in which
order, is not.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from reldrop_bench import run
from reldrop_bench.statistics.paired import paired_difference

SPEC = {
    "name": "cue-study",
    "tasks": ["cue-images"],
    "regularizers": ["none", "random-erasing", {"reldrop-block": {"k": 10}}],
    "seeds": 5,
    "evaluations": ["accuracy", "cues"],
}


@pytest.mark.slow
def test_guided_blocks_make_a_model_use_more_cues(tmp_path: Path) -> None:
    """With cues 0, 1 removed: none .62, random erasing .67, RelDrop block .79."""
    results = run(SPEC, output=tmp_path, workers=2)
    assert results.exit_code == 0
    metrics = results.metrics
    accuracy = metrics[(metrics.evaluation == "cues") & (metrics.metric == "accuracy")]
    means = accuracy.groupby(["split", "label"]).value.mean()
    print(means.unstack().round(3).to_string())  # noqa: T201 - figures for whoever runs it

    clean = means["removed-none"]
    assert (clean > 0.98).all(), "one cue is enough for the clean task, whatever the method"
    without = means["removed-01"]
    assert without["none"] < without["random-erasing"] < without["reldrop-block"] - 0.05
    assert 0.5 < without["none"] < 0.7

    paired = accuracy[accuracy.split == "removed-01"].pivot(
        index="seed", columns="label", values="value"
    )
    found = paired_difference((paired["reldrop-block"] - paired["none"]).to_numpy())
    print(found)  # noqa: T201
    assert found.n == 5
    assert found.low is not None
    assert found.low > 0
    cues = metrics[metrics.metric == "effective_cues"].groupby("label").value.mean()
    assert cues["none"] < cues["reldrop-block"]
