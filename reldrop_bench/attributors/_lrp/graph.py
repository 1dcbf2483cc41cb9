"""What a network computes, read as a graph, and which kind of rule each of its operations needs.

The graph comes from torch.fx, so that batch norms, residual sums and first layers are found by what
the network does with them, not by the order or the names under which it holds its modules. Nothing
of the network is changed.
"""

from __future__ import annotations

import operator
from collections.abc import Container
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from reldrop_bench.kinds.model import LearnedTransform, Routing


class Kind(Enum):
    """What the rules make of an operation."""

    LINEAR = auto()
    """A convolution or a dense layer, with weights."""
    TRANSFORM = auto()
    """A matrix that the network predicts, applied to its input; it counts as a constant."""
    AVERAGE = auto()
    """A sum or an average over places: shared in proportion to contributions."""
    ADDITION = auto()
    """A sum of two activations, likewise."""
    ELEMENTWISE = auto()
    """An activation or a normalisation: relevance passes through unchanged."""
    ROUTING = auto()
    """A choice or rearrangement of values: relevance takes the way back."""
    CONSTANT = auto()
    """Does not depend on the input's values."""


class TraceError(Exception):
    """The network cannot be read as a graph, or has a part that only zennit has rules for."""


class UnknownLayerError(ValueError):
    """A part of the network that no rule is known for."""


