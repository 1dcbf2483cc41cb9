"""The public API, for type checkers and for `__init__.py`, which imports each name on first use."""

from .comparing.compare import compare
from .comparing.leaderboard.pages import leaderboard
from .comparing.merge import merge
from .data import (
    Batch,
    Facts,
    Shifts,
    Split,
    SubsetSplit,
    TensorSplit,
    TrainingSplits,
    stratified_split,
)
from .errors import UserError
from .kinds.attributor import Attributor, UnexplainableError, logit_gradient
from .kinds.content import DataFiles
from .kinds.evaluation import Context, Evaluation
from .kinds.executor import Executor, Finished, Job, Queue, Resources
from .kinds.model import Model
from .kinds.recipe import Recipe
from .kinds.record import Metric, Record
from .kinds.regularizer import Regularizer
from .kinds.section import Block, Figure, Prose, ReportSection, Table
from .kinds.step import Step
from .kinds.task import Origin, Task
from .matrix.spec import BenchmarkSpec
from .occlusion import shape
from .occlusion.fill import CloudFill, ImageFill
from .occlusion.hide import hide
from .occlusion.regularizer import GuidedOcclusion, OccludingRegularizer
from .plugins.base import Count, NonNegative, Positive, Probability
from .reporting import Report
from .reporting.style import Style
from .results import Results
from .running.evaluate import evaluate
from .running.runner import run
from .seeding import numpy_generator, torch_generator
from .standalone import explain, regularizer, task
from .store.load import load_results

__all__ = [
    "Attributor", "Batch", "BenchmarkSpec", "Block", "CloudFill", "Context", "Count",
    "DataFiles", "Evaluation", "Executor", "Facts", "Figure", "Finished", "GuidedOcclusion",
    "ImageFill", "Job", "Metric", "Model", "NonNegative", "OccludingRegularizer", "Origin", "Positive", "Probability",
    "Prose", "Queue", "Recipe", "Record", "Regularizer", "Report", "ReportSection", "Resources",
    "Results", "Shifts", "Split", "Step", "Style", "SubsetSplit", "Table", "Task",
    "TensorSplit", "TrainingSplits", "UnexplainableError", "UserError", "compare", "evaluate",
    "explain", "hide", "leaderboard", "load_results", "logit_gradient", "merge",
    "numpy_generator", "regularizer", "run", "shape", "stratified_split", "task",
    "torch_generator",
]  # fmt: skip
