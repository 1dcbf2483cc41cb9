"""The exponential moving average of a model's weights, which is evaluated in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """Average of parameters and buffers after each optimizer step (Polyak and Juditsky 1992).

    With t steps done, a step keeps min(decay, (1 + t) / (10 + t)) of the average, so that the first weights
    have no weight of their own (as TensorFlow's ExponentialMovingAverage). What is no floating-point number, such
    as counts, is that of the last step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.steps = 0
        self.values = {name: tensor.detach().clone() for name, tensor in self._state()}

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.model.state_dict(keep_vars=True).items()

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights as they are now."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, tensor in self._state():
            if tensor.is_floating_point():
                self.values[name].lerp_(tensor.detach(), 1 - keep)
            else:
                self.values[name].copy_(tensor)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average."""
        for name, tensor in self._state():
            average = self.values[name].clone()
            self.values[name].copy_(tensor.detach())
            tensor.copy_(average)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the average in the model's place meanwhile."""
        self.swap()
        try:
            yield
        finally:
            self.swap()
