"""What a model holds, noted before and compared after: a hook may leave no trace on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import require

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)


@dataclass(frozen=True)
class ModelTrace:
    """The state of a model at one moment."""

    parameters: dict[str, Tensor | None]
    buffers: dict[str, Tensor | None]
    gradients: dict[str, Tensor | None]
    frozen: dict[str, bool]
    modes: dict[str, bool]
    hooks: dict[str, int]
    grad_enabled: bool

    @classmethod
    def of(cls, model: nn.Module) -> ModelTrace:
        """Note the state of a model."""
        parameters = dict(model.named_parameters())
        modules = dict(model.named_modules())
        return cls(
            parameters={name: _copy(each) for name, each in parameters.items()},
            buffers={name: _copy(each) for name, each in model.named_buffers()},
            gradients={name: _copy(each.grad) for name, each in parameters.items()},
            frozen={name: not each.requires_grad for name, each in parameters.items()},
            modes={name: each.training for name, each in modules.items()},
            hooks={
                name: sum(len(getattr(each, kind)) for kind in _HOOKS)
                for name, each in modules.items()
            },
            grad_enabled=torch.is_grad_enabled(),
        )

    def changes(self, model: nn.Module, buffers: bool = True) -> list[str]:
        """Return what differs by now, each with how to mend it; `buffers`: whether they count."""
        now = ModelTrace.of(model)

        def differ(a: dict[str, Tensor | None], b: dict[str, Tensor | None]) -> bool:
            return a.keys() != b.keys() or any(not _equal(a[name], b[name]) for name in a)

        found = {
            "the train/eval mode: call model.train(before) in a finally": self.modes != now.modes,
            "the parameters: compute on copies": differ(self.parameters, now.parameters),
            "the batch-norm buffers: run the model in eval mode and put the mode back": buffers
            and differ(self.buffers, now.buffers),
            "the parameters' .grad: use torch.autograd.grad(value, inputs), not .backward()": differ(
                self.gradients, now.gradients
            ),
            "requires_grad of parameters: put it back in a finally": self.frozen != now.frozen,
            "the hooks: call handle.remove() in a finally": self.hooks != now.hooks,
            "torch.is_grad_enabled(): use torch.no_grad() as a context manager": self.grad_enabled
            != now.grad_enabled,
        }
        return [text for text, changed in found.items() if changed]


@contextmanager
def unchanged(model: nn.Module, who: str, buffers: bool = True) -> Iterator[None]:
    """Raise `Broken` where the block leaves a trace on the model: `who` does, and how to mend it."""
    trace = ModelTrace.of(model)
    yield
    changed = trace.changes(model, buffers)
    require(not changed, f"{who} changes {'; '.join(changed)}")
