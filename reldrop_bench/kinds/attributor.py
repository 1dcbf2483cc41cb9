"""An attribution method, and how it is run without leaving a trace on the model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.labels import LabelError, class_labels
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Count, Plugin
from reldrop_bench.statistics.wording import counted

DEFAULT_RELEVANCE = "lrp-epsilon-plus-flat"
"""The attribution method where nobody chose one."""


class Attributor(Plugin, ABC):
    """A way to explain a logit; a plugin in an `attributors/` folder."""

    from_training: ClassVar[bool] = False
    """Whether training takes maps from its own backward passes instead of asking for any."""
    any_network: ClassVar[bool] = False
    """Whether it explains every network whose logits have a gradient, whatever it is made of."""
    refresh: Count = 1
    """Epochs for which training uses a sample's map again before it is made anew."""

    @abstractmethod
    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Return the signed relevance of every pixel or point for the logit of its target.

        Parameters
        ----------
        model
            Maps inputs to logits (B, K). In evaluation mode, parameters without gradient: `explain`
            sees to both, and restores them.
        inputs
            (B, C, H, W) or (B, C, N), B >= 1; require no gradient.
        targets
            (B,) int64.
        generator
            The only source of randomness.

        Returns
        -------
        Tensor
            (B, H, W) or (B, N), float, detached; summed over channels.

        Raises
        ------
        UnexplainableError
            The method does not know what the model is made of.
        """


_REGISTRIES = [name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set)]
"""Where a module keeps its parameters, buffers, submodules and hooks."""


class RelevanceError(ValueError):
    """A relevance map that cannot be used: not finite, or of the wrong shape."""


class UnexplainableError(UserError, ValueError):
    """A network that a method does not explain, rather than explain it wrongly; the message says why."""


class NoLogitsError(UnexplainableError):
    """A network that returns no logits (B, K), so that no method knows what to explain."""


def methods_for_any_network() -> list[str]:
    """Return the names of the attribution methods that need nothing of a network but a gradient."""
    return [
        entry.name
        for entry in registry.entries("attributors")
        if getattr(entry.cls, "any_network", False)
    ]


def explain_with(
    attributor: Attributor,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """Explain the logits of `targets` and leave the model, and torch's random state, as they were.

    Parameters
    ----------
    attributor
        The method.
    model
        Maps inputs to logits (B, K), in any mode. Explained in evaluation mode and full precision.
    inputs
        (B, C, H, W) or (B, C, N); B may be 0.
    targets
        (B,) classes, of any integer type.
    generator
        The only source of randomness, and the only thing that changes.

    Returns
    -------
    Tensor
        (B, H, W) or (B, N) float32, signed, detached.

    Raises
    ------
    RelevanceError
        The method returned values that are not finite, or a wrong shape.
    UnexplainableError
        The method does not explain this model; the message names methods that do.
    LabelError
        Targets are not one class a sample.
    """

    def attribute(inputs: Tensor, targets: Tensor) -> Tensor:
        return attributor.attribute(model, inputs, targets, generator)

    return _explain(attributor.name, attribute, model, inputs, targets)


def input_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return |d target logit / d input| summed over channels; otherwise as `explain_with`."""

    def attribute(inputs: Tensor, targets: Tensor) -> Tensor:
        return logit_gradient(model, inputs, targets).abs().sum(1)

    return _explain("input gradient", attribute, model, inputs, targets)


