"""A regularizer: what changes how a model is trained."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins.base import Plugin

if TYPE_CHECKING:
    from reldrop_bench.kinds.attached import Attached
    from reldrop_bench.kinds.attributor import Attributor


class Regularizer(Plugin):
    """A way to train better, with three optional hooks.

    `transform` changes what the model sees, `penalty` adds to the loss, `wrap` changes the model
    before training. None of them acts in evaluation.
    """

    requires: ClassVar[Set[str]] = frozenset()
    """Facts that a task must offer: "masks" (of the object), "cues", "shortcut"."""
    off: ClassVar[Mapping[str, Any] | None] = None
    """Parameter values at which it does nothing, for the contract's check that this is so."""
    needs_input_gradient: ClassVar[bool] = False
    """Whether `penalty` differentiates by `batch.inputs`: they then require a gradient in it."""

    trains_with: ClassVar[Set[str]] = frozenset()
    """Kinds of shift that training itself shows to the model, such as "occlusion" or "dropped": what is
    concluded about shifts leaves them out."""

    @property
    def uses_relevance(self) -> bool:
        """Whether this instance asks for relevance, so that the method belongs to its identity."""
        return False

    @property
    def guided(self) -> bool:
        """Whether what the model relies on says what it does, so that it needs a control."""
        return self.uses_relevance

    @property
    def controls(self) -> Mapping[str, Mapping[str, Any]]:
        """By rung, parameter values that make a control of it: all alike but the guidance.

        The first rung shares the least with it; see `controls:` of a spec.
        """
        return {}

    @property
    def has_penalty(self) -> bool:
        """Whether its class adds to the loss."""
        return type(self).penalty is not Regularizer.penalty

    def attach(
        self,
        model: nn.Module,
        *,
        attributor: str | Attributor | None = None,
        classes: int | None = None,
        fill: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Attached:
        """Take the regularizer into a training loop of one's own, with all its hooks.

        Parameters
        ----------
        model
            Maps inputs (B, C, H, W) or (B, C, N) to logits (B, K). The one to train afterwards is the
            `model` of what is returned: attach first, then make the optimizer.
        attributor
            The attribution method that guides, by name or as an instance; lrp-epsilon-plus-flat by
            default. Each step explains anew: maps of former epochs are not kept.
        classes
            K; taken from the model's output where it is not given.
        fill
            What hidden elements become where a method fills with the mean: 0 in normalised inputs.
        generator
            A CPU generator, the only source of randomness. By default one that is seeded from torch's
            global generator, so that ``torch.manual_seed`` makes a loop repeatable.

        Raises
        ------
        UserError
            No attribution method has that name, or it needs maps of former epochs.
        """
        from reldrop_bench.kinds.attached import Attached

        return Attached(
            self, model, attributor=attributor, classes=classes, fill=fill, generator=generator
        )

    def apply(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        *,
        masks: Tensor | None = None,
        classes: int | None = None,
        fill: float = 0.0,
        attributor: str | Attributor | None = None,
        generator: torch.Generator | None = None,
        progress: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Transform one batch: `attach` and `Attached.transform` in a line, for methods that do no more.

        Raises
        ------
        UserError
            The method also adds a penalty, or builds into the model: it has to be attached.
        """
        builds = type(self).wrap is not Regularizer.wrap
        if builds or self.has_penalty:
            what = "builds something into the model" if builds else "adds a penalty to the loss"
            raise UserError(
                f"{self.name} {what}, which apply() cannot do: use "
                "`training = regularizer(…).attach(model)` and `training.loss(x, y)`"
            )
        attached = self.attach(
            model, attributor=attributor, classes=classes, fill=fill, generator=generator
        )
        attached.progress = progress
        return attached.transform(inputs, targets, masks=masks)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model to train: `model` itself, or `model` with something built in."""
        return model

    def transform(self, batch: Batch, step: Step) -> Batch:
        """Return the batch to train on. Never changes the tensors of `batch` in place."""
        return batch

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        """Return a scalar to add to the loss of `batch` (as transformed), or None."""
        return None


_NO_GRADIENT = ("does not require grad", "appears to not have been used in the graph")
"""What torch says of a tensor that nothing was differentiated by."""


def compute_penalty(
    regularizer: Regularizer, logits: Tensor, batch: Batch, step: Step
) -> Tensor | None:
    """Return what `penalty` returns; where it fails for want of a gradient, say how to get one.

    Raises
    ------
    UserError
        It differentiates by inputs that have no gradient.
    """
    try:
        return regularizer.penalty(logits, batch, step)
    except RuntimeError as error:
        if not any(said in str(error) for said in _NO_GRADIENT):
            raise
        hint = "say `needs_input_gradient = True` in the class, and differentiate by batch.inputs"
        if regularizer.needs_input_gradient:
            hint = (
                "differentiate something made of `logits` by `batch.inputs` itself, not by a copy"
            )
        if not torch.is_grad_enabled():
            hint = "gradients are switched off here: call the model and penalty outside torch.no_grad()"
        raise UserError(f"penalty() of {regularizer.name}: {error}; {hint}") from error
