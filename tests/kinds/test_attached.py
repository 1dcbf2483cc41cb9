"""A regularizer in a loop of one's own does all that it does in the harness, and nothing more."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench import (
    Batch,
    NonNegative,
    Probability,
    Regularizer,
    Step,
    UserError,
    regularizer,
)
from reldrop_bench.checking.regularizers import CHECKS
from reldrop_bench.checking.rules import run_check
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.running.optimization import make_optimizer
from reldrop_bench.running.training import (
    build_model,
    cell_stream,
    epoch_batches,
    learning_rate,
    train,
)
from reldrop_bench.seeding import global_seed, torch_generator


class Doubled(nn.Module):
    """Logits times a learned factor that begins at two, in training only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(inputs)
        return self.factor * logits if self.training else logits


class AllHooks(Regularizer):
    """Builds in, hides and penalizes the input gradient."""

    name = "all-hooks"
    off = {"weight": 0.0, "share": 0.0}
    needs_input_gradient = True
    weight: NonNegative = 0.1
    share: Probability = 0.25

    def wrap(self, model: nn.Module) -> nn.Module:
        return Doubled(model)

    def transform(self, batch: Batch, step: Step) -> Batch:
        hidden = torch.rand(batch.inputs.shape, generator=step.generator) < self.share
        return batch.replace(inputs=torch.where(hidden, step.facts.fill, batch.inputs))

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        loss = F.cross_entropy(logits, batch.targets, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, batch.inputs, create_graph=True)
        return self.weight * (1 + step.progress) * gradient.flatten(1).square().sum(1).mean()


def linear(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 5))


INPUTS = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(1))
TARGETS = torch.arange(8) % 5


def test_the_loss_is_that_of_the_formula() -> None:
    # Of softmax regression the gradient of the cross-entropy is (p - onehot) W.
    model = linear()
    own = AllHooks(weight=0.3, share=0.0).attach(model)
    own.progress = 0.5
    weight, bias = model[1].weight.detach(), model[1].bias.detach()
    logits = 2 * (INPUTS.flatten(1) @ weight.T + bias)
    gradient = (logits.softmax(1) - F.one_hot(TARGETS, 5)) @ (2 * weight)
    wanted = F.cross_entropy(logits, TARGETS) + 0.3 * 1.5 * gradient.square().sum(1).mean()
    loss = own.loss(INPUTS, TARGETS)
    torch.testing.assert_close(loss.detach(), wanted)
    loss.backward()
    assert own.model.factor.grad is not None, "what it builds in is trained"
    assert not INPUTS.requires_grad


def test_the_parts_make_the_loss() -> None:
    losses = []
    for whole in (True, False):
        own = AllHooks().attach(linear(), generator=torch.Generator().manual_seed(3))
        if whole:
            losses.append(own.loss(INPUTS, TARGETS, criterion=F.cross_entropy))
        else:
            x, y = own.transform(INPUTS, TARGETS)
            logits = own.model(x)
            losses.append(F.cross_entropy(logits, y) + own.penalty(logits))
    assert torch.equal(*losses)


def test_in_evaluation_mode_nothing_acts() -> None:
    model = linear()
    own = AllHooks(share=1.0, weight=9.0).attach(model)
    own.model.eval()
    x, y = own.transform(INPUTS, TARGETS)
    assert x is INPUTS
    assert y is TARGETS
    assert torch.equal(own.loss(INPUTS, TARGETS), F.cross_entropy(model(INPUTS), TARGETS))
    x, _ = regularizer("cutout").apply(model.eval(), INPUTS, TARGETS)
    assert x is INPUTS


