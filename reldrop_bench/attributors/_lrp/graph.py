"""What a network computes, read as a graph, with what the rules need to know of each operation.

The graph comes from torch.fx, or from a run (`recording`), so that batch norms, residual sums and
first layers are found by what the network does with them, not by the order or the names under which
it holds its modules. Nothing of the network is changed.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, fx, nn

from reldrop_bench.kinds.model import Routing

from .layers import Weighted, arithmetic_step, layer_of_call, layer_of_module
from .operations import (
    Kind,
    TraceError,
    adds_values,
    call_name,
    does_nothing,
    is_arithmetic,
    is_batch_norm,
    is_leaf,
    is_positive,
    is_relu,
    kind_of,
    operands,
)


@dataclass
class Operation:
    """An operation of the graph, as the rules need it."""

    kind: Kind
    sources: tuple[fx.Node, ...]
    """What it reads that depends on the network's input."""
    module: str = ""
    """Name of the module, where it is one."""
    dense: bool = False
    """Whether it is a layer that reads features, not places."""
    merged: tuple[fx.Node, ...] = ()
    """Batch norms, scales and shifts of channels that are merged into it, one after the other."""
    rectified: bool = False
    """Whether the ReLU behind it is applied along with it."""
    first: bool = False
    """Whether a layer with weights that no other one comes before."""
    non_negative: bool = False
    """Whether all its inputs are known to be non-negative."""


