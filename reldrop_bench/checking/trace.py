"""What a model holds, noted before and compared after: a hook may leave no trace on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import require

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_BUFFERS = "the batch-norm buffers: run the model in eval mode and put the mode back"


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a == b


def _equal_all(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)


@dataclass(frozen=True)
class ModelTrace:
    """The state of a model at one moment."""

    state: Mapping[str, Mapping[str, Any]]
    """What there is by name, under what is told where it differs: what it is and how to mend it."""

    @classmethod
    def of(cls, model: nn.Module) -> ModelTrace:
        """Note the state of a model."""
        modules, parameters = dict(model.named_modules()), dict(model.named_parameters())

        def each(things: Mapping[str, Any], fact: Callable[[Any], Any]) -> dict[str, Any]:
            return {name: fact(thing) for name, thing in things.items()}

        def hooks(module: nn.Module) -> list[int]:
            return [len(getattr(module, kind)) for kind in _HOOKS]

        training = "the train/eval mode: call model.train(before) in a finally"
        gradients = "the parameters' .grad: use torch.autograd.grad(value, inputs), not .backward()"
        enabled = "torch.is_grad_enabled(): use torch.no_grad() as a context manager"
        state = {
            training: each(modules, lambda module: module.training),
            "the parameters: compute on copies": each(parameters, _copy),
            _BUFFERS: each(dict(model.named_buffers()), _copy),
            gradients: each(parameters, lambda parameter: _copy(parameter.grad)),
            "requires_grad of parameters: put it back in a finally": each(
                parameters, lambda parameter: parameter.requires_grad
            ),
            "the hooks: call handle.remove() in a finally": each(modules, hooks),
            enabled: {"": torch.is_grad_enabled()},
        }
        return cls(state)

    def changes(self, model: nn.Module, buffers: bool = True) -> list[str]:
        """Return what differs by now, each with how to mend it; `buffers`: whether they count."""
        now = ModelTrace.of(model).state
        return [
            told
            for told, before in self.state.items()
            if (buffers or told != _BUFFERS) and not _equal_all(before, now[told])
        ]


@contextmanager
def unchanged(model: nn.Module, who: str, buffers: bool = True) -> Iterator[None]:
    """Raise `Broken` where the block leaves a trace on the model: `who` does, and how to mend it."""
    trace = ModelTrace.of(model)
    yield
    changed = trace.changes(model, buffers)
    require(not changed, f"{who} changes {'; '.join(changed)}")
