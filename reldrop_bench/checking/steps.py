"""One step of a regularizer on a tiny network: what its checks look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property

from torch import nn

from reldrop_bench.checking.rules import example, require
from reldrop_bench.checking.tiny import ObservedStep, tiny_batch, tiny_model, tiny_step
from reldrop_bench.data import Batch
from reldrop_bench.kinds.regularizer import Regularizer

DRAWS = ((0, 0.0), (1, 0.5), (2, 1.0))
"""Seeds of the regularizer's stream, with the progress of training at which each is tried."""


@dataclasses.dataclass
class Case:
    """One step on a tiny model: the batch before and after `transform`."""

    modality: str
    regularizer: Regularizer
    model: nn.Module
    step: ObservedStep
    before: Batch

    @cached_property
    def after(self) -> Batch:
        """What `transform` makes of the batch; it is called once, where this is first read."""
        return self.regularizer.transform(self.before, self.step)

    def require(self, kept: bool, message: str) -> None:
        """Raise `Broken` unless the rule is kept; the message names the modality."""
        require(kept, f"{self.modality}: {message}")


def step_case(
    regularizer: Regularizer, modality: str, draw: tuple[int, float], count: int = 8
) -> Case:
    """Return one step with `count` samples; `draw` is an element of DRAWS."""
    model = regularizer.wrap(tiny_model(modality))
    step = tiny_step(model, modality, *draw)
    return Case(modality, regularizer, model, step, tiny_batch(modality, count))


def cases(cls: type[Regularizer], count: int = 8) -> Iterator[Case]:
    """Yield steps in every modality that the class claims, for every element of DRAWS."""
    regularizer = example(cls)
    for modality in sorted(cls.modalities):
        for draw in DRAWS:
            yield step_case(regularizer, modality, draw, count)
