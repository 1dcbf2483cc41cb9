"""Layers with weights as the rules see them: with what only scales and shifts channels merged into them.

A batch norm in evaluation, a frozen one, a scale and a shift that the network writes out: behind a
layer each gives what the same layer with other weights would, so that each has to give its map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from .operations import call_name, operands
from .rules import LinearLayer, Parameters

_APPLY: dict[tuple[bool, int], Callable[..., Tensor]] = {
    (False, 3): F.conv1d, (False, 4): F.conv2d, (False, 5): F.conv3d,
    (True, 3): F.conv_transpose1d, (True, 4): F.conv_transpose2d, (True, 5): F.conv_transpose3d,
}  # fmt: skip
"""By whether it is transposed, and the dimensions of the weight."""
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)

Scaling = tuple[Tensor, Tensor]
"""What channels are multiplied by, and what is then added to them: (outputs,) or (1,) each."""
Value = Callable[[Any], Any]
"""Returns the value of what a node was given: of another node, or a constant as it is."""


@dataclass(frozen=True)
class Weighted:
    """A layer's function and weights."""

    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    weight: Tensor
    bias: Tensor | None
    dense: bool = False
    transposed: bool = False
    groups: int = 1

    @property
    def outputs(self) -> int:
        """How many channels or features it returns."""
        return self.weight.shape[1] * self.groups if self.transposed else self.weight.shape[0]


def layer_of_module(module: Any) -> Weighted:
    """Return the function and the weights of one of torch's layers."""
    weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
    if isinstance(module, nn.Linear):
        return Weighted(F.linear, weight, bias, dense=True)
    transposed = isinstance(module, _TRANSPOSED)
    convolve, groups = _APPLY[transposed, weight.ndim], module.groups
    settings: tuple[Any, ...]
    if transposed:
        settings = (module.stride, module.padding, module.output_padding, groups, module.dilation)
    elif module.padding_mode == "zeros":
        settings = (module.stride, module.padding, module.dilation, groups)
    else:
        settings = (module.stride, 0, module.dilation, groups)

    def apply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if module.padding_mode != "zeros":
            around = module._reversed_padding_repeated_twice
            inputs = F.pad(inputs, around, mode=module.padding_mode)
        return convolve(inputs, weight, bias, *settings)

    return Weighted(apply, weight, bias, transposed=transposed, groups=groups)


def layer_of_call(node: fx.Node, value: Value) -> Weighted:
    """Return the function and the weights of a call such as `F.conv2d(inputs, weight, bias)`."""
    function: Any = node.target
    given = [value(each) for each in node.args[1:]]
    named = {key: value(each) for key, each in node.kwargs.items()}
    weight = given.pop(0) if given else named.pop("weight")
    bias = given.pop(0) if given else named.pop("bias", None)

    def apply(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        result: Tensor = function(inputs, weight, bias, *given, **named)
        return result

    name = call_name(node)
    transposed = "transpose" in name
    # Behind the weights come stride, padding, dilation or output_padding, and then groups.
    groups = given[3] if len(given) > 3 else named.get("groups", 1)
    bias = None if bias is None else bias.detach()
    return Weighted(apply, weight.detach(), bias, name == "linear", transposed, groups)


def rule_layer(
    layer: Weighted, steps: list[Callable[[], Scaling]], non_negative: bool, rectified: bool
) -> LinearLayer:
    """Return a layer for the rules, with all `steps` behind it merged."""

    def both() -> Scaling:
        scale, shift = steps[0]()
        for step in steps[1:]:
            further, offset = step()
            scale, shift = scale * further, shift * further + offset
        return scale, shift

    return LinearLayer(
        partial(_call, layer, both if steps else None),
        layer.apply,
        partial(_merged, layer, both if steps else None),
        non_negative,
        rectified,
        layer.transposed,
    )


def _merged(layer: Weighted, step: Callable[[], Scaling] | None) -> Parameters:
    weight, bias = layer.weight, layer.bias
    if step is None:
        return weight, bias
    scale, shift = step()
    if layer.transposed:
        by_group = weight.unflatten(0, (layer.groups, -1))
        shape = (layer.groups, 1, -1, *[1] * (weight.ndim - 2))
        weight = (by_group * scale.expand(layer.outputs).reshape(shape)).flatten(0, 1)
    else:
        weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
    return weight, shift.expand(layer.outputs) if bias is None else torch.addcmul(
        shift, bias, scale
    )


def _call(layer: Weighted, step: Callable[[], Scaling] | None, inputs: Tensor) -> Tensor:
    output = layer.apply(inputs, layer.weight, layer.bias)
    if step is None:
        return output
    shape = (-1,) if layer.dense else (1, -1, *[1] * (output.ndim - 2))
    scale, shift = step()
    return torch.addcmul(shift.view(shape), output, scale.view(shape))


def norm_step(norm: Any) -> Scaling:
    """Return what a batch norm in evaluation multiplies channels by, and then adds to them."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach()


def arithmetic_step(
    node: fx.Node, source: fx.Node, value: Value, layer: Weighted
) -> Scaling | None:
    """Return the scale and the shift that a sum, difference, product or quotient with constants is.

    source: the activation of the two, what the layer returned. None where values within a channel
    are treated differently.
    """
    name = call_name(node)
    first, second = operands(node)
    left = first is source
    constant = _by_channel(0.0 if name == "neg" else value(second if left else first), layer)
    if constant is None:
        return None
    alpha = value(node.kwargs.get("alpha", 1))
    one, zero = torch.ones_like(constant), torch.zeros_like(constant)
    if name == "neg":
        return -one, zero
    if name == "mul":
        return constant, zero
    if name == "div":
        return one / constant, zero
    if name == "add":
        return (one, alpha * constant) if left else (alpha * one, constant)
    if name == "rsub":
        if alpha != 1:
            return None
        left = not left  # rsub(x, c) is c - x
    return (one, -alpha * constant) if left else (-alpha * one, constant)


def _by_channel(value: Any, layer: Weighted) -> Tensor | None:
    """Return a constant as one value or one a channel, (1,) or (outputs,)."""
    constant = torch.as_tensor(value).detach().to(layer.weight)
    place = 1 if layer.dense else layer.weight.ndim - 1  # of the channels, from the right
    for position, size in enumerate(reversed(constant.shape), 1):
        if size != 1 and (position != place or size != layer.outputs):
            return None
    return constant.reshape(-1)
