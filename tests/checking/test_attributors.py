"""Attribution methods that break their contract are caught, each with advice."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.kinds.attributor import Attributor, UnexplainableError, logit_gradient

Verdicts = Callable[[str, type[Any]], dict[str, str]]


class Good(Attributor):
    """Gradient times input, as it should be done."""

    name = "good"

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        maps = (logit_gradient(model, inputs, targets) * inputs).sum(1)
        return self.spoil(maps, model, inputs, targets, generator)

    def spoil(
        self,
        maps: Tensor,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        return maps


def spoiled(name: str, spoil: Callable[..., Any]) -> type[Attributor]:
    """Return the good method with something done to its maps: `spoil(maps, model, inputs, …)`."""

    def act(self: Good, *arguments: Any) -> Any:
        return spoil(*arguments)

    return type(name, (Good,), {"__doc__": "A bad one.", "spoil": act, "__module__": __name__})


def drawing(draw: Callable[[torch.Generator], Any]) -> Callable[..., Any]:
    return lambda maps, model, inputs, targets, generator: maps * (1 + draw(generator))


def doing(act: Callable[[nn.Module, Tensor], object]) -> Callable[..., Any]:
    def spoil(maps: Tensor, model: nn.Module, inputs: Tensor, *_: Any) -> Tensor:
        act(model, inputs)
        return maps

    return spoil


def backward(model: nn.Module, inputs: Tensor) -> None:
    model.requires_grad_(True)(inputs).sum().backward()
    model.requires_grad_(False)


def by_hand(maps: Tensor, model: nn.Module, inputs: Tensor, targets: Tensor, *_: Any) -> Tensor:
    inputs.requires_grad_()
    model(inputs)[:, 0].sum().backward()
    return maps


def remembered() -> Callable[..., Any]:
    calls: list[Tensor] = []

    def spoil(maps: Tensor, *_: Any) -> Tensor:
        calls.append(maps)
        return maps * len(calls)

    return spoil


SPOILED: list[tuple[str, Callable[..., Any], str, str]] = [
    ("per-channel", lambda maps, m, inputs, *_: inputs * 1, "have_a_value", ".sum(1)"),
    ("whole", lambda maps, *_: maps.round().long(), "have_a_value", "floats"),
    ("attached", lambda maps, *_: maps.requires_grad_(), "have_a_value", ".detach()"),
    ("normed", lambda maps, *_: maps / maps.abs().amax(-1, True), "are_finite", "stabilise"),
    ("evaluates", doing(lambda model, _: model.train()), "model_is", "train/eval mode"),
    ("hooks", doing(lambda model, _: model.register_forward_hook(print)), "model_is", "handle."),
    ("steps", doing(lambda model, _: model[0].weight.data.mul_(2)), "model_is", "on copies"),
    ("backward", doing(backward), "model_is", "torch.autograd.grad"),
    ("thaws", doing(lambda model, _: model.requires_grad_(True)), "model_is", "requires_grad"),
    ("torch", drawing(lambda _: torch.rand(())), "random_state", "torch"),
    ("numpy", drawing(lambda _: np.random.rand()), "random_state", "numpy"),  # noqa: NPY002
    ("python", drawing(lambda _: random.random()), "random_state", "python"),
    ("unseeded", drawing(lambda _: torch.rand(())), "same_generator", "generator"),
    ("remembers", remembered(), "same_generator", "call to call"),
    ("batched", lambda maps, *_: maps / (1e-6 + maps.abs().max()), "alone", "other samples"),
    ("squeezes", lambda maps, *_: maps.squeeze(), "alone", "squeeze()"),
    ("in-place", doing(lambda _, inputs: inputs.add_(1)), "inputs_are", "clone()"),
    ("by-hand", by_hand, "inputs_are", "detach().requires_grad_()"),
]


def test_a_good_method_passes(failures: Verdicts, skips: Verdicts) -> None:
    assert failures("attributors", Good) == {}
    assert skips("attributors", Good) == {}


@pytest.mark.parametrize(
    ("name", "spoil", "check", "advice"), SPOILED, ids=[name for name, *_ in SPOILED]
)
def test_a_bad_method_is_caught(
    failures: Verdicts, name: str, spoil: Callable[..., Any], check: str, advice: str
) -> None:
    found = failures("attributors", spoiled(name, spoil))
    (message,) = (text for each, text in found.items() if check in each)
    assert advice in message


class Noisy(Good):
    """It draws for the batch as a whole."""

    def spoil(
        self,
        maps: Tensor,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        return maps + torch.randn(maps.shape, generator=generator)


def test_noise_from_the_generator_is_fine_and_no_row_is_compared(
    failures: Verdicts, skips: Verdicts
) -> None:
    assert failures("attributors", Noisy) == {}
    (reason,) = skips("attributors", Noisy).values()
    assert "draws from its generator" in reason


class Choosy(Good):
    """It explains no network of the contract."""

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        raise UnexplainableError("it needs attention")


def test_a_method_that_refuses_the_tiny_network_is_skipped_with_its_reason(
    failures: Verdicts, skips: Verdicts
) -> None:
    assert failures("attributors", Choosy) == {}
    assert "it needs attention" in skips("attributors", Choosy)["maps_are_finite"]
