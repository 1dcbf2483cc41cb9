"""What a network is read as: first layers, signs, absorbed ReLUs, and when it is read again."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.attributors._lrp.graph import Operation, read_network
from reldrop_bench.attributors._lrp.operations import Kind, TraceError
from reldrop_bench.attributors._lrp.propagation import Rules, propagate
from reldrop_bench.attributors._lrp.rules import Epsilon, Flat, ZPlus
from reldrop_bench.kinds.attributor import UnexplainableError
from reldrop_bench.kinds.model import Routing
from reldrop_bench.models.pointnet import PointNetwork
from reldrop_bench.models.pointnet import TransformNet as LearnedTransform

RULES = Rules(ZPlus(), Epsilon(), first=Flat())


def conv(inputs: int = 2, outputs: int = 2) -> nn.Conv1d:
    return nn.Conv1d(inputs, outputs, 3, padding=1)


class Move(Routing):
    def forward(self, values: Tensor) -> Tensor:
        return values.flip(2)


class Centre(Routing):
    def forward(self, values: Tensor) -> Tensor:
        return values - values.detach().mean(2, keepdim=True)


class Beside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Parameter(torch.full((1, 2, 1), -1.0))

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([F.relu(values), self.edge.expand(values.size(0), -1, -1)], 2)


class Between(nn.Module):
    """A convolution `before`, something, and a convolution `after`."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after = conv(), conv()
        self.between = between

    def forward(self, values: Tensor) -> Tensor:
        return self.after(self.between(self.before(values)))


def operations(model: nn.Module) -> dict[str, Operation]:
    """Return the operations that are modules, by name; of one called twice, the last."""
    return {each.module: each for each in read_network(model.eval()).operations.values()}


SIGNS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "nothing": (lambda values: values, False),
    "ReLU": (nn.ReLU(), True),
    "ReLU6": (nn.ReLU6(), True),
    "F.relu": (F.relu, True),
    "Sigmoid": (nn.Sigmoid(), True),
    "Softplus": (nn.Softplus(), True),
    "GELU": (nn.GELU(), False),
    "Tanh": (nn.Tanh(), False),
    "LeakyReLU": (nn.LeakyReLU(), False),
    "batch norm behind ReLU": (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(2)), False),
    "less one behind ReLU": (lambda values: F.relu(values) - 1, False),
    "pools behind ReLU": (
        nn.Sequential(nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(), nn.AvgPool1d(2)),
        True,
    ),
    "average of both signs": (nn.AvgPool1d(2), False),
    "sum of ReLUs": (lambda values: F.relu(values) + F.relu(values), True),
    "sum with a ReLU": (lambda values: F.relu(values) + values, False),
    "ReLU of a sum": (lambda values: F.relu(values.sigmoid() + values), True),
    "ReLUs side by side": (lambda values: torch.cat([F.relu(values), values.sigmoid()], 2), True),
    "ReLU beside Tanh": (lambda values: torch.cat([F.relu(values), values.tanh()], 2), False),
    "moved behind ReLU": (nn.Sequential(nn.ReLU(), nn.Flatten(1, 1), nn.Identity()), True),
    "centred behind ReLU": (nn.Sequential(nn.ReLU(), Centre()), False),
    "ReLU beside a parameter": (Beside(), False),
}


@pytest.mark.parametrize(("between", "expected"), SIGNS.values(), ids=SIGNS.keys())
def test_inputs_are_non_negative_where_that_is_certain(
    between: Callable[[Tensor], Tensor], expected: bool
) -> None:
    """Half of z-plus is left out there: a wrong yes makes wrong maps."""
    found = operations(Between(between))
    assert found["after"].non_negative is expected
    assert not found["before"].non_negative


class Around(nn.Module):
    """A convolution `before`, and what is made of its output and of a batch norm `norm`."""

    def __init__(self, around: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.norm, self.after = conv(), nn.BatchNorm1d(2), conv()
        self.relu, self.centre = nn.LeakyReLU(), Centre()
        self.around = around

    def forward(self, values: Tensor) -> Tensor:
        return self.after(self.around(self, self.before(values)))


RECTIFIED: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], str, bool]] = {
    "ReLU": (lambda model, values: F.relu(values), "", True),
    "ReLU in place": (lambda model, values: F.relu(values, inplace=True), "", True),
    "norm and ReLU": (lambda model, values: model.norm(values).relu(), "norm", True),
    "norm": (lambda model, values: model.norm(values), "norm", False),
    "norm and GELU": (lambda model, values: F.gelu(model.norm(values)), "norm", False),
    "a second reader": (lambda model, values: F.relu(values) + values, "", False),
    "a second reader of the norm": (
        lambda model, values: F.relu(model.norm(values)) - model.norm(values).detach(),
        "",
        False,
    ),
    "a norm for one of two": (lambda model, values: model.norm(values).relu() + values, "", False),
    "LeakyReLU": (lambda model, values: F.leaky_relu(values), "", False),
    "LeakyReLU with the name of another": (lambda model, values: model.relu(values), "", False),
    "pool": (lambda model, values: F.relu(F.max_pool1d(values, 1)), "", False),
    "ReLU and pool": (lambda model, values: F.max_pool1d(F.relu(values), 1), "", True),
    "ReLU and Sigmoid": (lambda model, values: F.relu(values).sigmoid(), "", False),
    "ReLU and norm": (lambda model, values: model.norm(F.relu(values)), "", False),
    "ReLU and a difference": (lambda model, values: model.centre(F.relu(values)), "", False),
    "ReLU, dropout and one": (lambda model, values: F.dropout(F.relu(values), 0.0) + 1, "", False),
}


