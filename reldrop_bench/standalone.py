"""Plugins by name, for use in one's own code."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.attributor import DEFAULT_RELEVANCE, explain_with
from reldrop_bench.kinds.labels import class_labels
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins import registry
from reldrop_bench.seeding import torch_generator

PluginFolders = Sequence[str | Path]


def regularizer(name: str, /, *, plugins: PluginFolders = (), **parameters: Any) -> Regularizer:
    """Return a regularizer by name; `attach` takes it into a training loop of one's own.

    `plugins` are folders to look into besides, as ``--plugins`` has them; all else are parameters.

    Raises
    ------
    UserError
        No such regularizer, parameter or folder, or a forbidden value.
    """
    registry.add_folders(plugins)
    found: Regularizer = registry.create("regularizers", name, parameters)
    return found


def task(name: str, /, *, plugins: PluginFolders = (), **parameters: Any) -> Task:
    """Return a task by name; `plugins` and what is raised as for `regularizer`."""
    registry.add_folders(plugins)
    found: Task = registry.create("tasks", name, parameters)
    return found


def explain(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    method: str = DEFAULT_RELEVANCE,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    plugins: PluginFolders = (),
    **parameters: Any,
) -> Tensor:
    """Explain the logits of `targets` (B,) for inputs (B, C, H, W) or (B, C, N).

    Returns (B, H, W) or (B, N), signed, summed over channels. The model's weights, gradients,
    buffers, mode and the random state are as before afterwards. `seed` matters to methods that draw.
    With a `batch_size` that many are explained at a time, each on the model's device, so that a
    whole test set takes no more memory than one batch; `progress` is called after each with how
    many are done and how many there are. `plugins` are folders to look into for the method; further
    keywords are the method's parameters.

    Raises
    ------
    UserError
        No such method or parameter, or targets that are not a class each.
    UnexplainableError
        The method does not explain this model; the message says why, and what does.
    """
    registry.add_folders(plugins)
    attributor = registry.create("attributors", method, parameters)
    targets = class_labels(targets, len(inputs))
    generator = torch_generator("explain", seed)
    if batch_size is None:
        return explain_with(attributor, model, inputs, targets, generator)
    if batch_size < 1:
        raise UserError(f"batch_size = {batch_size} is not allowed: it has to be 1 or more")
    device = next((each.device for each in model.parameters()), inputs.device)
    maps = inputs.new_zeros((len(inputs), *inputs.shape[2:]), dtype=torch.float32)
    for start in range(0, len(inputs), batch_size):
        part = slice(start, start + batch_size)
        maps[part] = explain_with(
            attributor, model, inputs[part].to(device), targets[part], generator
        )
        progress(min(start + batch_size, len(inputs)), len(inputs))
    return maps
