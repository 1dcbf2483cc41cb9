"""Run a network with rules in place of gradients.

Forward, every operation that has a rule is computed as it is, with batch norm merged into the layer
before it. Backward, torch's own engine goes through the graph, in which those operations answer by
their rule; so it also adds up what comes from several sides, and frees what is no longer needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from reldrop_bench.kinds.model import Routing

from .graph import Network, Operation, read_network
from .operations import Kind, TraceError, unknown
from .rules import STABILIZER, Epsilon, LinearLayer, Parameters, Rule, stabilize

_CONVOLVE: dict[int, Callable[..., Tensor]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
"""By the dimensions of the weight."""


@dataclass(frozen=True)
class Rules:
    """Which rule goes where."""

    convolution: Rule
    dense: Rule
    """For dense layers, and for the matrices that a network predicts."""
    first: Rule | None = None
    """For layers with weights that read the input, or None for the rule of their kind."""

    def of(self, operation: Operation, module: Any) -> Rule:
        """Return the rule for an operation that is linear in its input."""
        if operation.kind is Kind.AVERAGE:
            return Epsilon(STABILIZER)
        if operation.first and self.first is not None:
            return self.first
        dense = operation.kind is Kind.TRANSFORM or isinstance(module, nn.Linear)
        return self.dense if dense else self.convolution


def propagate(rules: Rules, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Propagate the target logits of `inputs` (B, C, …) back to (B, …), summed over channels.

    The model is in evaluation mode, and nothing of it is changed.

    Raises
    ------
    TraceError, UnexplainableError
        As `read_network` does.
    """
    network = read_network(model)
    expected = _first_logits(model, inputs)
    if inputs.ndim == 4 and inputs.device.type == "cpu":
        # Convolutions of images are up to a third faster so; values keep their places.
        inputs = inputs.contiguous(memory_format=torch.channels_last)

    def run(inputs: Tensor) -> Tensor:
        logits: Tensor = _Propagation(model, network, rules).run(inputs)
        given = logits.detach()[: len(expected)]
        tolerance = 0.01 * expected.abs().max() + 1e-6
        if given.shape != expected.shape or not ((given - expected).abs() <= tolerance).all():
            raise TraceError("its outputs are not those of the graph that torch.fx reads")
        return logits

    return explain_logit(run, inputs, targets)


@torch.no_grad()
def _first_logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the model's own logits of two samples, which the graph has to reproduce each time.

    It would not where a model changes a value in place that is also known by another name, or where
    what it computes depends on buffers and objects that have changed since it was read.
    """
    logits: Tensor = model(inputs[:2])
    return logits


def explain_logit(model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the target logits, weighted by themselves, summed over channels.

    Through rules in place of gradients this is their relevance. From the bare one-hot target,
    rules would give R/logit, of the opposite sign wherever the logit is negative.
    """
    inputs = inputs.detach().requires_grad_()
    logits = model(inputs)
    start = torch.zeros_like(logits)
    start.scatter_(1, targets[:, None], logits.detach().gather(1, targets[:, None]))
    (relevance,) = torch.autograd.grad(logits, inputs, start)
    return relevance.sum(1)


