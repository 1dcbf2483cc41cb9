"""Plugins by name, for use in one's own code."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from reldrop_bench import registry
from reldrop_bench.regularization import Regularizer
from reldrop_bench.relevance.default import DEFAULT_RELEVANCE
from reldrop_bench.relevance.explain import explain_with
from reldrop_bench.seeding import torch_generator
from reldrop_bench.tasks import Task


def regularizer(name: str, **parameters: Any) -> Regularizer:
    """Return a regularizer by name, ready for `apply` in one's own training loop.

    Raises
    ------
    UserError
        No such regularizer or parameter, or a forbidden value.
    """
    found: Regularizer = registry.create("regularizers", name, parameters)
    return found


def task(name: str, **parameters: Any) -> Task:
    """Return a task by name.

    Raises
    ------
    UserError
        No such task or parameter, or a forbidden value.
    """
    found: Task = registry.create("tasks", name, parameters)
    return found


def explain(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    method: str = DEFAULT_RELEVANCE,
    seed: int = 0,
    **parameters: Any,
) -> Tensor:
    """Explain the logits of `targets` (B,) for inputs (B, C, H, W) or (B, C, N).

    Returns (B, H, W) or (B, N), signed, summed over channels. The model's weights, gradients,
    buffers, mode and the random state are as before afterwards. `seed` matters to methods that draw.

    Raises
    ------
    UserError
        No such method or parameter.
    """
    attributor = registry.create("relevance", method, parameters)
    return explain_with(attributor, model, inputs, targets, torch_generator("explain", seed))
