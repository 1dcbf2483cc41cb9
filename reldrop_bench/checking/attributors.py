"""The contract of an attribution method: a finite map for each sample, and no trace on the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import (
    NotConcerned,
    checks_in,
    example,
    no_global_draws,
    require,
    twice,
)
from reldrop_bench.checking.tiny import tiny_batch, tiny_model
from reldrop_bench.checking.trace import unchanged
from reldrop_bench.kinds.attributor import Attributor, UnexplainableError, explain_with
from reldrop_bench.seeding import torch_generator


@dataclass(frozen=True)
class Case:
    """A method with a tiny network, as `attribute` is promised it, and samples to explain."""

    modality: str
    attributor: Attributor
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    generator: torch.Generator

    def attribute(self, count: int | None = None) -> Tensor:
        """Return the maps of the first `count` samples, made by the method alone."""
        given = (self.inputs, self.targets)
        inputs, targets = given if count is None else (each[:count] for each in given)
        try:
            return self.attributor.attribute(self.model, inputs, targets, self.generator)
        except UnexplainableError as error:
            raise NotConcerned(
                f"{self.modality}: it does not explain the contract's tiny network: {error}"
            ) from None

    def require(self, kept: bool, message: str) -> None:
        """Raise `Broken` unless the rule is kept; the message names the modality."""
        require(kept, f"{self.modality}: {message}")


def _cases(cls: type[Attributor]) -> Iterator[Case]:
    """Yield a case of every modality that the class claims, each with a generator at its start."""
    attributor = example(cls)
    for modality in sorted(cls.modalities):
        batch = tiny_batch(modality, 5)
        model = tiny_model(modality).eval().requires_grad_(False)
        generator = torch_generator("contract", "attributor")
        yield Case(modality, attributor, model, batch.inputs, batch.targets, generator)


def maps_have_a_value_an_element(cls: type[Attributor]) -> None:
    """Relevance is float of shape (B, H, W) or (B, N), detached from the graph."""
    for case in _cases(cls):
        maps = case.attribute()
        shape = (len(case.inputs), *case.inputs.shape[2:])
        case.require(
            isinstance(maps, Tensor) and maps.shape == shape and maps.is_floating_point(),
            f"relevance is {getattr(maps, 'dtype', type(maps).__name__)} of shape "
            f"{tuple(getattr(maps, 'shape', ()))}; return floats of shape {shape}, such as .sum(1) over "
            "channels",
        )
        case.require(not maps.requires_grad, "relevance requires a gradient; return .detach()")


def maps_are_finite(cls: type[Attributor]) -> None:
    """Relevance is finite, also of an input that is zero everywhere."""
    for case in _cases(cls):
        case.inputs[-1] = 0
        broken = int((~torch.isfinite(case.attribute())).flatten(1).any(1).sum())
        case.require(
            broken == 0,
            f"the relevance of {broken} of {len(case.inputs)} samples (the last one is zero everywhere) "
            "holds NaN or infinite values; stabilise what you divide by",
        )


def model_is_untouched(cls: type[Attributor]) -> None:
    """The model is as before: by the method alone, and in training mode when it is explained."""
    for case in _cases(cls):
        with unchanged(case.model, f"{case.modality}: attribute()"):
            case.attribute()
        case.model.requires_grad_(True).train()
        with unchanged(case.model, f"{case.modality}: explaining a network that is in training"):
            _explain(case)


def random_state_is_untouched(cls: type[Attributor]) -> None:
    """attribute() draws from no global generator."""
    for case in _cases(cls):
        with no_global_draws(
            f"{case.modality}: attribute()", "draw from the generator it is given"
        ):
            case.attribute()


def same_generator_gives_the_same(cls: type[Attributor]) -> None:
    """Maps depend on model, inputs, targets and the generator alone."""
    first, again = twice(lambda: [(case.modality, case.attribute()) for case in _cases(cls)])
    for (modality, one), (_, two) in zip(first, again, strict=True):
        require(
            torch.equal(one, two),
            f"{modality}: two explanations of one sample by generators of the same seed differ; draw "
            "only from the generator that is given, and keep nothing from call to call",
        )


def one_sample_alone_is_as_in_a_batch(cls: type[Attributor]) -> None:
    """A sample's map does not depend on what else is in the batch; a batch of one works."""
    drew = False
    for case, alone in zip(_cases(cls), _cases(cls), strict=True):
        start = case.generator.get_state()
        together, single = case.attribute(), alone.attribute(1)
        case.require(
            single.shape == (1, *together.shape[1:]),
            f"the map of a batch of one has shape {tuple(single.shape)}; avoid squeeze() without a "
            "dimension",
        )
        if not torch.equal(start, case.generator.get_state()):
            drew = True
            continue
        scale = float(together.abs().max())
        case.require(
            torch.allclose(single[0], together[0], rtol=1e-3, atol=1e-4 * scale),
            "a sample explained alone has another map than in a batch; normalise by nothing that "
            "other samples have a part in",
        )
    if drew:
        raise NotConcerned(
            "it draws from its generator for the batch as a whole, so that a sample alone meets other "
            "draws; that a batch of one works was checked"
        )


def inputs_are_not_changed(cls: type[Attributor]) -> None:
    """Inputs and targets are left as they are."""
    for case in _cases(cls):
        inputs, targets = case.inputs.clone(), case.targets.clone()
        case.attribute()
        case.require(
            torch.equal(inputs, case.inputs) and torch.equal(targets, case.targets),
            "inputs or targets are changed in place; work on inputs.clone()",
        )
        case.require(
            not case.inputs.requires_grad,
            "inputs require a gradient afterwards; use inputs.detach().requires_grad_()",
        )


def callers_do_not_matter(cls: type[Attributor]) -> None:
    """Explained under no_grad, under inference_mode or in training mode a sample has the same map."""
    contexts: dict[str, AbstractContextManager[object]] = {
        "torch.no_grad()": torch.no_grad(),
        "torch.inference_mode()": torch.inference_mode(),
        "training mode": nullcontext(),
    }
    for who, context in contexts.items():
        for case, other in zip(_cases(cls), _cases(cls), strict=True):
            expected = case.attribute().float()
            other.model.train(who == "training mode")
            with context:
                found = _explain(other)
            case.require(
                torch.equal(expected, found),
                f"explained under {who} a sample has another map; compute from the model and the inputs "
                "that are given, and set no mode of your own",
            )


def _explain(case: Case) -> Tensor:
    arguments = (case.attributor, case.model, case.inputs, case.targets, case.generator)
    return explain_with(*arguments)


CHECKS = checks_in(vars())