def unknown(what: str) -> UnknownLayerError:
    """Return the error for a part of the network that no rule is known for."""
    return UnknownLayerError(
        f"no rule is known for {what}; a gradient method such as gradient-x-input explains any layer"
    )


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_POSITIVE_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Softplus)
_ACTIVATIONS = (
    *_POSITIVE_ACTIVATIONS, nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish,
    nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.RReLU, nn.SELU, nn.SiLU, nn.Softshrink,
    nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
_AVERAGES = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip
_ROUTES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.Flatten, nn.Unflatten, nn.Identity, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
    nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
_ONLY_ZENNIT = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

_ADDITION_CALLS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_RELU_CALLS = {torch.relu, F.relu, F.relu_, torch.relu_, "relu", "relu_"}
_POSITIVE_CALLS = {*_RELU_CALLS, F.relu6, torch.sigmoid, F.sigmoid, F.softplus, "sigmoid"}
_ELEMENTWISE_CALLS = {
    *_POSITIVE_CALLS, F.elu, F.gelu, F.hardtanh, F.hardswish, F.leaky_relu, F.mish, F.selu, F.silu,
    F.tanh, torch.tanh, torch.selu, "tanh",
}  # fmt: skip
_AVERAGE_CALLS = {
    torch.sum, torch.mean, "sum", "mean", F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d,
}  # fmt: skip
_ROUTING_CALLS = {
    operator.getitem, getattr,
    torch.flatten, torch.reshape, torch.cat, torch.concat, torch.stack, torch.transpose,
    torch.permute, torch.squeeze, torch.unsqueeze, torch.max, torch.amax, torch.chunk, torch.split,
    torch.clone, torch.gather, torch.index_select, torch.narrow, torch.movedim,
    F.max_pool1d, F.max_pool2d, F.max_pool3d,
    F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d,
    F.pad, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d,
    "flatten", "reshape", "view", "transpose", "permute", "squeeze", "unsqueeze", "max", "amax",
    "chunk", "split", "clone", "contiguous", "gather", "index_select", "narrow", "movedim",
    "expand", "unfold", "unflatten", "float", "double",
}  # fmt: skip
_CONSTANT_CALLS = {"size", "dim", "numel", "detach", torch.numel, len}
_CONSTANT_ATTRIBUTES = {"shape", "device", "dtype", "ndim", "indices"}
_ARITHMETIC_CALLS = {
    *_ADDITION_CALLS, operator.sub, operator.isub, operator.mul, operator.imul, operator.truediv,
    torch.sub, torch.mul, torch.div, "sub", "mul", "div", "sub_", "mul_", "div_",
}  # fmt: skip
_JOINING_CALLS = {torch.cat, torch.concat, torch.stack}
_CALLS = (
    (_ELEMENTWISE_CALLS, Kind.ELEMENTWISE),
    (_AVERAGE_CALLS, Kind.AVERAGE),
    (_ROUTING_CALLS, Kind.ROUTING),
)
_MODULES = (
    (nn.Linear, Kind.LINEAR),
    ((*_ACTIVATIONS, *_BATCH_NORMS), Kind.ELEMENTWISE),
    (_AVERAGES, Kind.AVERAGE),
    (_ROUTES, Kind.ROUTING),
)


@dataclass
class Operation:
    """An operation of the graph, as the rules need it."""

    kind: Kind
    sources: tuple[fx.Node, ...]
    """What it reads that depends on the network's input."""
    module: str = ""
    """Name of the module, where it is one."""
    norm: str = ""
    """Name of the batch norm that is merged into it."""
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
    operations: dict[fx.Node, Operation] = field(default_factory=dict)
    absorbed: set[fx.Node] = field(default_factory=set)
    """Batch norms and ReLUs that the operation before them includes."""
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Tensors that the network makes for itself, by the name that the graph has for them."""

    def absorb(self, node: fx.Node) -> None:
        """Leave it to the operation before."""
        self.operations.pop(node)
        self.absorbed.add(node)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, LearnedTransform | Routing):
            return True
        # torch's own layers, and what is derived from one without a forward of its own.
        is_torch = type(m).forward.__module__.startswith("torch.nn.")
        return is_torch and not isinstance(m, nn.Sequential)


def _signature(model: nn.Module) -> tuple[Any, ...]:
    """Return what a graph depends on: modules by name and type, with their simple attributes."""
    place = next(((each.device, each.dtype) for each in model.parameters()), None)
    return place, *(
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
        It cannot be read, or has a part that zennit may explain.
    UnknownLayerError
        It has a part that no rule is known for; the message names it.
    """
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise TraceError(f"{name or 'the model'} has a forward hook")
        if "forward" in vars(module):
            raise TraceError(f"the forward of {name or 'the model'} has been replaced")
    signature = _signature(model)
    known = _cache.get(model)
    if known is not None and known[0] == signature:
        network = known[1]
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
    try:
        network = _analyse(graph, dict(model.named_modules()))
    except TraceError as error:
        return TraceError(str(error))  # without a traceback, which would hold the model
    network.constants = made
    return network


def _analyse(graph: fx.Graph, modules: dict[str, nn.Module]) -> Network:
    network = Network(graph)
    if sum(node.op == "placeholder" for node in graph.nodes) > 1:
        raise TraceError("its forward takes more than the inputs")
    kinds: dict[fx.Node, Kind] = {}  # of what depends on the input's values
    weighted: set[fx.Node] = set()  # comes after a layer with weights
    for node in graph.nodes:
        sources = [each for each in node.all_input_nodes if each in kinds]
        if node.op == "placeholder":
            kinds[node] = Kind.ROUTING
        if node.op == "output" or not sources:
            continue
        kind = _kind(node, modules, kinds)
        if kind is Kind.CONSTANT:
            continue
        kinds[node] = kind
        behind = not weighted.isdisjoint(sources)
        if behind or kind is Kind.LINEAR:
            weighted.add(node)
        if kind is not Kind.ROUTING:
            name = str(node.target) if node.op == "call_module" else ""
            first = kind is Kind.LINEAR and not behind
            network.operations[node] = Operation(kind, tuple(sources), name, first=first)
    for node, operation in list(network.operations.items()):
        if operation.kind is Kind.LINEAR:
            _absorb_norm(node, operation, network, modules)
        # What a first layer reads may have relevance where it is zero.
        if operation.kind is Kind.LINEAR or (operation.kind is Kind.ADDITION and node in weighted):
            _absorb_relu(node, operation, network, modules, kinds)
    _find_signs(network, modules, kinds)
    return network


def _absorb_norm(
    node: fx.Node, operation: Operation, network: Network, modules: dict[str, nn.Module]
) -> None:
    """Merge the batch norm that alone reads a layer's output."""
    after = _only_user(node)
    if after is None or after.op != "call_module":
        return
    module = modules[str(after.target)]
    if isinstance(module, _BATCH_NORMS) and module.track_running_stats:
        operation.norm = str(after.target)
        network.absorb(after)


def _absorb_relu(
    node: fx.Node,
    operation: Operation,
    network: Network,
    modules: dict[str, nn.Module],
    kinds: dict[fx.Node, Kind],
) -> None:
    """Apply the ReLU that alone reads an operation's output along with it.

    Its zeros then stand for all negative outputs, which only holds where they get no relevance.
    """
    after = _only_user(node)
    if after in network.absorbed:
        after = _only_user(after)
    if after is None or not _is_relu(after, modules):
        return
    if all(_gives_zero_for_zero(user, modules, kinds) for user in after.users):
        operation.rectified = True
        network.absorb(after)


def _gives_zero_for_zero(
    node: fx.Node, modules: dict[str, nn.Module], kinds: dict[fx.Node, Kind]
) -> bool:
    """Whether an operation gives no relevance to an input that is zero."""
    if node.op == "output" or node not in kinds:
        return True
    kind = kinds[node]
    if kind is Kind.ROUTING and not _is_custom(node, modules):
        return all(_gives_zero_for_zero(user, modules, kinds) for user in node.users)
    return kind in (Kind.LINEAR, Kind.TRANSFORM, Kind.AVERAGE, Kind.ADDITION)


def _find_signs(
    network: Network, modules: dict[str, nn.Module], kinds: dict[fx.Node, Kind]
) -> None:
    """Find the operations that have no negative inputs."""
    positive: set[fx.Node] = set()
    for node, kind in kinds.items():
        operation = network.operations.get(node)
        sources = [each for each in node.all_input_nodes if each in kinds]
        inherits = bool(sources) and positive.issuperset(sources)
        if operation is not None:
            operation.non_negative = inherits
        joined = node.target in _JOINING_CALLS and len(sources) < len(node.all_input_nodes)
        joined |= node.target is F.pad and bool(node.args[3:] or node.kwargs.get("value"))
        keeps = kind in (Kind.ROUTING, Kind.AVERAGE, Kind.ADDITION) and not joined
        rectified = operation is not None and operation.rectified
        if (
            rectified
            or _is_positive(node, modules)
            or (inherits and node in network.absorbed)
            or (inherits and keeps and not _is_custom(node, modules))
        ):
            positive.add(node)


def _is_custom(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], Routing)


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return type(modules[str(node.target)]) is nn.ReLU
    return node.target in _RELU_CALLS


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _is_positive(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _POSITIVE_ACTIVATIONS)
    return node.target in _POSITIVE_CALLS


