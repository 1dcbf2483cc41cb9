"""The same methods by zennit's rules: the reference for our own.

The graph is the same, so that both have one idea of what a network computes and of what is supported;
what differs is who computes a rule. Each operation becomes a module of its own that carries zennit's
hook for it. Nothing is attached to the network. Imported late: zennit takes seconds.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zennit.core import Hook
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Flat, Gamma, Norm, Pass, ZBox, ZPlus

from . import rules
from .graph import Network
from .propagation import Propagation, Rules, propagate
from .rules import LinearLayer, Rule


def propagate_by_zennit(wanted: Rules, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Propagate as `propagation.propagate` does, by zennit's rules, and refuse what that refuses."""
    return propagate(wanted, model, inputs, targets, _ByZennit)


class _Function(nn.Module):
    """Something to compute, as a module."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Any:
        return self.function(inputs)


class _Layer(nn.Module):
    """A layer that holds its weights as parameters, which zennit's rules change and put back."""

    def __init__(self, layer: LinearLayer) -> None:
        super().__init__()
        weight, bias = layer.weights()
        self.function = layer.run
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs, self.weight, self.bias)


class _ByZennit(Propagation):
    def __init__(self, model: nn.Module, network: Network, wanted: Rules) -> None:
        super().__init__(model, network, wanted)
        self.hooked: list[tuple[nn.Module, Hook]] = []
        """Kept until the way back, since zennit's hooks know each other by weak references alone."""

    def apply(self, inputs: Tensor, layer: LinearLayer, rule: Rule) -> Any:
        if layer.merged is None:
            averages = rule == rules.Epsilon(rules.STABILIZER)
            hook = Norm(rules.STABILIZER) if averages else _hook(rule, inputs)
            return self._run(_Function(layer.call), hook, inputs)
        output = self._run(_Layer(layer), _hook(rule, inputs), inputs)
        return self.bend(output, F.relu) if layer.rectified else output

    def add(self, first: Tensor, second: Tensor, rectified: bool) -> Any:
        both = torch.stack(torch.broadcast_tensors(first, second), dim=-1)
        output = self._run(Sum(), Norm(rules.STABILIZER), both)
        return self.bend(output, F.relu) if rectified else output

    def bend(self, inputs: Tensor, call: Callable[[Tensor], Any]) -> Any:
        with torch.no_grad():
            shape = call(inputs.clone()).shape  # a copy, for those that work in place
        function = _Function(lambda values: call(values.clone()))
        return self._run(function, Pass(), inputs.expand(shape))

    def _run(self, module: nn.Module, hook: Hook, inputs: Tensor) -> Any:
        hook.register(module)
        self.hooked.append((module, hook))
        return module(inputs)


def _hook(rule: Rule, inputs: Tensor) -> Hook:
    """Return zennit's counterpart of a rule, for a layer that reads `inputs`."""
    match rule:
        case rules.Epsilon(epsilon):
            return Epsilon(epsilon)
        case rules.ZPlus(stabilizer):
            return ZPlus(stabilizer)
        case rules.Gamma(gamma, stabilizer):
            return Gamma(gamma, stabilizer)
        case rules.AlphaBeta(alpha, beta, stabilizer):
            return AlphaBeta(alpha, beta, stabilizer)
        case rules.Flat(stabilizer):
            return Flat(stabilizer)
        case rules.ZBox():
            low, high = rule.bounds(inputs.detach())
            return ZBox(low, high, rule.stabilizer)
    raise TypeError(f"zennit has no counterpart of {rule}")
