"""Optimizer and learning rate of a recipe."""

from __future__ import annotations

import math

import torch
from torch import nn

from reldrop_bench.kinds.recipe import Recipe


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over all parameters of the model."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=rate,
            momentum=recipe.momentum,
            weight_decay=decay,
            nesterov=recipe.nesterov,
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)


def learning_rate(recipe: Recipe, progress: float, epoch: int) -> float:
    """Return the learning rate at `progress` (0 to 1) of training, in `epoch` (from 0).

    It rises linearly from 0 over `warmup_epochs`; cosine goes over what is left.
    """
    if recipe.warmup_epochs:
        warmup = recipe.warmup_epochs / recipe.epochs
        if progress < warmup:
            return recipe.learning_rate * progress / warmup
        if recipe.schedule == "cosine":
            progress = (progress - warmup) / (1 - warmup)
    if recipe.schedule == "cosine":
        low, high = recipe.final_learning_rate, recipe.learning_rate
        return low + (high - low) * (1 + math.cos(math.pi * progress)) / 2
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.decay ** (epoch // recipe.decay_epochs)
    return recipe.learning_rate
