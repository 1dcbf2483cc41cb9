"""The contract of an attribution method: a finite map for each sample, and no trace on the model."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor

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
from reldrop_bench.statistics.wording import counted


@dataclass
class Case:
    """A method with a tiny network, as `attribute` is promised it, and samples to explain."""

    where: str
    """The modality."""
    attributor: Attributor

    def __post_init__(self) -> None:
        batch = tiny_batch(self.where, 5)
        self.inputs, self.targets = batch.inputs, batch.targets
        self.model = tiny_model(self.where).eval().requires_grad_(False)
        self.generator = torch_generator("contract", "attributor")

    def attribute(self, count: int | None = None) -> Tensor:
        """Return the maps of the first `count` samples, made by the method alone."""
        given = (self.inputs, self.targets)
        inputs, targets = given if count is None else (each[:count] for each in given)
        try:
            return self.attributor.attribute(self.model, inputs, targets, self.generator)
        except UnexplainableError as error:
            raise NotConcerned(
                f"it does not explain the contract's tiny network: {error}"
            ) from None

    def explain(self) -> Tensor:
        """Return the maps of all samples, made as the harness does."""
        return explain_with(self.attributor, self.model, self.inputs, self.targets, self.generator)


def _cases(cls: type[Attributor]) -> Iterator[Case]:
    attributor = example(cls)
    for modality in sorted(cls.modalities):
        yield Case(modality, attributor)


def maps_have_a_value_an_element(case: Case) -> None:
    """Relevance is float of shape (B, H, W) or (B, N), detached from the graph."""
    maps = case.attribute()
    shape = (len(case.inputs), *case.inputs.shape[2:])
    require(
        isinstance(maps, Tensor) and maps.shape == shape and maps.is_floating_point(),
        f"relevance is {getattr(maps, 'dtype', type(maps).__name__)} of shape "
        f"{tuple(getattr(maps, 'shape', ()))}; return floats of shape {shape}, such as .sum(1) over "
        "channels",
    )
    require(not maps.requires_grad, "relevance requires a gradient; return .detach()")


def maps_are_finite(case: Case) -> None:
    """Relevance is finite, also of an input that is zero everywhere."""
    case.inputs[-1] = 0
    broken = int((~torch.isfinite(case.attribute())).flatten(1).any(1).sum())
    require(
        broken == 0,
        f"the relevance of {counted(broken, 'sample', total=len(case.inputs))} (the last one is zero everywhere) "
        "holds NaN or infinite values; stabilise what you divide by",
    )


def model_is_untouched(case: Case) -> None:
    """The model is as before: by the method alone, and in training mode when it is explained."""
    with unchanged(case.model, "attribute()"):
        case.attribute()
    case.model.requires_grad_(True).train()
    with unchanged(case.model, "explaining a network that is in training"):
        case.explain()


def random_state_is_untouched(case: Case) -> None:
    """attribute() draws from no global generator."""
    with no_global_draws("attribute()", "draw from the generator it is given"):
        case.attribute()


def same_generator_gives_the_same(case: Case) -> None:
    """Maps depend on model, inputs, targets and the generator alone."""
    one, two = twice(lambda: replace(case).attribute())
    require(
        torch.equal(one, two),
        "two explanations of one sample by generators of the same seed differ; draw only from the "
        "generator that is given, and keep nothing from call to call",
    )


def one_sample_alone_is_as_in_a_batch(case: Case) -> None:
    """A sample's map does not depend on what else is in the batch; a batch of one works."""
    start = case.generator.get_state()
    together, alone = case.attribute(), replace(case).attribute(1)
    require(
        alone.shape == (1, *together.shape[1:]),
        f"the map of a batch of one has shape {tuple(alone.shape)}; avoid squeeze() without a dimension",
    )
    if not torch.equal(start, case.generator.get_state()):
        raise NotConcerned(
            "it draws from its generator for the batch as a whole, so that a sample alone meets other "
            "draws; that a batch of one works was checked"
        )
    require(
        torch.allclose(alone[0], together[0], rtol=1e-3, atol=1e-4 * float(together.abs().max())),
        "a sample explained alone has another map than in a batch; normalise by nothing that other "
        "samples have a part in",
    )


def inputs_are_not_changed(case: Case) -> None:
    """Inputs and targets are left as they are."""
    inputs, targets = case.inputs.clone(), case.targets.clone()
    case.attribute()
    require(
        torch.equal(inputs, case.inputs) and torch.equal(targets, case.targets),
        "inputs or targets are changed in place; work on inputs.clone()",
    )
    require(
        not case.inputs.requires_grad,
        "inputs require a gradient afterwards; use inputs.detach().requires_grad_()",
    )


def callers_do_not_matter(case: Case) -> None:
    """Explained under no_grad, under inference_mode or in training mode a sample has the same map."""
    expected = case.attribute().float()
    contexts: dict[str, AbstractContextManager[object]] = {
        "torch.no_grad()": torch.no_grad(),
        "torch.inference_mode()": torch.inference_mode(),
        "training mode": nullcontext(),
    }
    for who, context in contexts.items():
        other = replace(case)
        other.model.train(who == "training mode")
        with context:
            found = other.explain()
        require(
            torch.equal(expected, found),
            f"explained under {who} a sample has another map; compute from the model and the inputs "
            "that are given, and set no mode of your own",
        )


CHECKS = checks_in(vars(), _cases)
