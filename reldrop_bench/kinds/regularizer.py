"""A regularizer, and what it is given at each training step."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.attributor import (
    DEFAULT_RELEVANCE,
    Attributor,
    explain_with,
    input_gradient,
    loss_relevance,
    target_logits,
    untouched,
)
from reldrop_bench.kinds.labels import check_targets
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Plugin


@dataclass
class Step:
    """What a regularizer is given at a training step.

    `generator` is a CPU generator that belongs to the regularizer: the only source of randomness it
    may use. `epoch` counts from 0; `progress` goes from 0 to 1 over training.
    """

    model: nn.Module
    facts: Facts
    generator: torch.Generator
    attributor: Attributor
    epoch: int = 0
    progress: float = 0.0
    memory: RelevanceMemory | None = None
    """Maps of training samples, where the attribution method uses them again."""
    explained: int = field(default=0, init=False)
    """How many samples were explained so far, over all steps: the cost that training records."""

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


def _facts(
    model: nn.Module, inputs: Tensor, masks: bool, classes: int | None, fill: float
) -> Facts:
    """Return the facts of a batch of one's own."""
    if inputs.ndim not in (3, 4):
        raise UserError(
            f"inputs of shape {tuple(inputs.shape)} are neither images (B, C, H, W) nor clouds (B, C, N)"
        )
    if classes is None:
        with untouched(model), torch.no_grad():
            logits = model(inputs[:1])
        target_logits(logits, torch.zeros(1, dtype=torch.int64, device=inputs.device))
        classes = logits.shape[1]
    channels = inputs.shape[1]
    return Facts(
        modality="image" if inputs.ndim == 4 else "cloud",
        classes=tuple(str(label) for label in range(classes)),
        input_shape=tuple(inputs.shape[1:]),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        fill=fill,
        masks=masks,
    )


class Regularizer(Plugin):
    """A way to train better, with three optional hooks.

    `transform` changes what the model sees, `penalty` adds to the loss, `wrap` changes the model
    before training. None of them acts in evaluation.
    """

    requires: ClassVar[Set[str]] = frozenset()
    """Facts that a task must offer: "masks", "cues"."""
    off: ClassVar[Mapping[str, Any] | None] = None
    """Parameter values at which it does nothing, for the contract's check that this is so."""

    @property
    def uses_relevance(self) -> bool:
        """Whether this instance asks for `step.relevance`, so that the method belongs to its identity."""
        return False

    def apply(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        masks: Tensor | None = None,
        classes: int | None = None,
        fill: float = 0.0,
        attributor: Attributor | None = None,
        generator: torch.Generator | None = None,
        progress: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Transform a batch in one's own training loop: inputs and targets in, the same out.

        inputs (B, C, H, W) or (B, C, N), normalised so that `fill` is the mean; targets (B,) classes
        of any integer type, or (B, K) shares of classes. `classes` is taken from the model's output
        when it is not given. `attributor` is
        lrp-epsilon-plus-flat by default. Without a `generator` the draw is seeded from torch's
        global one, so that ``torch.manual_seed`` makes a loop repeatable. `progress` in training
        goes from 0 to 1.
        """
        facts = _facts(model, inputs, masks is not None, classes, fill)
        if facts.modality not in self.modalities:
            raise UserError(
                f"{self.name} is for {' and '.join(self.modalities)} inputs, not {facts.modality}"
            )
        targets = check_targets(targets, len(inputs), len(facts.classes))
        if generator is None:
            seed = int(torch.randint(2**62, ()))
            generator = torch.Generator().manual_seed(seed)
        if attributor is None:
            attributor = registry.create("attributors", DEFAULT_RELEVANCE)
        step = Step(model, facts, generator, attributor, progress=progress)
        batch = self.transform(Batch(inputs, targets, masks), step)
        return batch.inputs, batch.targets

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model to train: `model` itself, or `model` with something built in."""
        return model

    def transform(self, batch: Batch, step: Step) -> Batch:
        """Return the batch to train on. Never changes the tensors of `batch` in place."""
        return batch

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        """Return a scalar to add to the loss of `batch` (as transformed), or None."""
        return None