@pytest.mark.parametrize(("between", "norm", "rectified"), RECTIFIED.values(), ids=RECTIFIED.keys())
def test_what_alone_reads_a_layer_is_absorbed(
    between: Callable[[nn.Module, Tensor], Tensor], norm: str, rectified: bool
) -> None:
    before = operations(Around(between))["before"]
    assert [str(each.target) for each in before.merged] == ([norm] if norm else [])
    assert before.rectified is rectified


def test_batch_norm_that_has_no_statistics_is_refused() -> None:
    """With it a sample's logits depend on the others of its batch, and so would its map."""
    with pytest.raises(
        UnexplainableError, match=r"between .BatchNorm1d without running statistics"
    ):
        operations(Between(nn.BatchNorm1d(2, track_running_stats=False)))


class Parallel(nn.Module):
    """A branch of two layers beside one layer that reads the input, and a joint one."""

    def __init__(self) -> None:
        super().__init__()
        # Registered in another order than they are called in.
        self.joint, self.inner, self.outer, self.side = conv(6), conv(), conv(), conv()
        self.move, self.transform = Move(), LearnedTransform(2, (4, 4, 4))

    def forward(self, values: Tensor) -> Tensor:
        values = F.avg_pool1d(self.move(values), 1).tanh()
        deep = self.outer(self.inner(self.transform(values)))
        return self.joint(torch.cat([deep, self.side(values), values], dim=1))


def test_first_layers_are_those_that_no_other_comes_before() -> None:
    found = operations(Parallel())
    first = {name for name, each in found.items() if each.first}
    assert first == {"inner", "side"}
    assert found["transform"].kind is Kind.TRANSFORM


def test_batch_norm_over_another_dimension_is_refused() -> None:
    """Dense layers read the last dimension, batch norm is over the second: it cannot be merged."""
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 3))
    rules = Rules(Epsilon(), Epsilon())
    with pytest.raises(UnexplainableError, match="1, a batch norm over other values"):
        propagate(rules, model.eval(), torch.randn(2, 4, 5), torch.tensor([0, 1]))


def test_reading_leaves_nothing_on_the_model() -> None:
    """torch.fx puts tensors that a network makes in its forward pass on the model."""
    model = Between(lambda values: values * torch.tensor([2.0, 3.0])[:, None]).eval()
    before = set(vars(model))
    values, targets = torch.randn(2, 2, 5), torch.tensor([0, 1])
    head = nn.Sequential(model, nn.Flatten(), nn.Linear(10, 3)).eval()
    expected = propagate(RULES, copy.deepcopy(head), values, targets)
    for _ in range(2):
        assert torch.equal(propagate(RULES, head, values, targets), expected)
        assert read_network(model) is read_network(model)
    assert set(vars(model)) == before
    assert not [name for name in vars(head) if "constant" in name]


def test_batch_size_is_not_read_into_the_graph() -> None:
    """One graph for all batches, and for inputs of other sizes where the network takes them."""
    torch.manual_seed(0)
    model = nn.Sequential(conv(), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3))
    model.eval()
    values, targets = torch.randn(4, 2, 9), torch.tensor([0, 1, 2, 0])
    together = propagate(RULES, model, values, targets)
    network = read_network(model)
    alone = propagate(RULES, model, values[1:2], targets[1:2])
    torch.testing.assert_close(alone[0], together[1])
    assert propagate(RULES, model, torch.randn(2, 2, 5), targets[:2]).shape == (2, 5)
    assert read_network(model) is network


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        conv(), nn.BatchNorm1d(2), nn.ReLU(), conv(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    )


class Switched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = small()
        self.times, self.mode = 1, "plain"

    def forward(self, values: Tensor) -> Tensor:
        values = values.tanh() if self.mode == "bent" else values
        for _ in range(self.times):
            values = self.layers[0](values)
        for layer in list(self.layers)[1:]:
            values = layer(values)
        return values