def _cell(plugin: Regularizer) -> CellSpec:
    """Return a cell of two epochs, whatever the regularizer."""
    spec = load_spec(
        {
            "name": "loop",
            "tasks": ["tiny-blobs"],
            "regularizers": ["none"],
            "seeds": 1,
            "recipe": {"epochs": 2, "augmentation": []},
            "relevance": "gradient-x-input",
        }
    )
    (cell,) = expand(spec).cells
    resolved = ResolvedPlugin("regularizers", plugin.name, plugin.parameters(), plugin.name, "")
    vars(resolved)["plugin"] = plugin
    return CellSpec(**{**vars(cell), "regularizer": resolved})


@pytest.mark.parametrize(
    "plugin", [AllHooks(), regularizer("reldrop-block", probability=0.7), regularizer("mixup")]
)
def test_a_loop_of_ones_own_gives_the_bits_of_the_harness(
    plugin: Regularizer, plugin_folder: Path
) -> None:
    cell = _cell(plugin)
    expected = train(cell, None).model.state_dict()

    none = _cell(regularizer("none"))
    facts = cell.task.plugin.facts(None)
    stream = cell_stream(cell)
    split, _ = cell.task.plugin.splits(None, 0)
    order = torch_generator("order", *stream)
    own = plugin.attach(
        build_model(none, facts),
        attributor="gradient-x-input",
        fill=facts.fill,
        generator=torch_generator("regularizer", plugin.name, *stream),
    )
    optimizer = make_optimizer(cell.recipe, own.model)
    with global_seed("training", *stream):
        own.model.train()
        for epoch in range(2):
            batches = epoch_batches(len(split), cell.recipe.batch_size, order)
            for index, rows in enumerate(batches):
                own.progress = (epoch * len(batches) + index) / (2 * len(batches))
                optimizer.param_groups[0]["lr"] = learning_rate(cell.recipe, own.progress, epoch)
                batch = split.batch(rows)
                loss = own.loss(batch.inputs, batch.targets, masks=batch.masks)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    got = own.model.state_dict()
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: AllHooks().apply(linear(), INPUTS, TARGETS), "builds something into the model"),
        (
            lambda: regularizer("mixup").attach(linear(), attributor="lrp"),
            "no relevance method is called",
        ),
        (
            lambda: regularizer("reldrop-block").attach(
                linear(), attributor="loss-gradient-x-input"
            ),
            "former epochs",
        ),
        (
            lambda: regularizer("reldrop-ball").attach(linear()).loss(INPUTS, TARGETS),
            "is for cloud inputs, not image",
        ),
        (lambda: AllHooks().attach(linear()).penalty(torch.zeros(8, 5)), "transform each batch"),
        (lambda: regularizer("none", plugins=["no-such-folder"]), "no-such-folder"),
        (lambda: regularizer("none").attach(linear(), attributor=3), "attributor = 3"),  # type: ignore[arg-type]
        (
            lambda: regularizer("reldrop-block").attach(linear()).loss(INPUTS * math.nan, TARGETS),
            "outputs are NaN: look for NaN in its inputs and weights",
        ),
    ],
)
def test_misuse_is_told_in_a_line(use: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        use()
    assert "\n" not in str(told.value)


def test_an_empty_batch_goes_through() -> None:
    own = AllHooks().attach(linear())
    x, y = own.transform(INPUTS[:0], TARGETS[:0])
    assert (x.shape, len(y)) == ((0, 3, 6, 6), 0)
    assert own.penalty(own.model(x)) == 0


def test_what_lies_before_the_network_is_trained_as_well() -> None:
    front = nn.Conv2d(3, 3, 1)
    AllHooks().attach(linear()).loss(front(INPUTS), TARGETS).backward()
    assert front.weight.grad is not None
    assert front.weight.grad.abs().sum() > 0
    with torch.inference_mode():
        made = INPUTS * 2
    AllHooks(share=0.0).attach(linear()).loss(made, TARGETS).backward()


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_a_penalty_by_inputs_works_in_mixed_precision(precision: str, plugin_folder: Path) -> None:
    cell = _cell(AllHooks(share=0.0, weight=0.3))
    recipe = cell.recipe.model_copy(update={"precision": precision})
    mixed = train(CellSpec(**{**vars(cell), "recipe": recipe}), None, steps=2)
    exact = train(cell, None, steps=2)
    losses = [each.epochs["train_loss"].iloc[0] for each in (mixed, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_masks_are_asked_for_where_they_are_required() -> None:
    class Masked(Regularizer):
        """Hides what is marked."""

        name = "masked"
        requires = {"masks"}

        def transform(self, batch: Batch, step: Step) -> Batch:
            assert batch.masks is not None
            return batch.replace(inputs=batch.inputs * (batch.masks == 0)[:, None])

    own = Masked().attach(linear())
    with pytest.raises(UserError, match="requires masks; give them by masks="):
        own.transform(INPUTS, TARGETS)
    x, _ = own.transform(INPUTS, TARGETS, masks=torch.ones(8, 6, 6, dtype=torch.uint8))
    assert not x.any()


def test_plugin_folders_are_no_hyper_parameter(tmp_path: Path, add_plugins: Any) -> None:
    (tmp_path / "regularizers").mkdir()
    (tmp_path / "regularizers" / "halved_inputs.py").write_text(
        '"""Halves."""\n'
        "from reldrop_bench import Batch, Regularizer, Step\n\n\n"
        "class Halved(Regularizer):\n"
        '    """Halves the inputs."""\n\n'
        '    name = "halved-inputs"\n\n'
        "    def transform(self, batch: Batch, step: Step) -> Batch:\n"
        "        return batch.replace(inputs=batch.inputs / 2)\n"
    )
    halved = regularizer("halved-inputs", plugins=[tmp_path])
    x, _ = halved.apply(linear(), INPUTS, TARGETS)
    assert torch.equal(x, INPUTS / 2)


class Forgetful(AllHooks):
    """Asks for no gradient of its inputs."""

    name = "forgetful"
    needs_input_gradient = False


class Copies(AllHooks):
    """Differentiates by a copy of the inputs."""

    name = "copies"

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        copy = batch.inputs.detach().clone().requires_grad_()
        return super().penalty(logits, batch.replace(inputs=copy), step)


class Constant(AllHooks):
    """Forgets create_graph."""

    name = "constant"

    def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
        loss = F.cross_entropy(logits, batch.targets)
        (gradient,) = torch.autograd.grad(loss, batch.inputs, retain_graph=True)
        return self.weight * gradient.square().sum()


@pytest.mark.parametrize(
    ("plugin", "advice"),
    [
        (Forgetful, "needs_input_gradient = True"),
        (Copies, "not by a copy"),
        (Constant, "create_graph=True"),
    ],
)
def test_the_usual_mistakes_of_a_penalty_get_the_advice_that_mends_them(
    plugin: type[Regularizer], advice: str, plugin_folder: Path
) -> None:
    check = next(check for check in CHECKS if check.__name__ == "penalty_is_a_finite_scalar")
    result = run_check(check, plugin)
    assert result.status == "failed"
    assert advice in result.message
    with pytest.raises((UserError, RuntimeError), match=advice):
        train(_cell(plugin()), None)


def test_a_penalty_where_gradients_are_switched_off_says_so() -> None:
    own = AllHooks().attach(linear())
    inputs, _ = own.transform(INPUTS, TARGETS)
    with torch.no_grad(), pytest.raises(UserError, match=r"outside torch.no_grad"):
        own.penalty(own.model(inputs))


def test_the_harness_trains_with_the_gradient_of_the_formula(plugin_folder: Path) -> None:
    seen: list[float] = []

    class Told(AllHooks):
        """Notes what it adds."""

        name = "told"

        def penalty(self, logits: Tensor, batch: Batch, step: Step) -> Tensor | None:
            value = super().penalty(logits, batch, step)
            assert value is not None
            assert batch.inputs.requires_grad
            seen.append(value.item())
            return value

    train(_cell(Told()), None, steps=2)
    assert seen
    assert all(math.isfinite(value) and value > 0 for value in seen)
