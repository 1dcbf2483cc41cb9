"""A regularizer in a training loop of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts
from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.attributor import (
    DEFAULT_RELEVANCE,
    Attributor,
    target_logits,
    untouched,
)
from reldrop_bench.kinds.labels import check_targets
from reldrop_bench.kinds.regularizer import Regularizer, compute_penalty
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins import registry


class Attached:
    """A regularizer with the model that it regularizes: `Regularizer.attach` makes one.

    `loss` is a training step up to the backward pass. Where a loop has a form of its own, `transform`
    and `penalty` are its parts: the penalty is that of the batch that was transformed last. While
    `model` is in evaluation mode neither does anything.
    """

    model: nn.Module
    """The model to train, with what the regularizer builds in."""
    progress: float
    """How much of the training is done, 0 to 1: for methods whose strength grows. Set it in the loop."""

    def __init__(
        self,
        regularizer: Regularizer,
        model: nn.Module,
        *,
        attributor: str | Attributor | None = None,
        classes: int | None = None,
        fill: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        chosen = DEFAULT_RELEVANCE if attributor is None else attributor
        method: Attributor = (
            registry.create("attributors", chosen) if isinstance(chosen, str) else chosen
        )
        if not isinstance(method, Attributor):
            raise UserError(
                f"attributor = {one_line(repr(method), 80)} is not allowed: give a name, such as "
                f"{DEFAULT_RELEVANCE!r}, or an instance"
            )
        if generator is not None and generator.device.type != "cpu":
            raise UserError(f"the generator is on {generator.device}; give one of the CPU")
        if method.from_training and regularizer.uses_relevance:
            raise UserError(
                f"{method.name} takes maps of former epochs, which a loop of one's own does not keep; "
                f"choose another method, such as {DEFAULT_RELEVANCE}"
            )
        self._attributor = method
        self._regularizer = regularizer
        self.model = regularizer.wrap(model)
        self.progress = 0.0
        self._classes = classes
        self._fill = fill
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self._generator = generator
        self._streams: dict[str, torch.Generator] = {}
        self._last: tuple[Batch, Step] | None = None

    def loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        masks: Tensor | None = None,
        criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> Tensor:
        """Return the loss of a batch, a scalar to go backward from; as `transform` for the rest.

        `criterion` takes logits (B, K) and targets, (B,) int64 or (B, K) shares of classes.
        """
        inputs, targets = self.transform(inputs, targets, masks=masks)
        logits = self.model(inputs)
        return criterion(logits, targets) + self.penalty(logits)

    def transform(
        self, inputs: Tensor, targets: Tensor, *, masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets to train on, of the same shapes, on the same device.

        Parameters
        ----------
        inputs
            (B, C, H, W) or (B, C, N), normalised so that `fill` is the mean.
        targets
            (B,) classes of any integer type, or (B, K) shares of classes. Methods that mix return
            shares.
        masks
            (B, H, W) or (B, N) uint8, index of the part, 0 = background; for methods that require them.

        Raises
        ------
        UserError
            The method is not for such inputs, or requires masks.
        """
        self._last = None
        if not self.model.training or len(inputs) == 0:
            return inputs, targets
        facts = self._facts(inputs, masks is not None)
        targets = check_targets(targets, len(inputs), len(facts.classes))
        step = Step(
            self.model,
            facts,
            self._generator,
            self._attributor,
            progress=self.progress,
            streams=self._streams,
        )
        batch = self._regularizer.transform(Batch(inputs, targets, masks), step)
        if self._regularizer.needs_input_gradient:
            batch = batch.differentiable()
        self._last = batch, step
        return batch.inputs, batch.targets

    def penalty(self, logits: Tensor) -> Tensor:
        """Return what to add to the loss, a scalar; 0 where there is nothing to add.

        logits (B, K): the model's, of what `transform` returned last.

        Raises
        ------
        UserError
            No batch was transformed before, or one of another size.
        """
        nothing = logits.new_zeros(())
        if not self._regularizer.has_penalty or not self.model.training or len(logits) == 0:
            return nothing
        if self._last is None or len(self._last[0]) != len(logits):
            raise UserError(
                f"{self._regularizer.name}: penalty() belongs to the batch that was given to transform() "
                "just before; transform each batch first"
            )
        penalty = compute_penalty(self._regularizer, logits, *self._last)
        return nothing if penalty is None else penalty

    def _facts(self, inputs: Tensor, masks: bool) -> Facts:
        """Return the facts of a batch."""
        if inputs.ndim not in (3, 4):
            raise UserError(
                f"inputs of shape {tuple(inputs.shape)} are neither images (B, C, H, W) nor clouds (B, C, N)"
            )
        method, channels = self._regularizer, inputs.shape[1]
        facts = Facts(
            modality="image" if inputs.ndim == 4 else "cloud",
            classes=(),
            input_shape=tuple(inputs.shape[1:]),
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            fill=self._fill,
            masks=masks,
        )
        if facts.modality not in method.modalities:
            raise UserError(
                f"{method.name} is for {' and '.join(sorted(method.modalities))} inputs, not {facts.modality}"
            )
        if missing := method.requires - facts.offers:
            hint = "; give them by masks=…" if missing == {"masks"} else ""
            raise UserError(f"{method.name} requires {' and '.join(sorted(missing))}{hint}")
        if self._classes is None:
            with untouched(self.model), torch.no_grad():
                logits = self.model(inputs[:1])
            target_logits(logits, torch.zeros(1, dtype=torch.int64, device=inputs.device))
            self._classes = logits.shape[1]
        return replace(facts, classes=tuple(map(str, range(self._classes))))
