"""Which section shows which metric: what each says of itself is what happens if a value changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import scipy

from reldrop_bench import plugins
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.outcome import OUTCOMES
from reldrop_bench.kinds.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.further import fits
from reldrop_bench.reporting.outcomes import JUDGED_ACCURACIES, outcomes
from reldrop_bench.reporting.rows import metric_paths
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results
from reldrop_bench.running.runner import run
from reldrop_bench.store.load import load_results

OTHER = "other-metrics"
SMALL: dict[str, dict[str, Any]] = {
    "agreement": {"max_samples": 20},
    "cost": {"steps": 1, "batch_size": 8},
    "cues": {"max_samples": 12},
    "diversity": {"max_samples": 20},
    "faithfulness": {"max_samples": 8, "fractions": [0, 0.5], "fills": ["mean"]},
    "occlusion": {"max_samples": 12, "fractions": [0, 0.5], "fills": ["mean", "noise"]},
    "quantus": {"max_samples": 6},
}
OWN = '''
"""Two numbers of one's own, one of them on some tasks only."""

from reldrop_bench import Evaluation, Metric


class Sharpness(Evaluation):
    """How large the weights are."""

    name = "sharpness"
    uses_relevance = False
    metrics = {
        "norm": Metric("lower", "Euclidean norm of all weights"),
        "accuracy": Metric("lower", "of the same name as another evaluation's"),
        "per-class/*": Metric("neither", "a number a class"),
    }

    def evaluate(self, context, record):
        total = sum(each.double().square().sum().item() for each in context.model.parameters())
        record.metric("test", "norm", total**0.5)
        record.metric("noise/1", "accuracy", 0.25)
        if context.facts.cues:
            for index, _ in enumerate(context.facts.classes):
                record.metric("test", f"per-class/{index}", -total * index)
