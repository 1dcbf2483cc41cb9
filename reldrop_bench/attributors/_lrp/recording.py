"""A network read by running it: for those that torch.fx cannot read before they run.

Forward hooks, decisions in Python, arguments that are left out, wrappers such as DataParallel, weights
that a hook makes anew before each call: whatever a run does with the inputs it is given is recorded,
and holds for them. What cannot be followed is refused.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from reldrop_bench.kinds.attributor import UnexplainableError

from .graph import Network, read_graph
from .operations import is_leaf, unknown

_ATTRIBUTES = ("T", "mT", "H", "mH")
"""Those of a tensor that are a rearrangement of it."""
_SILENT = ("requires_grad_", "retain_grad", "register_hook", "backward")
"""Methods of a tensor that compute nothing from its values."""


def record_network(model: nn.Module, inputs: Tensor) -> tuple[Network, Any]:
    """Run a model in evaluation mode on inputs (B, …); return its graph for them, and its outputs.

    The model is as before afterwards, but for what its own hooks do in every run.

    Raises
    ------
    UnexplainableError
        It has a part that no rule is known for, or that cannot be followed; the message names it.
    """
    recorder = _Recorder()
    given = inputs.detach().requires_grad_().clone()  # a copy, which may be changed in place
    recorder.put(given, recorder.graph.placeholder("inputs"))
    as_written = torch.compiler.set_stance("force_eager")  # what torch.compile has compiled
    with _frozen(model), as_written, recorder.following(model), recorder:
        outputs = model(given)
    if isinstance(outputs, Tensor):
        recorder.graph.output(recorder.argument(outputs))
        return read_graph(model, recorder.graph, recorder.constants), outputs.detach()
    return Network(recorder.graph), outputs


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Let parameters require no gradient, so that what requires one depends on the inputs."""
    learning = [each for each in model.parameters() if each.requires_grad]
    try:
        for each in learning:
            each.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for each in learning:
            each.requires_grad_(True)


class _Recorder(TorchFunctionMode):
    """Writes down every call of torch on something that depends on the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        self.nodes: dict[int, fx.Node] = {}
        self.held: list[Tensor] = []
        """Keeps tensors from being freed, so that another one cannot have their identity."""
        self.within: list[str] = []
        """Names of the modules that are running."""
        self.in_layer = False

    def put(self, tensor: Tensor, node: fx.Node) -> None:
        """Know a tensor, from now on, as the value of a node."""
        self.held.append(tensor)
        self.nodes[id(tensor)] = node

    def argument(self, tensor: Tensor) -> fx.Node:
        """Return the node of a tensor, which is a constant where it does not depend on the inputs."""
        node = self.nodes.get(id(tensor))
        if node is not None:
            return node
        if tensor.grad_fn is not None:
            maker = tensor.grad_fn.name()
            raise self._unknown(f"{maker!r}, the way back of a function that torch does not show")
        name = f"_constant_{len(self.constants)}"
        self.constants[name] = tensor.detach()
        node = self.graph.get_attr(name)
        self.put(tensor, node)
        return node

    def _unknown(self, what: str) -> UnexplainableError:
        within = self.within[-1] if self.within else ""
        return unknown(f"{within}: {what}" if within else what)

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Tell layers, which are one operation each, from what is looked into."""
        replaced = []
        try:
            for name, module in model.named_modules():
                given = vars(module).get("forward")
                run = self._layer if name and given is None and is_leaf(module) else self._inside
                replaced.append((module, given))
                vars(module)["forward"] = partial(run, name, module.forward)
            yield
        finally:
            for module, given in replaced:
                vars(module).pop("forward", None)
                if given is not None:
                    vars(module)["forward"] = given

    def _inside(self, name: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.within.append(name)
        try:
            return forward(*args, **kwargs)
        finally:
            self.within.pop()

    def _layer(self, name: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.in_layer:
            return forward(*args, **kwargs)
        self.in_layer = True
        try:
            arguments = self._arguments((args, kwargs))
            outputs = forward(*args, **kwargs)
            self._note("call_module", name, arguments, outputs)
        finally:
            self.in_layer = False
        return outputs

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        attribute = getattr(func.__self__, "__name__", "") if name == "__get__" else ""
        silent = name in _SILENT or (attribute and attribute not in _ATTRIBUTES)
        if self.in_layer or silent or not any(map(_depends, tree_leaves((args, kwargs)))):
            return func(*args, **kwargs)
        if name == "__setitem__":
            raise self._unknown("values that are set in place")
        arguments = self._arguments(
            (args, kwargs)
        )  # before the call, which may change one in place
        outputs = func(*args, **kwargs)
        if attribute:
            self._note("call_function", getattr, ((arguments[0][0], attribute), {}), outputs)
        elif "Tensor" in getattr(func, "__qualname__", "").partition(".")[0]:
            # In place or not, the result is from now on what was changed.
            plain = name if name.startswith("__") else name.rstrip("_")
            self._note("call_method", plain, arguments, outputs)
        else:
            self._note("call_function", func, arguments, outputs)
        return outputs

    def _arguments(self, given: Any) -> Any:
        """Return what a call was given, with nodes in place of tensors."""
        return tree_map_only(Tensor, self.argument, given)

    def _note(self, op: str, target: Any, arguments: Any, outputs: Any) -> None:
        """Add a call to the graph, if what it returns depends on the inputs."""
        if not any(map(_depends, tree_leaves(outputs))):
            return
        args, kwargs = arguments
        node = self.graph.create_node(op, target, tuple(args), dict(kwargs))
        node.meta["nn_module_stack"] = {self.within[-1]: None} if self.within else {}
        if isinstance(outputs, Tensor):
            self.put(outputs, node)
            return
        for place, each in enumerate(outputs if isinstance(outputs, tuple | list) else ()):
            if _depends(each):
                self.put(each, self.graph.call_function(operator.getitem, (node, place)))


def _depends(value: Any) -> bool:
    """Whether it is an activation that depends on the inputs."""
    return isinstance(value, Tensor) and value.requires_grad
