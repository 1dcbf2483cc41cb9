"""Which kind of rule each operation of a network needs, by what torch calls it."""

import operator
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from reldrop_bench.kinds.attributor import UnexplainableError
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


def unknown(what: str) -> UnexplainableError:
    """Return the error for a part of the network that no rule is known for."""
    return UnexplainableError(f"no rule is known for {what}")


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


def kind_of(node: fx.Node, module: nn.Module | None, sources: Sequence[fx.Node]) -> Kind:
    """Return what the rules make of a node.

    module: what it calls, where it calls one. sources: what it reads that depends on the network's
    input.

    Raises
    ------
    TraceError
        Only zennit has rules for it.
    UnexplainableError
        No rule is known for it; the message names it.
    """
    call: Any = node.target
    if module is not None:
        return _kind_of_module(call, module)
    if call is getattr:
        return Kind.CONSTANT if node.args[1] in _CONSTANT_ATTRIBUTES else Kind.ROUTING
    if call in _CONSTANT_CALLS:
        return Kind.CONSTANT
    if call in _ARITHMETIC_CALLS:
        if len(sources) == 1:
            return Kind.ELEMENTWISE
        if call in _ADDITION_CALLS and node.kwargs.get("alpha", 1) == 1:
            return Kind.ADDITION
    for calls, kind in _CALLS:
        if call in calls:
            return kind
    stack = list(node.meta.get("nn_module_stack", {}))
    within = f"{stack[-1]}: " if stack and stack[-1] else ""
    name = getattr(call, "__name__", str(call))
    raise unknown(f"{within}the operation {name!r} on activations")


def _kind_of_module(name: str, module: nn.Module) -> Kind:
    layer = type(module).__name__
    if isinstance(module, LearnedTransform):
        return Kind.TRANSFORM
    if isinstance(module, Routing):
        return Kind.ROUTING
    if isinstance(module, _CONVOLUTIONS):
        if module.padding_mode != "zeros":
            raise TraceError(f"{name} ({layer}) pads with {module.padding_mode!r}")
        return Kind.LINEAR
    if isinstance(module, _ONLY_ZENNIT):
        raise TraceError(f"{name} is a {layer}")
    for types, kind in _MODULES:
        if isinstance(module, types):
            return kind
    raise unknown(f"{name} ({layer})")


def is_batch_norm(module: nn.Module | None) -> bool:
    """Whether it is one that multiplies and shifts by what training left behind."""
    return isinstance(module, _BATCH_NORMS) and bool(module.track_running_stats)


def is_relu(node: fx.Node, module: nn.Module | None) -> bool:
    return node.target in _RELU_CALLS if module is None else type(module) is nn.ReLU


def is_positive(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether its outputs are never negative, whatever it reads."""
    if module is None:
        return node.target in _POSITIVE_CALLS
    return isinstance(module, _POSITIVE_ACTIVATIONS)


def adds_values(node: fx.Node, sources: Sequence[fx.Node]) -> bool:
    """Whether it puts other values than those of its sources beside them."""
    joins = node.target in _JOINING_CALLS and len(sources) < len(node.all_input_nodes)
    return joins or (node.target is F.pad and bool(node.args[3:] or node.kwargs.get("value")))