def _kind(node: fx.Node, modules: dict[str, nn.Module], carries: Container[fx.Node]) -> Kind:
    if node.op == "call_module":
        return _kind_of_module(str(node.target), modules[str(node.target)])
    call: Any = node.target
    if call is getattr:
        constant = node.args[1] in _CONSTANT_ATTRIBUTES
        return Kind.CONSTANT if constant else Kind.ROUTING
    if call in _CONSTANT_CALLS:
        return Kind.CONSTANT
    if call in _ARITHMETIC_CALLS:
        operands = [each for each in node.all_input_nodes if each in carries]  # also by keyword
        if len(operands) == 1:
            return Kind.ELEMENTWISE
        if call in _ADDITION_CALLS and node.kwargs.get("alpha", 1) == 1:
            return Kind.ADDITION
    for calls, kind in _CALLS:
        if call in calls:
            return kind
    stack = list(node.meta.get("nn_module_stack", {}))
    place = f"{stack[-1]}: " if stack and stack[-1] else ""
    name = getattr(call, "__name__", str(call))
    raise unknown(f"{place}the operation {name!r} on activations")


def _kind_of_module(name: str, module: nn.Module) -> Kind:
    kind = type(module).__name__
    if isinstance(module, LearnedTransform):
        return Kind.TRANSFORM
    if isinstance(module, Routing):
        return Kind.ROUTING
    if isinstance(module, _CONVOLUTIONS):
        if module.padding_mode != "zeros":
            raise TraceError(f"{name} ({kind}) pads with {module.padding_mode!r}")
        return Kind.LINEAR
    if isinstance(module, _ONLY_ZENNIT):
        raise TraceError(f"{name} is a {kind}")
    for types, found in _MODULES:
        if isinstance(module, types):
            return found
    raise unknown(f"{name} ({kind})")
