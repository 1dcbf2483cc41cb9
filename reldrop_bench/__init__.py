"""reldrop-bench: do explanation-guided regularizers make models better, and how sure are we?

The public API; everything is imported on first use, so that ``import reldrop_bench`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reldrop_bench.collection.comparison import compare
    from reldrop_bench.collection.merging import merge
    from reldrop_bench.collection.pages import leaderboard
    from reldrop_bench.data import Batch, Facts, TensorSplit, TrainingSplits
    from reldrop_bench.errors import UserError
    from reldrop_bench.evaluation.contract import Context, Evaluation, Metric, Record
    from reldrop_bench.extension import evaluate
    from reldrop_bench.loading import load_results
    from reldrop_bench.recipe import Recipe
    from reldrop_bench.regularization import Regularizer, Step
    from reldrop_bench.report import Report
    from reldrop_bench.results import Results
    from reldrop_bench.runner import run
    from reldrop_bench.section import Figure, Prose, ReportSection, Table
    from reldrop_bench.spec import BenchmarkSpec
    from reldrop_bench.standalone import explain, regularizer, task
    from reldrop_bench.tasks import Task

_HOMES = {
    "Batch": "data",
    "Facts": "data",
    "TensorSplit": "data",
    "TrainingSplits": "data",
    "UserError": "errors",
    "Context": "evaluation.contract",
    "Evaluation": "evaluation.contract",
    "Metric": "evaluation.contract",
    "Record": "evaluation.contract",
    "compare": "collection.comparison",
    "leaderboard": "collection.pages",
    "merge": "collection.merging",
    "load_results": "loading",
    "Recipe": "recipe",
    "Regularizer": "regularization",
    "Step": "regularization",
    "Report": "report",
    "Results": "results",
    "evaluate": "extension",
    "run": "runner",
    "Figure": "section",
    "Prose": "section",
    "ReportSection": "section",
    "Table": "section",
    "BenchmarkSpec": "spec",
    "explain": "standalone",
    "regularizer": "standalone",
    "task": "standalone",
    "Task": "tasks",
}

__all__ = [
    "Batch",
    "BenchmarkSpec",
    "Context",
    "Evaluation",
    "Facts",
    "Figure",
    "Metric",
    "Prose",
    "Recipe",
    "Record",
    "Regularizer",
    "Report",
    "ReportSection",
    "Results",
    "Step",
    "Table",
    "Task",
    "TensorSplit",
    "TrainingSplits",
    "UserError",
    "compare",
    "evaluate",
    "explain",
    "leaderboard",
    "load_results",
    "merge",
    "regularizer",
    "run",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
