"""Which kind of rule each operation of a network needs, by what torch calls it.

One table for every way to a map: what it does not hold is refused, by its name.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

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
    """The network cannot be read as a graph before it runs."""


def unknown(what: str) -> UnexplainableError:
    """Return the error for a part of the network that no rule is known for."""
    return UnexplainableError(f"no rule is known for {what}")


_CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
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
_DROPOUTS = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip
_ROUTES = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.Flatten, nn.Unflatten, nn.Identity, nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d,
    nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, *_DROPOUTS,
)  # fmt: skip
_MODULES = (
    ((nn.Linear, *_CONVOLUTIONS), Kind.LINEAR),
    ((*_ACTIVATIONS, *_BATCH_NORMS), Kind.ELEMENTWISE),
    (_AVERAGES, Kind.AVERAGE),
    (_ROUTES, Kind.ROUTING),
)

# Functions and methods, by the name of torch's own, without the underscores of Python's and of those in place.
LAYER_CALLS = {
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
}  # fmt: skip
_DROPOUT_CALLS = {
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
}  # fmt: skip
_POSITIVE_CALLS = {"relu", "relu6", "sigmoid", "softplus"}
_ELEMENTWISE_CALLS = {
    *_POSITIVE_CALLS, "celu", "clamp", "elu", "gelu", "hardsigmoid", "hardtanh", "hardswish", "leaky_relu", "mish",
    "prelu", "selu", "silu", "softsign", "tanh",
}  # fmt: skip
_AVERAGE_CALLS = {
    "sum", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
}  # fmt: skip
_JOINING_CALLS = {"cat", "stack"}
_ROUTING_CALLS = {
    *_JOINING_CALLS, "getitem", "getattr", "flatten", "reshape", "view", "transpose", "permute", "squeeze",
    "unsqueeze", "max", "amax", "chunk", "split", "unbind", "clone", "contiguous", "gather", "index_select",
    "narrow", "movedim", "expand", "expand_as", "flip", "repeat", "roll", "unfold", "unflatten", "view_as",
    "float", "double", "to", "pad", "max_pool1d", "max_pool2d", "max_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
}  # fmt: skip
_CONSTANT_CALLS = {"size", "dim", "numel", "detach", "len"}
_CONSTANT_ATTRIBUTES = {"shape", "device", "dtype", "ndim", "indices"}
_ARITHMETIC_CALLS = {"add", "sub", "rsub", "mul", "div", "neg"}
_SPELLINGS = {
    "iadd": "add", "radd": "add", "isub": "sub", "subtract": "sub", "imul": "mul", "rmul": "mul", "multiply": "mul",
    "truediv": "div", "itruediv": "div", "true_divide": "div", "divide": "div",
    "rtruediv": "rdiv", "negative": "neg", "concat": "cat", "concatenate": "cat",
}  # fmt: skip
_CALLS = (
    (_ELEMENTWISE_CALLS, Kind.ELEMENTWISE),
    (_AVERAGE_CALLS, Kind.AVERAGE),
    (_ROUTING_CALLS, Kind.ROUTING),
)
_COPIES = ("nearest", "nearest-exact")
"""Ways to enlarge an image that only repeat values; all others average."""


def call_name(node: fx.Node) -> str:
    """Return torch's name for the function or method that a node calls; "" for anybody else's."""
    if node.op == "call_method":
        name = str(node.target)
    elif node.op == "call_function":
        home = getattr(node.target, "__module__", None) or "torch"
        if home.partition(".")[0] not in ("torch", "_operator", "builtins"):
            return ""
        name = getattr(node.target, "__name__", "")
    else:
        return ""
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module counts as one operation: torch's layers, and our own that are not looked into.

    So does what is derived from one of torch's layers without a forward of its own.
    """
    if isinstance(module, LearnedTransform | Routing):
        return True
    is_torch = type(module).forward.__module__.startswith("torch.nn.modules.")
    return is_torch and not isinstance(module, nn.Sequential)


def operands(node: fx.Node) -> tuple[Any, Any]:
    """Return what arithmetic has on its left and on its right (None where there is nothing)."""
    keyword = node.kwargs.get("other")
    first, second, *_ = (*node.args, keyword, None, None)
    return (first, second) if node.args else (node.kwargs.get("input"), keyword)