def replace(model: Switched) -> None:
    model.layers[4] = nn.Tanh()


def replace_norm(model: Switched) -> None:
    model.layers[1] = nn.BatchNorm1d(2, affine=False)


def lengthen(model: Switched) -> None:
    model.layers.insert(2, conv())


def restride(model: Switched) -> None:
    model.layers[0].stride, model.layers[0].padding = (2,), (5,)


def repeat(model: Switched) -> None:
    model.times = 3


def bend(model: Switched) -> None:
    model.mode = "bent"


def reweigh(model: Switched) -> None:
    model.layers[0].weight.data.neg_()


@pytest.mark.parametrize(
    "change", [replace, replace_norm, lengthen, restride, repeat, bend, reweigh]
)
def test_a_change_of_the_model_is_seen(change: Callable[[Switched], None]) -> None:
    model, values = Switched(), torch.randn(2, 2, 9)
    model(values)
    model.eval()
    targets = torch.tensor([0, 2])
    before = propagate(RULES, model, values, targets)
    change(model)
    model.eval()
    relevance = propagate(RULES, model, values, targets)
    # A copy has never been read before.
    assert torch.equal(relevance, propagate(RULES, copy.deepcopy(model), values, targets))
    assert not torch.allclose(relevance, before)


def test_an_attribute_that_changes_what_is_computed_is_seen() -> None:
    torch.manual_seed(0)
    model = PointNetwork(3, 3, width=0.1, transforms=True, dropout=0.0).eval()
    model.input_transform.offset.weight.data.normal_()
    points, targets = torch.randn(2, 3, 9), torch.tensor([0, 2])
    aligned = propagate(RULES, model, points, targets)
    model.transforms = False
    plain = propagate(RULES, model, points, targets)
    model.transforms = True
    assert not torch.allclose(plain, aligned)
    assert torch.equal(propagate(RULES, model, points, targets), aligned)


class Keeps(nn.Module):
    """Keeps an activation, as networks with losses of their own do, and reads a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.kept, self.bent = small(), (), [False]

    def forward(self, values: Tensor) -> Tensor:
        values = values.tanh() if self.bent[0] else values
        self.kept = (values + 0,) if isinstance(values, Tensor) else ()
        return self.layers(values)


def test_activations_that_a_model_keeps_do_not_matter() -> None:
    model, values, targets = Keeps(), torch.randn(2, 2, 9), torch.tensor([0, 2])
    maps = []
    for _ in range(2):
        model.eval()(values)
        maps.append(propagate(RULES, model, values, targets))
    assert torch.equal(*maps)


def test_a_list_that_changes_what_is_computed_is_seen() -> None:
    model, values, targets = Keeps(), torch.randn(2, 2, 9), torch.tensor([0, 2])
    model.eval()(values)
    before = propagate(RULES, model, values, targets)
    model.bent[0] = True
    assert not torch.allclose(propagate(RULES, model, values, targets), before)


def test_a_hook_is_seen() -> None:
    model = Between(nn.ReLU()).eval()
    read_network(model)
    handle = model.before.register_forward_hook(lambda module, inputs, output: output)
    with pytest.raises(TraceError, match="before has a forward hook"):
        read_network(model)
    handle.remove()
    assert read_network(model) is read_network(model)


def test_an_unchanged_model_is_read_once_and_shares_with_no_other() -> None:
    first, second = Between(nn.ReLU()).eval(), Between(nn.ReLU()).eval()
    assert read_network(first) is read_network(first)
    assert read_network(second) is not read_network(first)
    # Training moves weights and statistics, which are looked up at every explanation.
    first.train()(torch.randn(3, 2, 5)).sum().backward()
    torch.optim.SGD(first.parameters(), lr=1.0).step()
    network = read_network(first.eval())
    assert network is read_network(first)


def test_a_deleted_model_is_freed() -> None:
    model = small()
    values = torch.randn(2, 2, 9)
    model(values)
    propagate(RULES, model.eval(), values, torch.tensor([0, 1]))
    reference, parameter = weakref.ref(model), weakref.ref(model[0].weight)
    del model
    gc.collect()
    assert reference() is None
    assert parameter() is None


def test_a_model_that_cannot_be_read_is_freed_too() -> None:
    model = Between(lambda values: values if values.sum() > 0 else -values).eval()
    with pytest.raises(TraceError):
        read_network(model)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_an_unknown_operation_is_named_with_its_place() -> None:
    class Block(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return F.softmax(values, 1)

    with pytest.raises(UnexplainableError, match=r"between: the operation 'softmax'"):
        read_network(Between(Block()).eval())
