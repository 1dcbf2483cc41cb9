"""Run a network with rules in place of gradients.

Forward, every operation that has a rule is computed as it is, with what scales and shifts its channels
merged into the layer before it. Backward, torch's own engine goes through the graph, in which those
operations answer by their rule; so it also adds up what comes from several sides, and frees what is no
longer needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from reldrop_bench.kinds.attributor import NoLogitsError, UnexplainableError, target_logits
from reldrop_bench.kinds.model import Routing

from .graph import Interpreter, Network, Operation, read_network
from .layers import Scaling, arithmetic_step, norm_step, rule_layer
from .operations import Kind, TraceError, unknown
from .recording import record_network
from .rules import STABILIZER, Epsilon, LinearLayer, Rule, stabilize


@dataclass(frozen=True)
class Rules:
    """Which rule goes where."""

    convolution: Rule
    dense: Rule
    """For dense layers, and for the matrices that a network predicts."""
    first: Rule | None = None
    """For layers with weights that read the input, or None for the rule of their kind."""

    def of(self, operation: Operation) -> Rule:
        """Return the rule for an operation that is linear in its input."""
        if operation.kind is Kind.AVERAGE:
            return Epsilon(STABILIZER)
        if operation.first and self.first is not None:
            return self.first
        dense = operation.dense or operation.kind is Kind.TRANSFORM
        return self.dense if dense else self.convolution


def propagate(
    rules: Rules,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    engine: "type[Propagation] | None" = None,
) -> Tensor:
    """Propagate the target logits of `inputs` (B, C, …) back to (B, …), summed over channels.

    The model is in evaluation mode, and nothing of it is changed. engine: what runs the graph.

    Raises
    ------
    UnexplainableError
        The model has a part that no rule is known for, or does not compute what its graph does.
    """
    run = partial(_explain_graph, rules, model, inputs, targets, engine or Propagation)
    try:
        network = read_network(model)
        return run(network, _first_logits(model, inputs))
    except TraceError:
        network, logits = record_network(model, inputs)
    target_logits(logits, targets)
    try:
        return run(network, logits)
    except TraceError as error:
        raise UnexplainableError(
            f"{error}: does the model change a value in place through a view of it?"
        ) from None


def _explain_graph(
    rules: Rules,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    engine: "type[Propagation]",
    network: Network,
    expected: Any,
) -> Tensor:
    """Explain by a graph whose logits are those that are expected (of the first samples, or of all)."""
    propagation = engine(model, network, rules)
    if inputs.ndim == 4 and inputs.device.type == "cpu":
        # Convolutions of images are up to a third faster so; values keep their places.
        inputs = inputs.contiguous(memory_format=torch.channels_last)

    def run(inputs: Tensor) -> Tensor:
        logits: Tensor = propagation.run(inputs)
        check_logits(logits, expected)
        return logits

    return explain_logit(run, inputs, targets)


def check_logits(logits: Any, expected: Any) -> None:
    """Hold the logits of what is explained against the model's own, of its first samples or all.

    Raises
    ------
    TraceError
        They are others: a map would be that of another network.
    NoLogitsError
        The model's own are NaN. Infinite ones are compared: some models rule classes out so.
    """
    if isinstance(logits, Tensor) and isinstance(expected, Tensor):
        if expected.isnan().any():
            raise NoLogitsError(
                "the model's outputs are NaN: look for NaN in its inputs and weights"
            )
        given, finite = logits.detach()[: len(expected)], expected.isfinite()
        tolerance = 0.01 * expected[finite].abs().max() + 1e-6 if finite.any() else 0.0
        if given.shape == expected.shape:
            near = (given - expected).abs() <= tolerance
            if torch.where(finite, near, given == expected).all():
                return
    raise TraceError("its outputs are not those of the graph that it is read as")


@torch.no_grad()
def _first_logits(model: nn.Module, inputs: Tensor) -> Any:
    """Return the model's own logits of two samples, which the graph has to reproduce each time.

    It would not where a model changes a value in place that is also known by another name, or where
    what it computes depends on buffers and objects that have changed since it was read.
    """
    return model(inputs[:2])


def explain_logit(model: Callable[[Tensor], Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the target logits, weighted by themselves, summed over channels.

    Through rules in place of gradients this is their relevance. From the bare one-hot target,
    rules would give R/logit, of the opposite sign wherever the logit is negative.
    """
    inputs = inputs.detach().requires_grad_()
    logits = target_logits(model(inputs), targets)
    if not logits.requires_grad:
        raise UnexplainableError("its logits do not depend on the inputs")
    (relevance,) = torch.autograd.grad(logits, inputs, logits.detach())
    return relevance.sum(1)


