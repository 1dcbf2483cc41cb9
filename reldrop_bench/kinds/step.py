"""What a regularizer is given at each training step."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts
from reldrop_bench.kinds.attributor import (
    Attributor,
    explain_with,
    input_gradient,
    loss_relevance,
)
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.seeding import torch_generator


@dataclass
class Step:
    """What a regularizer is given at a training step.

    `generator` is a CPU generator that belongs to the regularizer; it and the streams that `stream`
    makes of it are the only sources of randomness it may use. `epoch` counts from 0; `progress` goes
    from 0 to 1 over training.
    """

    model: nn.Module
    facts: Facts
    generator: torch.Generator
    attributor: Attributor
    epoch: int = 0
    progress: float = 0.0
    memory: RelevanceMemory | None = None
    """Maps of training samples, where the attribution method uses them again."""
    streams: dict[str, torch.Generator] = field(default_factory=dict)
    """Those that `stream` has made so far."""
    explained: int = field(default=0, init=False)
    """How many samples were explained so far, over all steps: the cost that training records."""

    def stream(self, name: str) -> torch.Generator:
        """Return the CPU generator of a stream of its own, which goes on from step to step.

        What is drawn from one leaves the others as they are: a guided method and its control, which
        explain and place otherwise, draw the same samples and shapes from the same streams.
        """
        if name not in self.streams:
            self.streams[name] = torch_generator(self.generator.initial_seed(), name)
        return self.streams[name]

    def relevance(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Explain the logits of `targets` (b,) with the benchmark's attribution method.

        Give it the samples that you need and no more: it costs about a forward and a backward pass.
        The model's mode, gradients, buffers and random state are as before afterwards.
        Returns (b, H, W) or (b, N), signed, detached.
        """
        self.explained += len(inputs)
        return explain_with(self.attributor, self.model, inputs, targets, self.generator)

    def relevance_of(self, batch: Batch, rows: Tensor) -> Tensor:
        """Return the relevance of the labels of the samples `rows` (b,) of a batch.

        As `relevance`, but maps of former epochs are used where the attribution method allows it.
        """
        if self.memory is None or batch.samples is None:
            return self.relevance(batch.inputs[rows], batch.labels[rows])
        memory, samples = self.memory, batch.samples[rows]
        places = None if batch.places is None else batch.places[rows]
        age = memory.age(samples, self.epoch)
        if self.attributor.from_training:
            maps, unknown = memory.recall(samples, places), age < 0
            noise = torch.rand(maps.shape, generator=self.generator).to(maps)
            return torch.where(unknown.view(-1, *[1] * (maps.ndim - 1)), noise, maps)
        stale = ((age < 0) | (age >= self.attributor.refresh)).nonzero().squeeze(1)
        if len(stale):
            maps = self.relevance(batch.inputs[rows[stale]], batch.labels[rows[stale]])
            stale_places = None if places is None else places[stale]
            memory.store(samples[stale], stale_places, maps, self.epoch)
        return memory.recall(samples, places)

    def learn(self, batch: Batch) -> None:
        """Keep what the backward pass through a batch tells of its inputs; they have a gradient."""
        gradient = batch.inputs.grad
        if self.memory is None or batch.samples is None or gradient is None:
            return
        maps = loss_relevance(batch.inputs, gradient)
        self.memory.store(batch.samples, batch.places, maps, self.epoch)

    def gradient(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return |d logit / d input| summed over channels: (b, H, W) or (b, N)."""
        self.explained += len(inputs)
        return input_gradient(self.model, inputs, targets)