def kind_of(node: fx.Node, module: nn.Module | None, sources: Sequence[fx.Node]) -> Kind:
    """Return what the rules make of a node.

    module: what it calls, where it calls one. sources: what it reads that depends on the network's
    input.

    Raises
    ------
    UnexplainableError
        No rule is known for it; the message names it.
    """
    if module is not None:
        return _kind_of_module(str(node.target), module)
    name = call_name(node)
    if name == "getattr":
        return Kind.CONSTANT if node.args[1] in _CONSTANT_ATTRIBUTES else Kind.ROUTING
    if name in _CONSTANT_CALLS:
        return Kind.CONSTANT
    kind = _kind_of_call(name, node, sources)
    if kind is None:
        stack = list(node.meta.get("nn_module_stack", {}))
        within = f"{stack[-1]}: " if stack and stack[-1] else ""
        shown = getattr(node.target, "__name__", str(node.target))
        raise unknown(f"{within}the operation {shown!r} on activations")
    return kind


def _kind_of_call(name: str, node: fx.Node, sources: Sequence[fx.Node]) -> Kind | None:
    if name in _ARITHMETIC_CALLS:
        return _kind_of_arithmetic(name, node, sources)
    if name in LAYER_CALLS:
        return Kind.LINEAR if sources == (node.args[0],) else None  # with weights of its own
    if name in _DROPOUT_CALLS:
        # By default they stay on in evaluation.
        share, stays = (
            node.args[place] if len(node.args) > place else node.kwargs.get(key, default)
            for place, key, default in ((1, "p", 0.5), (2, "training", True))
        )
        return None if stays and share != 0 else Kind.ROUTING
    if name == "interpolate":
        mode = node.args[3] if len(node.args) > 3 else node.kwargs.get("mode", "nearest")
        return Kind.ROUTING if mode in _COPIES else Kind.AVERAGE
    return next((kind for calls, kind in _CALLS if name in calls), None)


def _kind_of_arithmetic(name: str, node: fx.Node, sources: Sequence[fx.Node]) -> Kind | None:
    activations = [each for each in operands(node) if each in sources]
    if len(activations) == 1:
        # A constant over an activation bends it.
        return None if name == "div" and operands(node)[0] not in sources else Kind.ELEMENTWISE
    if name != "add":
        return None
    twice = len(sources) == 1
    return (
        Kind.ELEMENTWISE if twice else Kind.ADDITION if node.kwargs.get("alpha", 1) == 1 else None
    )


def _kind_of_module(name: str, module: nn.Module) -> Kind:
    layer = type(module).__name__
    if isinstance(module, LearnedTransform):
        return Kind.TRANSFORM
    if isinstance(module, Routing):
        return Kind.ROUTING
    if isinstance(module, _BATCH_NORMS) and module.running_mean is None:
        raise unknown(
            f"{name} ({layer} without running statistics: what a sample gets depends on its batch)"
        )
    if isinstance(module, nn.Upsample):
        return Kind.ROUTING if module.mode in _COPIES else Kind.AVERAGE
    for types, kind in _MODULES:
        if isinstance(module, types):
            return kind
    raise unknown(f"{name} ({layer})")


def is_batch_norm(module: nn.Module | None) -> bool:
    return isinstance(module, _BATCH_NORMS)


def does_nothing(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether it hands on its input as it is, in evaluation."""
    if module is None:
        return call_name(node) in _DROPOUT_CALLS  # `kind_of` has refused those that stay on
    return isinstance(module, (nn.Identity, *_DROPOUTS))


def is_arithmetic(node: fx.Node) -> bool:
    return call_name(node) in _ARITHMETIC_CALLS


def is_relu(node: fx.Node, module: nn.Module | None) -> bool:
    return call_name(node) == "relu" if module is None else type(module) is nn.ReLU


def is_positive(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether its outputs are never negative, whatever it reads."""
    if module is None:
        return call_name(node) in _POSITIVE_CALLS
    return isinstance(module, _POSITIVE_ACTIVATIONS)


def adds_values(node: fx.Node, sources: Sequence[fx.Node]) -> bool:
    """Whether it puts other values than those of its sources beside them."""
    name = call_name(node)
    joins = name in _JOINING_CALLS and len(sources) < len(node.all_input_nodes)
    return joins or (name == "pad" and bool(node.args[3:] or node.kwargs.get("value")))