class Propagation(Interpreter):
    """Runs a graph with rules in place of gradients."""

    def __init__(self, model: nn.Module, network: Network, rules: Rules) -> None:
        super().__init__(model, network)
        self.rules = rules

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if isinstance(module, Routing):  # it may use `view`
            args = tuple(
                value.contiguous() if isinstance(value, Tensor) else value for value in args
            )
        # What hooks do is part of the graph, if there are any.
        return module.forward(*args, **kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        # `view` refuses images whose channels come last.
        return super().call_method("reshape" if target == "view" else target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        if n in self.network.absorbed:
            return self.env[self.network.absorbed[n]]
        operation = self.network.operations.get(n)
        if operation is None:
            return super().run_node(n)
        inputs = [self.env[source] for source in operation.sources]
        if operation.kind is Kind.ADDITION:
            return self.add(inputs[0], inputs[1], operation.rectified)
        if operation.kind is Kind.ELEMENTWISE:
            return self.bend(inputs[0], partial(self._call, n, operation))
        rule = self.rules.of(operation)
        if operation.kind is Kind.LINEAR:
            return self.apply(inputs[0], self._layer(n, operation, inputs[0]), rule)
        function = partial(self._call, n, operation)
        if operation.kind is Kind.TRANSFORM:
            with torch.no_grad():
                matrix = self.fetch_attr(operation.module).matrix(inputs[0])
            function = partial(torch.bmm, matrix)
        return self.apply(inputs[0], LinearLayer(function), rule)

    def apply(self, inputs: Tensor, layer: LinearLayer, rule: Rule) -> Any:
        """Run what is linear in its inputs."""
        return _Linear.apply(inputs, layer, rule)

    def add(self, first: Tensor, second: Tensor, rectified: bool) -> Any:
        """Add two activations, and leave out what is negative where the sum is rectified."""
        return _Addition.apply(first, second, rectified)

    def bend(self, inputs: Tensor, call: Callable[[Tensor], Any]) -> Any:
        """Run an activation."""
        return _Elementwise.apply(inputs, call)

    def _call(self, n: fx.Node, operation: Operation, value: Tensor) -> Any:
        """Run an operation as the network does, with another value for its input."""

        def replace(node: fx.Node) -> Any:
            return value if node is operation.sources[0] else self.env[node]

        args, kwargs = fx.node.map_arg(n.args, replace), fx.node.map_arg(n.kwargs, replace)
        return getattr(self, n.op)(n.target, args, kwargs)

    def _layer(self, n: fx.Node, operation: Operation, inputs: Tensor) -> LinearLayer:
        layer = self.weighted(n)
        steps: list[Callable[[], Scaling]] = []
        for node in operation.merged:
            if node.op == "call_module":
                if layer.dense and inputs.ndim > 2:
                    raise unknown(f"{node.target}, a batch norm over other values than features")
                steps.append(partial(norm_step, self.fetch_attr(str(node.target))))
                continue
            source = self.network.absorbed[node]
            step = arithmetic_step(node, source, self.value, layer)
            assert step is not None, "the graph was read otherwise"
            steps.append(partial(_same, step))
        return rule_layer(layer, steps, operation.non_negative, operation.rectified)


def _same(step: Scaling) -> Scaling:
    return step


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
