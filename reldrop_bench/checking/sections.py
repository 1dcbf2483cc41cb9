"""The contract of a report section: it has blocks for any results, also for none."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from reldrop_bench.checking.rules import checks_in, example, no_global_draws, require, twice
from reldrop_bench.kinds.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import CELL_COLUMNS, METRIC_COLUMNS, Results

KINDS = ("text", "headline", "note", "warning", "code")
BASELINE, OTHER = "baseline", "other <b>& co_1%"
"""Labels of the contract's results; the second holds what pages and LaTeX must escape."""


def _cells(status: str) -> pd.DataFrame:
    """Return two methods of three seeds, of which the last failed in any case."""
    alike: dict[str, Any] = {
        "task": "task", "model": "model", "relevance": "", "step_seconds": 0.01, "explained": 0.0,
        "occluded_fraction": float("nan"), "peak_memory": 1e8, "parameters": 1000.0, "epochs": 2.0,
        "samples": 100.0,
    }  # fmt: skip
    statuses = [status] * 5 + ["failed"]
    rows = [
        alike
        | {
            "key": f"{label[:1]}{seed}",
            "regularizer": label,
            "label": label,
            "seed": seed,
            "status": status,
            "error": "" if status == "done" else "ValueError: x < 1",
            "train_seconds": 1.0 + seed,
            "warnings": [],
            "deviations": [],
        }
        for (label, seed), status in zip(
            itertools.product((BASELINE, OTHER), range(3)), statuses, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=list(CELL_COLUMNS))


def _results(cells: pd.DataFrame, metrics: pd.DataFrame) -> Results:
    facts = {
        "task": {
            "modality": "image",
            "classes": ("a", "b"),
            "input_shape": (1, 4, 4),
            "cues": 0,
            "masks": False,
            "description": "A task.",
        }
    }
    return Results(
        name="contract",
        baseline=BASELINE,
        labels=(BASELINE, OTHER),
        cells=cells,
        tasks=facts if len(cells) else {},
        directions={"accuracy": "higher"},
        spec={"name": "contract", "tasks": ["task"], "regularizers": [BASELINE], "seeds": 3},
        metrics=metrics,
    )


def _examples() -> Iterator[tuple[str, Results]]:
    """Yield results of every poverty: none, all failed, accuracies alone with a cell missing."""
    nothing = pd.DataFrame(columns=list(METRIC_COLUMNS))
    yield "no results at all", _results(pd.DataFrame(columns=list(CELL_COLUMNS)), nothing)
    yield "results of failed cells alone", _results(_cells("failed"), nothing)
    cells = _cells("done")
    done = cells[cells["status"] == "done"]
    metrics = done[["key", "task", "model", "regularizer", "label", "seed"]].assign(
        evaluation="accuracy",
        split="test",
        metric="accuracy",
        value=[0.8 + 0.01 * place for place in range(len(done))],
    )
    yield "accuracies alone", _results(cells, metrics[list(METRIC_COLUMNS)])


def _build(cls: type[ReportSection], results: Results) -> Sequence[Block]:
    return example(cls).build(results, Style(results.labels, results.baseline))


def title_and_order_are_given(cls: type[ReportSection]) -> None:
    """The section has a title and a place."""
    title = getattr(cls, "title", None)
    require(
        isinstance(title, str) and bool(title.strip()),
        'title is missing; write title = "…"',
    )
    require(isinstance(cls.order, int), f"order = {cls.order!r} is no whole number")


def poor_results_give_blocks(cls: type[ReportSection]) -> None:
    """Whatever the results lack, there are blocks, if only a sentence that says why not."""
    for what, results in _examples():
        blocks = _build(cls, results)
        require(
            isinstance(blocks, Sequence) and not isinstance(blocks, str),
            f"{what}: build() returns {type(blocks).__name__}; return a list of Prose, Table and Figure",
        )
        require(
            len(blocks) > 0,
            f"{what}: no block; return [Prose('…')] with the reason why there is nothing to say",
        )
        for block in blocks:
            require(
                isinstance(block, Prose | Table | Figure),
                f"{what}: {type(block).__name__} is no Prose, Table or Figure",
            )
            _require_block(what, block)


def _require_block(what: str, block: Block) -> None:
    if isinstance(block, Prose):
        require(bool(block.text.strip()), f"{what}: a Prose without text")
        require(
            block.kind in KINDS, f"{what}: Prose kind {block.kind!r}; one of {', '.join(KINDS)}"
        )
        return
    require(
        bool(block.caption.strip()),
        f"{what}: {block.name!r} has no caption; say what is to be seen",
    )
    if isinstance(block, Table):
        unknown = set(block.formats or {}) - set(block.frame.columns)
        require(not unknown, f"{what}: {block.name!r} has formats for no column: {sorted(unknown)}")
    else:
        require(bool(block.alt.strip()), f"{what}: figure {block.name!r} has no alternative text")


def names_are_unique(cls: type[ReportSection]) -> None:
    """Tables and figures have names of their own, which become file names."""
    for what, results in _examples():
        names = [block.name for block in _build(cls, results) if isinstance(block, Table | Figure)]
        double = sorted({name for name in names if names.count(name) > 1})
        require(not double, f"{what}: two blocks are called {', '.join(double)}; name them apart")
        bad = [name for name in names if not name or set(name) & set('/\\:*?"<>| \n')]
        require(not bad, f"{what}: {bad} cannot be file names; use letters, digits and dashes")


def results_are_untouched(cls: type[ReportSection]) -> None:
    """Building changes neither the results nor a global generator."""
    for what, results in _examples():
        before = {name: getattr(results, name).copy() for name in ("cells", "metrics", "curves")}
        spec = copy.deepcopy(dict(results.spec))
        with no_global_draws(f"{what}: it", "use a seeded one"):
            _build(cls, results)
        for name, frame in before.items():
            now = getattr(results, name)
            require(
                frame.astype(str).equals(now.astype(str)),
                f"{what}: results.{name} was changed; work on results.{name}.copy()",
            )
        require(spec == results.spec, f"{what}: results.spec was changed")


def building_twice_gives_the_same(cls: type[ReportSection]) -> None:
    """The same results give the same prose and tables."""

    def told(blocks: Sequence[Block]) -> list[str]:
        return [
            block.frame.to_csv()
            if isinstance(block, Table)
            else (block.text if isinstance(block, Prose) else f"{block.name} {block.caption}")
            for block in blocks
        ]

    for what, results in _examples():
        first, second = twice(lambda: told(_build(cls, results)))  # noqa: B023
        require(
            first == second,
            f"{what}: two builds differ; use neither the time nor unseeded draws",
        )


CHECKS = checks_in(vars())