def logit_gradient(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return d target logit / d input, of the inputs' shape, at the cost of two passes.

    No parameter gradient is computed where parameters do not require one, as within `untouched`.
    """
    inputs = inputs.detach().requires_grad_()
    logits = target_logits(model(inputs), targets)
    if not logits.requires_grad:
        raise UnexplainableError("its logits have no gradient with respect to the inputs")
    (gradient,) = torch.autograd.grad(logits.sum(), inputs)
    return gradient


def target_logits(logits: Any, targets: Tensor) -> Tensor:
    """Return the logit of each sample's target, (B, 1), of what a model returned: logits (B, K).

    Raises
    ------
    NoLogitsError
        The model returned something else.
    LabelError
        A target is no class of it.
    """
    if not isinstance(logits, Tensor):
        kind = f"{type(logits).__name__}"
        raise NoLogitsError(
            f"the model returns a {kind}, not logits (B, K): wrap it in a module that returns its logits alone"
        )
    shape = tuple(logits.shape)
    if logits.ndim != 2 or len(logits) != len(targets):
        raise NoLogitsError(
            f"the model returns a tensor of shape {shape} for {counted(len(targets), 'input')}, not logits (B, K): "
            "wrap it in a module that returns a value a class, as `.mean((2, 3))` does of dense outputs"
        )
    if shape[1] == 1 and bool((targets != 0).any()):
        raise NoLogitsError(
            "the model returns a single logit, which has no class but 0: wrap it in a module that "
            "returns torch.cat([-logit, logit], 1)"
        )
    return logits.gather(1, class_labels(targets, len(logits), shape[1])[:, None])


def loss_relevance(inputs: Tensor, gradient: Tensor) -> Tensor:
    """Return what speaks for the label where `gradient` is the loss's: (B, H, W) or (B, N)."""
    return -(gradient * inputs.detach()).sum(1)


def _explain(
    method: str,
    attribute: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
) -> Tensor:
    shape = (len(inputs), *inputs.shape[2:])
    try:
        targets = class_labels(targets, len(inputs))
    except LabelError as error:
        raise LabelError(f"{method}: {error}") from None
    if len(inputs) == 0:
        return inputs.new_zeros(shape, dtype=torch.float32)
    with ExitStack() as stack:
        # Callers evaluate without gradients, or train in mixed precision: neither may come in.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(inputs.device.type, enabled=False))
        stack.enter_context(untouched(model))
        inputs = inputs.clone() if inputs.is_inference() else inputs.detach()
        targets = targets.clone() if targets.is_inference() else targets
        try:
            relevance = attribute(inputs, targets.to(inputs.device)).detach().float()
        except UnexplainableError as error:
            raise type(error)(f"{method}: {error}{_way_out(error, method)}") from error
    if relevance.shape != shape:
        raise RelevanceError(
            f"{method}: relevance of shape {tuple(relevance.shape)} instead of {shape}"
        )
    broken = ~torch.isfinite(relevance.flatten(1)).all(1)
    if broken.any():
        raise RelevanceError(
            f"{method}: the relevance of {counted(int(broken.sum()), 'sample', total=len(relevance))} is not "
            "finite; look for weights or inputs that are not, or try a larger epsilon"
        )
    return relevance


def _way_out(error: UnexplainableError, method: str) -> str:
    others = [each for each in methods_for_any_network() if each != method]
    if isinstance(error, NoLogitsError) or not others:  # no method gets along without logits
        return ""
    more = f" (or {', '.join(others[1:])})" if others[1:] else ""
    return f"; what explains any network: --relevance {others[0]}{more}"


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Hold the model in evaluation mode with frozen parameters, and restore it behind the block.

    Restored, also after an error: what every module holds (mode, hooks, attributes, submodules,
    parameters and buffers, as objects), the storage that every parameter points to, its `.grad` and
    `requires_grad`, the values of buffers, and torch's global random state. Nothing is copied but
    the buffers: only parameters that are overwritten *in place* would stay changed.
    """
    modules = [
        (module, dict(vars(module)), [vars(module)[name].copy() for name in _REGISTRIES])
        for module in model.modules()
    ]
    parameters = [(each, each.data, each.requires_grad, each.grad) for each in model.parameters()]
    buffers = [(each, each.data, each.detach().clone()) for each in model.buffers()]
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=list(devices)):
        try:
            model.eval()
            for parameter, *_ in parameters:
                parameter.requires_grad_(False)
                parameter.grad = None
            yield
        finally:
            for module, attributes, registries in modules:
                for name in vars(module).keys() - attributes.keys():
                    del vars(module)[name]
                vars(module).update(attributes)
                for name, content in zip(_REGISTRIES, registries, strict=True):
                    attributes[name].clear()
                    attributes[name].update(content)
            for parameter, data, requires_grad, gradient in parameters:
                parameter.data = data
                parameter.requires_grad_(requires_grad)
                parameter.grad = gradient
            for buffer, data, values in buffers:
                # Through `.data`, whose version counter is its own: a graph that the caller still
                # has to go back through stays valid.
                buffer.data = data
                data.copy_(values)
