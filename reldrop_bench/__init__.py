"""reldrop-bench: do explanation-guided regularizers make models better, and how sure are we?

The public API; everything is imported on first use, so that ``import reldrop_bench`` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reldrop_bench.comparing.compare import compare
    from reldrop_bench.comparing.leaderboard.pages import leaderboard
    from reldrop_bench.comparing.merge import merge
    from reldrop_bench.data import (
        Batch,
        Facts,
        Shifts,
        Split,
        SubsetSplit,
        TensorSplit,
        TrainingSplits,
        stratified_split,
    )
    from reldrop_bench.errors import UserError
    from reldrop_bench.kinds.attributor import Attributor, UnexplainableError, logit_gradient
    from reldrop_bench.kinds.evaluation import Context, Evaluation
    from reldrop_bench.kinds.executor import Executor, Finished, Job, Queue, Resources
    from reldrop_bench.kinds.model import Model
    from reldrop_bench.kinds.recipe import Recipe
    from reldrop_bench.kinds.record import Metric, Record
    from reldrop_bench.kinds.regularizer import Regularizer, Step
    from reldrop_bench.kinds.section import Block, Figure, Prose, ReportSection, Table
    from reldrop_bench.kinds.task import Task
    from reldrop_bench.matrix.spec import BenchmarkSpec
    from reldrop_bench.occlusion import shape
    from reldrop_bench.occlusion.fill import CloudFill, ImageFill
    from reldrop_bench.occlusion.hide import hide
    from reldrop_bench.occlusion.regularizer import GuidedOcclusion, OccludingRegularizer
    from reldrop_bench.plugins.base import Count, NonNegative, Positive, Probability
    from reldrop_bench.reporting import Report
    from reldrop_bench.reporting.style import Style
    from reldrop_bench.results import Results
    from reldrop_bench.running.evaluate import evaluate
    from reldrop_bench.running.runner import run
    from reldrop_bench.seeding import numpy_generator, torch_generator
    from reldrop_bench.standalone import explain, regularizer, task
    from reldrop_bench.store.load import load_results

_NAMES = {
    "comparing.compare": "compare",
    "comparing.leaderboard.pages": "leaderboard",
    "comparing.merge": "merge",
    "data": "Batch Facts Shifts Split SubsetSplit TensorSplit TrainingSplits stratified_split",
    "errors": "UserError",
    "kinds.attributor": "Attributor UnexplainableError logit_gradient",
    "kinds.evaluation": "Context Evaluation",
    "kinds.executor": "Executor Finished Job Queue Resources",
    "kinds.model": "Model",
    "kinds.record": "Metric Record",
    "kinds.regularizer": "Regularizer Step",
    "kinds.section": "Block Figure Prose ReportSection Table",
    "kinds.task": "Task",
    "matrix.spec": "BenchmarkSpec",
    "occlusion": "shape",
    "occlusion.fill": "CloudFill ImageFill",
    "occlusion.hide": "hide",
    "occlusion.regularizer": "GuidedOcclusion OccludingRegularizer",
    "plugins.base": "Count NonNegative Positive Probability",
    "kinds.recipe": "Recipe",
    "reporting": "Report",
    "reporting.style": "Style",
    "results": "Results",
    "running.evaluate": "evaluate",
    "running.runner": "run",
    "seeding": "numpy_generator torch_generator",
    "standalone": "explain regularizer task",
    "store.load": "load_results",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "Attributor", "Batch", "BenchmarkSpec", "Block", "CloudFill", "Context", "Count",
    "Evaluation", "Executor", "Facts", "Figure", "Finished", "GuidedOcclusion", "ImageFill",
    "Job", "Metric", "Model", "NonNegative", "OccludingRegularizer", "Positive", "Probability",
    "Prose", "Queue", "Recipe", "Record", "Regularizer", "Report", "ReportSection", "Resources",
    "Results", "Shifts", "Split", "Step", "Style", "SubsetSplit", "Table", "Task",
    "TensorSplit", "TrainingSplits", "UnexplainableError", "UserError", "compare", "evaluate",
    "explain", "hide", "leaderboard", "load_results", "logit_gradient", "merge", "numpy_generator", "regularizer",
    "run", "shape", "stratified_split", "task", "torch_generator",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
