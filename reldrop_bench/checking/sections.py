"""The contract of a report section: it has blocks for any results, also for none."""

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reldrop_bench.checking.rules import checks_in, example, no_global_draws, require, twice
from reldrop_bench.kinds.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import CELL_COLUMNS, METRIC_COLUMNS, Results

KINDS = ("text", "headline", "note", "warning", "counts", "code")
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
        declared={("accuracy", "accuracy"): ("higher", "Accuracy.")},
        spec={"name": "contract", "tasks": ["task"], "regularizers": [BASELINE], "seeds": 3},
        metrics=metrics,
    )


@dataclass(frozen=True)
class Case:
    """A section with results of some poverty."""

    where: str
    """What the results are."""
    section: ReportSection
    results: Results

    def build(self) -> Sequence[Block]:
        return self.section.build(self.results, Style(self.results.labels, self.results.baseline))


def _cases(cls: type[ReportSection]) -> Iterator[Case]:
    """Yield results of every poverty: none, all failed, accuracies alone with a cell missing."""
    section = example(cls)
    nothing = pd.DataFrame(columns=list(METRIC_COLUMNS))
    none = _results(pd.DataFrame(columns=list(CELL_COLUMNS)), nothing)
    yield Case("no results at all", section, none)
    yield Case("results of failed cells alone", section, _results(_cells("failed"), nothing))
    cells = _cells("done")
    done = cells[cells["status"] == "done"]
    metrics = done[["key", "task", "model", "regularizer", "label", "seed"]].assign(
        evaluation="accuracy",
        split="test",
        metric="accuracy",
        value=[0.8 + 0.01 * place for place in range(len(done))],
    )
    yield Case("accuracies alone", section, _results(cells, metrics[list(METRIC_COLUMNS)]))


def title_and_order_are_given(cls: type[ReportSection]) -> None:
    """The section has a title and a place."""
    title = getattr(cls, "title", None)
    require(
        isinstance(title, str) and bool(title.strip()),
        'title is missing; write title = "…"',
    )
    require(isinstance(cls.order, int), f"order = {cls.order!r} is no whole number")


def poor_results_give_blocks(case: Case) -> None:
    """Whatever the results lack, there are blocks, if only a sentence that says why not."""
    blocks = case.build()
    require(
        isinstance(blocks, Sequence) and not isinstance(blocks, str),
        f"build() returns {type(blocks).__name__}; return a list of Prose, Table and Figure",
    )
    require(
        len(blocks) > 0,
        "no block; return [Prose('…')] with the reason why there is nothing to say",
    )
    for block in blocks:
        require(
            isinstance(block, Prose | Table | Figure),
            f"{type(block).__name__} is no Prose, Table or Figure",
        )
        _require_block(block)


def _require_block(block: Block) -> None:
    if isinstance(block, Prose):
        require(bool(block.text.strip()), "a Prose without text")
        require(block.kind in KINDS, f"Prose kind {block.kind!r}; one of {', '.join(KINDS)}")
        return
    require(bool(block.caption.strip()), f"{block.name!r} has no caption; say what is to be seen")
    if isinstance(block, Table):
        unknown = set(block.formats or {}) - set(block.frame.columns)
        require(not unknown, f"{block.name!r} has formats for no column: {sorted(unknown)}")
    else:
        require(bool(block.alt.strip()), f"figure {block.name!r} has no alternative text")


def names_are_unique(case: Case) -> None:
    """Tables and figures have names of their own, which become file names."""
    names = [block.name for block in case.build() if isinstance(block, Table | Figure)]
    double = sorted({name for name in names if names.count(name) > 1})
    require(not double, f"two blocks are called {', '.join(double)}; name them apart")
    bad = [name for name in names if not name or set(name) & set('/\\:*?"<>| \n')]
    require(not bad, f"{bad} cannot be file names; use letters, digits and dashes")


def results_are_untouched(case: Case) -> None:
    """Building changes neither the results nor a global generator."""
    results = case.results
    before = {name: getattr(results, name).copy() for name in ("cells", "metrics", "curves")}
    spec = copy.deepcopy(dict(results.spec))
    with no_global_draws("it", "use a seeded one"):
        case.build()
    for name, frame in before.items():
        require(
            frame.astype(str).equals(getattr(results, name).astype(str)),
            f"results.{name} was changed; work on results.{name}.copy()",
        )
    require(spec == results.spec, "results.spec was changed")


def building_twice_gives_the_same(case: Case) -> None:
    """The same results give the same prose and tables."""

    def told(block: Block) -> str:
        if isinstance(block, Table):
            return block.frame.to_csv()
        return block.text if isinstance(block, Prose) else f"{block.name} {block.caption}"

    first, second = twice(lambda: [told(block) for block in case.build()])
    require(first == second, "two builds differ; use neither the time nor unseeded draws")


CHECKS = checks_in(vars(), _cases)
