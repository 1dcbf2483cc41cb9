"""Evaluations that break their contract are caught, each with advice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from reldrop_bench.data import Facts
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Metric, Record

Verdicts = Callable[[str, type[Any]], dict[str, str]]


class BadEvaluation(Evaluation):
    """It writes what it did not declare, NaN, and draws from the global generator."""

    name = "bad"
    metrics = {"known": Metric("up", "what is known")}
    requires = {"sound"}

    def applies_to(self, facts: Facts) -> bool:
        return True

    def evaluate(self, context: Context, record: Record) -> None:
        context.model.train()
        record.metric("test", "known", float("nan"))
        record.metric("test", "unknown", torch.rand(()).item())


def test_a_bad_evaluation_is_caught(failures: Verdicts) -> None:
    found = failures("evaluations", BadEvaluation)
    assert "'higher'" in found["metrics_are_described"]
    assert "masks" in found["requirements_are_known"]
    assert "known" in found["values_are_finite"]
    assert "unknown" in found["metrics_are_declared"]
    assert "train/eval mode" in found["model_and_random_state_are_untouched"]
    assert "context.generator" in found["measuring_twice_gives_the_same"]