class _Propagation(fx.Interpreter):
    def __init__(self, model: nn.Module, network: Network, rules: Rules) -> None:
        super().__init__(model, graph=network.graph)
        self.network = network
        self.rules = rules

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in self.network.constants:
            return self.network.constants[target]
        return super().get_attr(target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(self.fetch_attr(target), Routing):  # it may use `view`
            args = tuple(
                value.contiguous() if isinstance(value, Tensor) else value for value in args
            )
        return super().call_module(target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        # `view` refuses images whose channels come last.
        return super().call_method("reshape" if target == "view" else target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.network.absorbed:
            return self.env[n.all_input_nodes[0]]
        operation = self.network.operations.get(n)
        if operation is None:
            return super().run_node(n)
        inputs = [self.env[source] for source in operation.sources]
        if operation.kind is Kind.ADDITION:
            return _Addition.apply(*inputs, operation.rectified)
        if operation.kind is Kind.ELEMENTWISE:
            return _Elementwise.apply(inputs[0], partial(self._call, n, operation))
        module = self.fetch_attr(operation.module) if operation.module else None
        rule = self.rules.of(operation, module)
        return _Linear.apply(inputs[0], self._layer(n, operation, module, inputs[0]), rule)

    def _call(self, n: fx.Node, operation: Operation, value: Tensor) -> Any:
        """Run an operation as the network does, with another value for its input."""

        def replace(node: fx.Node) -> Any:
            return value if node is operation.sources[0] else self.env[node]

        args, kwargs = fx.node.map_arg(n.args, replace), fx.node.map_arg(n.kwargs, replace)
        return getattr(self, n.op)(n.target, args, kwargs)

    def _layer(self, n: fx.Node, operation: Operation, module: Any, inputs: Tensor) -> LinearLayer:
        if operation.kind is Kind.AVERAGE:
            return LinearLayer(partial(self._call, n, operation))
        if operation.kind is Kind.TRANSFORM:
            with torch.no_grad():
                matrix = module.matrix(inputs)
            return LinearLayer(partial(torch.bmm, matrix))
        norm = self.fetch_attr(operation.norm) if operation.norm else None
        if norm is not None and isinstance(module, nn.Linear) and inputs.ndim > 2:
            raise unknown(f"{operation.norm}, a batch norm over other values than features")
        apply = _function(module)
        return LinearLayer(
            partial(_call_layer, apply, module, norm),
            apply,
            partial(_merged, module, norm),
            operation.non_negative,
            operation.rectified,
        )


def _scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """Return what a batch norm in evaluation multiplies channels by, and then adds to them."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def _merged(layer: Any, norm: Any) -> Parameters:
    weight = layer.weight.detach()
    bias = None if layer.bias is None else layer.bias.detach()
    if norm is None:
        return weight, bias
    scale, shift = _scale_and_shift(norm)
    merged = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    return merged, shift if bias is None else torch.addcmul(shift, bias, scale)


def _call_layer(apply: Callable[..., Tensor], layer: Any, norm: Any, inputs: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.detach()
    output = apply(inputs, layer.weight.detach(), bias)
    if norm is None:
        return output
    shape = (1, -1, *[1] * (output.ndim - 2))
    scale, shift = (values.view(shape) for values in _scale_and_shift(norm))
    return torch.addcmul(shift, output, scale)


def _function(module: Any) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    if isinstance(module, nn.Linear):
        return F.linear
    convolve = _CONVOLVE[module.weight.ndim]

    def apply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        settings = (module.stride, module.padding, module.dilation, module.groups)
        return convolve(inputs, weight, bias, *settings)

    return apply


class _Linear(torch.autograd.Function):
    """A layer, with its rule as its gradient."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: LinearLayer, rule: Rule) -> Tensor:
        leaf = inputs.detach().requires_grad_()
        if rule.needs_output(layer):
            with torch.enable_grad():
                output = layer.call(leaf)
            ctx.kept = (leaf, output)
        else:
            output = layer.run(leaf, *layer.weights())
            ctx.kept = (leaf, None)
        ctx.layer, ctx.rule = layer, rule
        given = output.detach()
        return given.relu_() if layer.rectified else given

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        leaf, output = ctx.kept
        del ctx.kept
        return ctx.rule.share(ctx.layer, leaf, output, relevance[0]), None, None


class _Addition(torch.autograd.Function):
    """A sum of two activations: shared in proportion to them."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, rectified: bool) -> Tensor:
        output = first + second
        ctx.kept = (first.detach(), second.detach(), output, rectified)
        return output.detach().relu_() if rectified else output.detach()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        first, second, output, rectified = ctx.kept
        del ctx.kept
        below = output.add_(STABILIZER) if rectified else stabilize(output, STABILIZER)
        share = torch.div(relevance[0], below, out=below)
        to_first, to_second = share.sum_to_size(first.shape), share.sum_to_size(second.shape)
        # The share's own storage is free for one of the two.
        return to_first * first, to_second.mul_(second), None


class _Elementwise(torch.autograd.Function):
    """An activation: relevance passes through."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.shape = inputs.shape
        return call(inputs.clone())  # a copy, for those that work in place

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        return relevance[0].sum_to_size(ctx.shape), None
