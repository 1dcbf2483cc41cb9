"""One step of a regularizer on a tiny network: what its checks look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor, nn

from reldrop_bench.checking.rules import Broken, example
from reldrop_bench.checking.tiny import TinyAttributor, tiny_batch, tiny_facts, tiny_model
from reldrop_bench.data import Batch
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.regularizer import Regularizer, compute_penalty
from reldrop_bench.kinds.step import Step
from reldrop_bench.seeding import torch_generator


class ObservedStep(Step):
    """A step that notes whether the benchmark's relevance was asked for."""

    asked: bool = False

    def relevance(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.asked = True
        return super().relevance(inputs, targets)


DRAWS = ((0, 0.0), (1, 0.5), (2, 1.0))
"""Seeds of the regularizer's stream, with the progress of training at which each is tried."""


@dataclass
class Case:
    """One step on a tiny model: the batch before and after `transform`."""

    where: str
    """The modality."""
    regularizer: Regularizer
    draw: tuple[int, float]
    """An element of DRAWS."""
    count: int = 8
    """Samples of the batch."""
    model: nn.Module = field(init=False)
    step: ObservedStep = field(init=False)
    before: Batch = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.regularizer.wrap(tiny_model(self.where))
        seed, progress = self.draw
        generator = torch_generator("contract", "regularizer", seed)
        facts, attributor, epoch = tiny_facts(self.where), TinyAttributor(), int(progress * 10)
        self.step = ObservedStep(self.model, facts, generator, attributor, epoch, progress)
        self.before = tiny_batch(self.where, self.count)

    @cached_property
    def after(self) -> Batch:
        """What `transform` makes of the batch; it is called once, where this is first read."""
        return self.regularizer.transform(self.before, self.step)

    @cached_property
    def seen(self) -> Batch:
        """What the network is given: `after`, with inputs that have a gradient where that is asked for."""
        return self.after.differentiable() if self.regularizer.needs_input_gradient else self.after

    @property
    def has_penalty(self) -> bool:
        """Whether the class adds to the loss."""
        return self.regularizer.has_penalty

    def logits(self) -> Tensor:
        return self.model(self.seen.inputs)

    def penalty(self, logits: Tensor) -> Tensor | None:
        try:
            return compute_penalty(self.regularizer, logits, self.seen, self.step)
        except UserError as error:
            raise Broken(str(error)) from error

    def afresh(self, count: int = 8) -> Case:
        """Return the same step, not yet made, of so many samples."""
        return replace(self, count=count)


def cases(cls: type[Regularizer]) -> Iterator[Case]:
    """Yield steps in every modality that the class claims, for every element of DRAWS."""
    regularizer = example(cls)
    for modality in sorted(cls.modalities):
        for draw in DRAWS:
            yield Case(modality, regularizer, draw)
