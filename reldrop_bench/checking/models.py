"""The contract of a model: logits for what it claims, weights from the seed alone, and relevance."""

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor, nn

from reldrop_bench.checking.rules import (
    Broken,
    NotConcerned,
    checks_in,
    example,
    no_global_draws,
    require,
    twice,
)
from reldrop_bench.checking.tiny import tiny_batch, tiny_facts, tiny_model
from reldrop_bench.checking.trace import unchanged
from reldrop_bench.data import Batch, Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.attributor import (
    Attributor,
    UnexplainableError,
    explain_with,
)
from reldrop_bench.kinds.model import Model
from reldrop_bench.plugins import registry
from reldrop_bench.seeding import torch_generator

SCALES = (1, 2, 4, 14)
"""Sizes of inputs that are tried until the model takes one: images of 16, 32, 64 and 224 pixels."""


@dataclass(frozen=True)
class Case:
    """A model with the smallest data of a modality that it takes."""

    where: str
    """The modality."""
    model: Model
    scale: int

    @property
    def facts(self) -> Facts:
        return tiny_facts(self.where, self.scale)

    @property
    def batch(self) -> Batch:
        return tiny_batch(self.where, 4, self.scale)

    def build(self, seed: int = 0) -> nn.Module:
        """Return a new network with the weights of a seed, in training mode."""
        torch.manual_seed(seed)
        network = self.model.build(self.facts)
        require(
            isinstance(network, nn.Module),
            f"build() returns {type(network).__name__}; return a torch.nn.Module",
        )
        return network.train()

    def trained(self) -> nn.Module:
        """Return a network in evaluation mode whose batch norms have seen data."""
        return tiny_model(self.where, self.model, self.scale).eval()


def _cases(cls: type[Model]) -> Iterator[Case]:
    """Yield a case for every modality that the class claims.

    Raises
    ------
    NotConcerned
        It takes no size of SCALES: `build` says so by a UserError.
    """
    model = example(cls)
    for modality in sorted(cls.modalities):
        yield Case(modality, model, _scale(model, modality))


@functools.cache
def _scale(model: Model, modality: str) -> int:
    """Return the smallest of SCALES that a model takes."""
    reasons = []
    for scale in SCALES:
        try:
            model.build(tiny_facts(modality, scale))
        except UserError as error:
            reasons.append(f"{error}")
        else:
            return scale
    raise NotConcerned(f"{modality}: it takes none of the contract's tiny inputs: {reasons[-1]}")


def logits_have_a_value_a_class(case: Case) -> None:
    """The network maps a batch to finite logits (B, classes), in training and in evaluation."""
    network, inputs = case.build(), case.batch.inputs
    wanted = (len(inputs), len(case.facts.classes))
    for mode in (True, False):
        logits = network.train(mode)(inputs)
        shape = tuple(getattr(logits, "shape", ()))
        require(
            isinstance(logits, Tensor) and shape == wanted and logits.is_floating_point(),
            f"for inputs {tuple(inputs.shape)} it returns {type(logits).__name__} of shape {shape}, "
            f"not logits of shape {wanted}; build the last layer for len(facts.classes)",
        )
        require(
            bool(torch.isfinite(logits).all()),
            "logits are NaN or infinite on random inputs; look at the initialisation",
        )


def every_parameter_learns(case: Case) -> None:
    """Every parameter that requires a gradient gets a finite one from a training step."""
    network, batch = case.build(), case.batch
    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    require(bool(trained), "no parameter requires a gradient: there is nothing to train")
    nn.functional.cross_entropy(network(batch.inputs), batch.targets).backward()
    idle = [name for name, each in trained.items() if each.grad is None]
    require(
        not idle,
        f"no gradient reaches {', '.join(idle[:5])}; use them in forward (not under no_grad), "
        "remove them, or freeze them with requires_grad_(False)",
    )
    broken = [name for name, each in trained.items() if not torch.isfinite(each.grad).all()]  # type: ignore[arg-type]
    require(
        not broken,
        f"the gradient of {', '.join(broken[:5])} is NaN or infinite; look for sqrt, log or a "
        "division at zero",
    )


def evaluation_is_deterministic(case: Case) -> None:
    """In evaluation mode the same input gives the same logits, and the network stays as it is."""
    network, inputs = case.trained(), case.batch.inputs
    who = "forward in evaluation mode"
    advice = "let noise and dropout act only `if self.training`"
    with torch.no_grad():
        with unchanged(network, who), no_global_draws(who, advice):
            first = network(inputs)
        second = network(inputs)
    require(
        torch.equal(first, second),
        "the same input gives other logits the second time; keep nothing from call to call",
    )


def samples_do_not_see_each_other(case: Case) -> None:
    """In evaluation mode a sample's logits are its own: alone the same as in any batch."""
    network, inputs = case.trained(), case.batch.inputs
    with torch.no_grad():
        together = network(inputs)
        alone = torch.cat([network(each[None]) for each in inputs])
    require(
        torch.allclose(alone, together, rtol=1e-3, atol=1e-4 * float(together.abs().max())),
        "in evaluation mode a sample alone has other logits than in a batch; take no statistics "
        "over the batch there, and mind dim=0 in softmax, mean and normalisation",
    )