@dataclass
class Network:
    """A graph with the operations that have rules; all other nodes are run as they are."""

    graph: fx.Graph
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the network makes for itself, by the name that the graph has for them."""
    operations: dict[fx.Node, Operation] = field(default_factory=dict)
    absorbed: dict[fx.Node, fx.Node] = field(default_factory=dict)
    """Nodes that the operation before them includes, and the node whose value is theirs."""

    def absorb(self, node: fx.Node, before: fx.Node) -> None:
        """Leave it to the operation before."""
        self.operations.pop(node, None)
        self.absorbed[node] = before


class Interpreter(fx.Interpreter):
    """Runs a graph, or of a graph what does not depend on the input."""

    def __init__(self, model: nn.Module, network: Network) -> None:
        super().__init__(model, graph=network.graph)
        self.network = network

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target in self.network.constants:
            return self.network.constants[target]
        return super().get_attr(target, args, kwargs)

    def value(self, given: Any) -> Any:
        """Return the value of a node, computed now if need be; what is no node is returned as it is."""
        if not isinstance(given, fx.Node):
            return given
        if given not in self.env:
            for each in given.all_input_nodes:
                self.value(each)
            self.env[given] = self.run_node(given)
        return self.env[given]

    def weighted(self, node: fx.Node) -> Weighted:
        """Return the function and the weights of a layer."""
        if node.op == "call_module":
            return layer_of_module(self.fetch_attr(str(node.target)))
        return layer_of_call(node, self.value)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)


def _signature(model: nn.Module) -> tuple[Any, ...]:
    """Return what a graph depends on: modules by name and type, with their simple attributes."""
    where = next(((weight.device, weight.dtype) for weight in model.parameters()), None)
    return where, *(
        (name, type(module), *((key, _simple(value)) for key, value in vars(module).items()))
        for name, module in model.named_modules()
    )


def _simple(value: Any) -> Any:
    """Return what can be compared of an attribute: of tensors and other objects only the type."""
    if isinstance(value, tuple | list):
        return tuple(map(_simple, value))
    return value if isinstance(value, int | float | str | None) else type(value)


_cache: WeakKeyDictionary[nn.Module, tuple[tuple[Any, ...], Network | TraceError]] = (
    WeakKeyDictionary()
)


def read_network(model: nn.Module) -> Network:
    """Return the graph of a model in evaluation mode, kept for the next time.

    Raises
    ------
    TraceError
        It cannot be read before it runs.
    UnexplainableError
        It has a part that no rule is known for; the message names it.
    """
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise TraceError(f"{name or 'the model'} has a forward hook")
        if "forward" in vars(module):
            raise TraceError(f"the forward of {name or 'the model'} has been replaced")
    signature = _signature(model)
    cached = _cache.get(model)
    if cached is not None and cached[0] == signature:
        network = cached[1]
    else:
        network = _read(model)
        _cache[model] = (signature, network)
    if isinstance(network, TraceError):
        raise TraceError(str(network))  # a new one: its traceback would hold the model
    return network


def _read(model: nn.Module) -> Network | TraceError:
    attributes = set(vars(model))
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # noqa: BLE001 - a network may do anything with the stand-in
        reason = str(error).strip().partition("\n")[0]
        return TraceError(f"torch.fx cannot read it: {type(error).__name__}: {reason}")
    finally:
        # torch.fx puts tensors that a network makes for itself on the model.
        made = {name: vars(model).pop(name) for name in set(vars(model)) - attributes}
    if sum(node.op == "placeholder" for node in graph.nodes) > 1:
        return TraceError("its forward takes more than the inputs")
    return read_graph(model, graph, made)


def read_graph(model: nn.Module, graph: fx.Graph, constants: dict[str, Tensor]) -> Network:
    """Find the operations of a graph.

    Raises
    ------
    UnexplainableError
        No rule is known for one of them.
    """
    return _Reader(model, Network(graph, constants)).read()


class _Reader:
    """Finds the operations of a graph."""

    def __init__(self, model: nn.Module, network: Network) -> None:
        self.network = network
        self.modules = dict(model.named_modules())
        self.constants = Interpreter(model, network)
        self.kinds: dict[fx.Node, Kind] = {}
        """Of what depends on the input's values."""
        self.varying: set[fx.Node] = set()
        """What depends on the input in any way, on its size for instance."""
        self.weighted: set[fx.Node] = set()
        """What comes after a layer with weights."""

    def read(self) -> Network:
        for node in self.network.graph.nodes:
            self._classify(node)
        for node, operation in list(self.network.operations.items()):
            last = node
            if operation.kind is Kind.LINEAR:
                last = self._merge(node, operation)
            # What a first layer reads may have relevance where it is zero.
            addition = operation.kind is Kind.ADDITION and node in self.weighted
            if operation.kind is Kind.LINEAR or addition:
                self._absorb_relu(last, operation)
        self._find_signs()
        return self.network

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.modules[str(node.target)] if node.op == "call_module" else None

    def _sources(self, node: fx.Node) -> tuple[fx.Node, ...]:
        return tuple(source for source in node.all_input_nodes if source in self.kinds)

    def _classify(self, node: fx.Node) -> None:
        sources = self._sources(node)
        if node.op == "placeholder" or not self.varying.isdisjoint(node.all_input_nodes):
            self.varying.add(node)
        if node.op == "placeholder":
            self.kinds[node] = Kind.ROUTING
        if node.op == "output" or not sources:
            return
        kind = kind_of(node, self._module(node), sources)
        if kind is Kind.CONSTANT:
            return
        self.kinds[node] = kind
        behind = not self.weighted.isdisjoint(sources)
        if behind or kind is Kind.LINEAR:
            self.weighted.add(node)
        if kind is not Kind.ROUTING:
            name = str(node.target) if node.op == "call_module" else ""
            first = kind is Kind.LINEAR and not behind
            dense = kind is Kind.LINEAR and self._is_dense(node)
            self.network.operations[node] = Operation(kind, sources, name, dense, first=first)

    def _is_dense(self, node: fx.Node) -> bool:
        return isinstance(self._module(node), nn.Linear) or call_name(node) == "linear"

    def _merge(self, node: fx.Node, operation: Operation) -> fx.Node:
        """Merge what scales and shifts a layer's channels; return the last node that was merged.

        Each has to be the only one that reads what comes before. What does nothing in evaluation may
        stand between.
        """
        layer = self.constants.weighted(node)
        last, between, merged = node, [node], []
        while (after := _only_user(between[-1])) is not None:
            module = self._module(after)
            if not does_nothing(after, module):
                if not is_batch_norm(module) and not self._scales(after, between[-1], layer):
                    break
                merged.append(after)
                for before, each in pairwise([*between, after]):
                    self.network.absorb(each, before)
                last, between = after, []
            between.append(after)
        operation.merged = tuple(merged)
        return last

    def _scales(self, node: fx.Node, source: fx.Node, layer: Weighted) -> bool:
        """Whether it is arithmetic with constants of which each channel has one."""
        varying = [each for each in node.all_input_nodes if each in self.varying]
        if not is_arithmetic(node) or varying != [source]:
            return False
        if call_name(node) == "add" and all(each is source for each in operands(node)):
            return False
        return arithmetic_step(node, source, self.constants.value, layer) is not None

    def _absorb_relu(self, last: fx.Node, operation: Operation) -> None:
        """Apply the ReLU that alone reads an operation's output along with it.

        Its zeros then stand for all negative outputs, which only holds where they get no relevance.
        """
        after = _only_user(last)
        if after is None or not is_relu(after, self._module(after)):
            return
        if all(map(self._gives_zero_for_zero, after.users)):
            operation.rectified = True
            self.network.absorb(after, last)

    def _gives_zero_for_zero(self, node: fx.Node) -> bool:
        """Whether an operation gives no relevance to an input that is zero."""
        if node.op == "output" or node not in self.kinds:
            return True
        kind = self.kinds[node]
        if kind is Kind.ROUTING and not isinstance(self._module(node), Routing):
            return all(map(self._gives_zero_for_zero, node.users))
        return kind in (Kind.LINEAR, Kind.TRANSFORM, Kind.AVERAGE, Kind.ADDITION)

    def _find_signs(self) -> None:
        """Find the operations that have no negative inputs."""
        positive: set[fx.Node] = set()
        for node, kind in self.kinds.items():
            operation, module = self.network.operations.get(node), self._module(node)
            sources = self._sources(node)
            inherits = bool(sources) and positive.issuperset(sources)
            if operation is not None:
                operation.non_negative = inherits
            keeps = kind in (Kind.ROUTING, Kind.AVERAGE, Kind.ADDITION)
            keeps &= not adds_values(node, sources) and not isinstance(module, Routing)
            if (
                (operation is not None and operation.rectified)
                or is_positive(node, module)
                or (inherits and (keeps or node in self.network.absorbed))
            ):
                positive.add(node)


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None