'''


def spec(evaluations: Sequence[str], **changes: Any) -> dict[str, Any]:
    return {
        "name": "every",
        "tasks": [{"cue-images": {"samples": 48, "test_samples": 40}}],
        "regularizers": ["none", {"random-input-dropout": {"probability": [0.2, 0.4]}}],
        "seeds": 2,
        "model": {"small-cnn": {"width": 4}},
        "relevance": "gradient-x-input",
        "recipe": {"epochs": 1},
        "evaluations": [{name: SMALL.get(name, {})} for name in evaluations],
    } | changes


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What all built-in evaluations write, of a small benchmark that was run."""
    names = [entry.name for entry in registry.entries("evaluations") if entry.cls is not None]
    results = run(spec(names), output=tmp_path_factory.mktemp("every"), workers=0)
    assert results.cells["error"].tolist() == [""] * 6
    # Some sections need several tasks, and one epoch teaches nothing: the same once more under other
    # names, and values that tell labels apart, in the range that they had.
    again = [f"cue-images {number}" for number in range(2, 5)]
    cells, metrics = (
        pd.concat([frame, *(frame.assign(task=task) for task in again)], ignore_index=True)
        for frame in (results.cells, results.metrics)
    )
    # This task has no shifts but the removal of cues: one that is another's.
    noise = metrics[(metrics["split"] == "removed-0") & (metrics["evaluation"] == "shifts")]
    metrics = pd.concat([metrics, noise.assign(split="noise/1")], ignore_index=True)
    random = np.random.default_rng(0)
    values = metrics["value"] * random.uniform(0.7, 0.99, len(metrics))
    tasks = dict.fromkeys(("cue-images", *again), results.tasks["cue-images"])
    _, first, second = results.labels
    return replace(
        results,
        cells=cells,
        metrics=metrics.assign(value=values),
        tasks=tasks,
        guided={second: {"a rung": first}},  # as if it were its control
    )


def sections() -> dict[str, type[ReportSection]]:
    return {
        entry.name: cast("type[ReportSection]", entry.cls)
        for entry in registry.entries("sections")
        if entry.cls is not None
    }


def said(name: str, results: Results) -> list[str]:
    """Return all that a section says in words and numbers."""
    style = Style(results.labels, results.baseline)
    with style.theme():
        blocks: Sequence[Block] = registry.create("sections", name, {}).build(results, style)
    texts = []
    for block in blocks:
        if isinstance(block, Prose):
            texts.append(block.text)
        elif isinstance(block, Table):
            texts += [block.frame.to_csv(), "" if block.data is None else block.data.to_csv()]
        else:
            assert isinstance(block, Figure)
    return texts


def changed(results: Results, chosen: Callable[[str], bool]) -> Results:
    """Return results with other values of the metrics whose path is chosen, other by cell."""
    metrics = results.metrics
    paths = metrics["evaluation"].astype(str) + "/" + metrics["split"].astype(str)
    paths += "/" + metrics["metric"].astype(str)
    factor = 0.9 - 0.1 * metrics["seed"].to_numpy() - 0.05 * (metrics["label"] != results.baseline)
    # So much that it is seen in a mean of many, too.
    step = 0.5 + 0.4 * metrics["seed"].to_numpy() * (metrics["label"] != results.baseline)
    other = np.where(paths.map(chosen), metrics["value"] * factor + step, metrics["value"])
    return replace(results, metrics=metrics.assign(value=other))


@pytest.mark.slow
def test_every_metric_is_shown_by_the_sections_that_say_so(measured: Results) -> None:
    paths = list(metric_paths(measured))
    assert len({path.partition("/")[0] for path in paths}) >= 10
    shown = {path for path in paths if path.startswith("shifts/removed-")}
    assert {path.replace("shifts/", "cues/") for path in shown} <= set(paths)
    for name, cls in sections().items():
        before = said(name, measured)
        declared = {path for path in paths if fits(path, cls.shows)}
        others = changed(measured, lambda path, declared=declared: path not in declared)
        assert said(name, others) == before, f"{name} shows more than it says"
        if set(JUDGED_ACCURACIES) <= set(cls.shows):  # it shows what is judged by here
            declared = {path for path in declared if not fits(path, elsewhere(measured))}
        if name == "shifts":  # the section of cues has the same numbers
            declared = {path for path in declared if "/removed-" not in path}
        for path in sorted(declared):
            after = said(name, changed(measured, lambda each, path=path: each == path))
            assert after != before, f"{name} says that it shows {path}"
        shown |= declared
    assert set(paths) - shown == set(), (
        "a built-in metric is shown by no section but the one for the rest"
    )
    assert said(OTHER, measured) == ["Every metric that was measured is shown by another section."]


def elsewhere(results: Results) -> list[str]:
    """Return the patterns of named outcomes that these results are not judged by."""
    judged = {outcome.key for outcome in outcomes(results)}
    return [outcome.pattern for outcome in OUTCOMES if outcome.key not in judged]


@pytest.mark.slow
def test_every_pattern_of_a_section_is_needed(measured: Results) -> None:
    paths = list(metric_paths(measured))
    for name, cls in sections().items():
        for pattern in set(cls.shows) - set(elsewhere(measured)):
            assert any(re.fullmatch(pattern, path) for path in paths), (name, pattern)


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins" / "evaluations"
    folder.mkdir(parents=True)
    (folder / "sharpness.py").write_text(OWN, encoding="utf-8")
    return folder.parent


def test_metrics_of_ones_own_are_shown_with_all_that_is_known(
    own_folder: Path, tmp_path: Path
) -> None:
    small = {"samples": 32, "test_samples": 24}
    given = spec(
        ["accuracy", "sharpness"], tasks=[{"cue-images": small}], regularizers=["none", "cutout"]
    )
    results = run(given, output=tmp_path / "out", workers=0, plugins=[own_folder])
    assert results.exit_code == 0
    style = Style(results.labels, results.baseline)
    blocks = registry.create("sections", OTHER, {}).build(results, style)
    about, table = (block for block in blocks if isinstance(block, Table))
    known = about.frame.set_index("metric")
    classes = len(results.tasks["cue-images"]["classes"])
    per_class = [f"sharpness/test/per-class/{index}" for index in range(classes)]
    norm, clash = "sharpness/test/norm", "sharpness/noise/1/accuracy"
    assert sorted(known.index) == sorted([norm, clash, *per_class])
    assert known.loc[norm].tolist() == ["lower", "Euclidean norm of all weights", 4]
    # The evaluation accuracy says "higher" of a metric of this name: each is as its own says.
    assert known.loc[clash, "better"] == "lower"
    assert known.loc[per_class[0], "what it measures"] == "a number a class"
    data = table.data
    assert data is not None
    values = results.metrics[results.metrics["metric"] == "norm"]
    wide = values.pivot(index="seed", columns="label", values="value")
    row = data[(data["metric"] == norm) & (data["label"] == "cutout")].iloc[0]
    expected = scipy.stats.ttest_rel(wide["cutout"], wide["none"])
    interval = expected.confidence_interval(0.95)
    assert row["mean"] == pytest.approx(wide["cutout"].mean())
    assert row["p"] == pytest.approx(expected.pvalue)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))


def test_what_an_evaluation_says_is_known_where_it_is_not_installed(
    own_folder: Path, tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    small = {"samples": 32, "test_samples": 24}
    given = spec(
        ["accuracy", "sharpness"], tasks=[{"cue-images": small}], regularizers=["none"], seeds=1
    )
    add_plugins(own_folder)
    run(given, output=tmp_path / "out", workers=0)
    there = load_results(tmp_path / "out")
    plugins.__path__.remove(str(own_folder))
    registry.refresh()
    with pytest.raises(UserError, match="sharpness"):
        registry.find("evaluations", "sharpness")
    gone = load_results(tmp_path / "out")
    assert gone.declared == there.declared
    assert gone.declared["sharpness", "norm"] == ("lower", "Euclidean norm of all weights")
    # Two evaluations have a metric of this name, and opposite directions of it.
    (judged,) = outcomes(replace(gone, metric="sharpness/noise/1/accuracy"))
    assert judged.direction == "lower"
    (judged,) = outcomes(replace(gone, metric="accuracy/test/accuracy"))
    assert judged.direction == "higher"


def test_holes_and_single_seeds_are_told(make_results: Callable[..., Results]) -> None:
    results = make_results(tasks=("digits", "cue-points"), seeds=2)
    cells = results.cells[results.cells["task"] == "digits"]
    rows = cells[["key", "task", "model", "regularizer", "label", "seed"]].assign(
        evaluation="mine", split="test", metric="a", value=np.arange(len(cells)) / 10
    )
    rows.loc[(rows["label"] == "cutout") & (rows["seed"] == 1), "value"] = np.nan
    more = replace(results, metrics=pd.concat([results.metrics, rows], ignore_index=True))
    style = Style(more.labels, more.baseline)
    blocks = registry.create("sections", OTHER, {}).build(more, style)
    tables = {block.name: block.frame for block in blocks if isinstance(block, Table)}
    assert set(tables) == {OTHER, f"{OTHER}-digits"}
    frame = tables[f"{OTHER}-digits"].set_index("label")
    assert "(n=1/2)" in frame.loc["cutout", "mean ± sd"]
    assert "[no interval] (n=1/2)" in frame.loc["cutout"].iloc[-1]
    assert frame.loc["none"].iloc[-1] == "baseline"
    assert tables[OTHER]["what it measures"].tolist() == ["not said"]
    assert any(
        f"1 of {len(cells)} cells has no value" in block.text
        for block in blocks
        if isinstance(block, Prose)
    )
    single = replace(
        more,
        cells=more.cells[more.cells["seed"] == 0],
        metrics=more.metrics[more.metrics["seed"] == 0],
    )
    assert "[no interval]" in "".join(said(OTHER, single))


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"shows: '\*/x' is no regular expression"):
        type(
            "Wrong", (ReportSection,), {"shows": ("*/x",), "build": lambda self, results, style: []}
        )
    right = type(
        "Right", (ReportSection,), {"shows": "mine/.*", "build": lambda self, results, style: []}
    )
    assert right.shows == ("mine/.*",)  # type: ignore[attr-defined]