def batch_of_one_works(case: Case) -> None:
    """A batch with a single sample goes through, in training mode where batch norm allows it."""
    for mode in ("evaluation", "training"):
        network = case.build().train(mode == "training")
        try:
            shape = tuple(network(case.batch.inputs[:1]).shape)
        except Exception as error:
            if mode == "training" and "more than 1 value per channel" in str(error):
                continue  # torch's batch norm has no variance of a single value
            raise Broken(
                f"in {mode} mode a batch of one sample raises "
                f"{type(error).__name__}: {error}; avoid squeeze() without a dimension"
            ) from error
        require(
            shape == (1, len(case.facts.classes)),
            f"a batch of one gives logits of shape {shape}; avoid squeeze() without a dimension",
        )


def inputs_are_not_changed(case: Case) -> None:
    """The network leaves the inputs as they are."""
    network, inputs = case.build(), case.batch.inputs
    for mode in (True, False):
        given = inputs.clone()
        network.train(mode)(given)
        require(
            torch.equal(given, inputs),
            "inputs are changed in place; begin with an operation that returns a new tensor "
            "(inplace=True and += on the input do not)",
        )


def weights_come_from_the_seed(case: Case) -> None:
    """build() draws from torch's global generator alone, shares nothing and leaves nothing behind."""
    first, second = twice(case.build)
    require(
        torch.get_default_dtype() == torch.float32,
        "build() changes torch's default dtype; put it back in a finally",
    )
    one, two = first.state_dict(), second.state_dict()
    require(
        one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one),
        "the same seed of torch gives other weights the second time; draw from torch's global "
        "generator alone, not from numpy's, Python's or a library's own",
    )
    storages = {each.data_ptr() for each in first.parameters() if each.numel()}
    require(
        storages.isdisjoint(each.data_ptr() for each in second.parameters()),
        "two networks share parameters; build new layers each time",
    )
    with no_global_draws("build()", "draw from torch's global generator alone"):
        state = torch.get_rng_state()
        other = case.build(seed=1).state_dict()
        torch.set_rng_state(state)
    if all(torch.equal(one[name], other[name]) for name in one):
        raise NotConcerned(
            "a warning: every seed starts from the same weights, so that seeds differ in the order of "
            "the data alone"
        )


def weights_are_restorable(case: Case) -> None:
    """Weights go through safetensors into a network that was built anew, which then computes the same."""
    network, inputs = case.trained(), case.batch.inputs
    other = case.build(seed=1).eval()
    try:
        state = {name: each.contiguous().clone() for name, each in network.state_dict().items()}
        other.load_state_dict(safetensors.torch.load(safetensors.torch.save(state)))
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise Broken(
            f"its weights do not load into another network ({error}); build the same "
            "parameters and buffers each time, and let the state dict hold tensors alone"
        ) from None
    with torch.no_grad():
        same = torch.equal(network(inputs), other(inputs))
    require(
        same,
        "with the same weights another network computes something else; keep in parameters and "
        "buffers all that its output depends on",
    )


def attribution_methods_explain_it(case: Case) -> None:
    """Every attribution method gives finite maps of it, or refuses by an UnexplainableError."""
    network, works, refused, failed = case.trained(), [], {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for attributor, plain in _methods(case):
            try:
                # A map that is that of any network tells nothing of this one.
                if not torch.equal(_explain(attributor, network, case), plain):
                    works.append(attributor.name)
            except UnexplainableError as error:
                refused[attributor.name] = error.__cause__
            except Exception as error:  # noqa: BLE001 - whatever else comes is no refusal
                failed[attributor.name] = f"{type(error).__name__}: {error}"
    told = f"what explains it: {', '.join(works) or 'nothing'}"
    require(
        not failed,
        f"{', '.join(failed)} fail on it (the first: {next(iter(failed.values()), '')}); write it with "
        f"torch.nn's layers, and let a gradient reach the input; {told}",
    )
    require(bool(works), "no attribution method explains it; let a gradient reach the input")
    if refused:
        reason = next(iter(refused.values()))
        raise NotConcerned(f"{told}; what does not: {', '.join(refused)} ({reason})")


def _explain(attributor: Attributor, network: nn.Module, case: Case) -> Tensor:
    inputs, targets = case.batch.inputs[:1], case.batch.targets[:1]
    return explain_with(attributor, network, inputs, targets, torch_generator("contract"))


def _methods(case: Case) -> Iterator[tuple[Attributor, Tensor]]:
    """Yield the attribution methods that explain a plain network, with its maps."""
    plain = tiny_model(case.where, scale=case.scale).eval()
    for name in registry.names("attributors"):
        try:
            attributor = registry.create("attributors", name)
            if case.where in attributor.modalities:
                yield attributor, _explain(attributor, plain, case)
        except Exception:  # noqa: BLE001 - what fails here says nothing about the model
            continue


CHECKS = checks_in(vars(), _cases)
