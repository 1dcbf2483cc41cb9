"""What a recipe asks for is what torch does: each key against a loop or a formula of its own."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.recipe import LATER, RECIPES, Recipe
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.running.averaging import MovingAverage
from reldrop_bench.running.inspection import TrainingError
from reldrop_bench.running.optimization import learning_rate
from reldrop_bench.running.training import build_model, cell_stream, train
from reldrop_bench.seeding import torch_generator

pytestmark = pytest.mark.usefixtures("plugin_folder")


def cell_of(tiny_spec: dict[str, Any], **recipe: Any) -> CellSpec:
    changes = {**tiny_spec.get("recipe", {}), "schedule": "constant", **recipe}
    return expand(load_spec(tiny_spec | {"regularizers": ["none"], "recipe": changes})).cells[0]


def by_hand(cell: CellSpec, tau: float | None = None) -> nn.Module:
    """Train with torch's own classes alone; tau: weight of what is new in torch's average of weights."""
    recipe, facts = cell.recipe, cell.task.plugin.facts(None)
    split, _ = cell.task.plugin.splits(None, cell.seed)
    model = build_model(cell, facts)
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.learning_rate,
        0.9,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    order = torch_generator("order", *cell_stream(cell))
    model.train()
    for _ in range(recipe.epochs):
        shuffled = torch.randperm(len(split), generator=order)
        batches = [
            part for part in shuffled.split(recipe.batch_size) if len(part) == recipe.batch_size
        ]
        groups = [
            batches[i : i + recipe.accumulate] for i in range(0, len(batches), recipe.accumulate)
        ]
        for group in groups:
            optimizer.zero_grad()
            for indices in group:
                batch = split.batch(indices)
                (criterion(model(batch.inputs), batch.targets) / len(group)).backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
    return model


@pytest.mark.parametrize(
    "recipe",
    [
        {"nesterov": True},
        {"label_smoothing": 0.2},
        {"clip": 0.01},
        {"accumulate": 2},
        {"accumulate": 4, "clip": 0.02},  # 6 steps: the last group has two
    ],
    ids=lambda recipe: "-".join(recipe),
)
def test_a_key_does_what_a_loop_by_hand_does(
    tiny_spec: dict[str, Any], recipe: dict[str, Any]
) -> None:
    cell = cell_of(tiny_spec, **recipe)
    expected, plain = by_hand(cell).state_dict(), by_hand(cell_of(tiny_spec)).state_dict()
    found = train(cell, None).model.state_dict()
    assert all(torch.allclose(value, found[name], atol=1e-5) for name, value in expected.items())
    assert any(not torch.allclose(value, found[name], atol=1e-4) for name, value in plain.items())


def test_the_average_of_weights_is_what_is_evaluated_and_kept(tiny_spec: dict[str, Any]) -> None:
    cell = cell_of(tiny_spec, average=0.5, epochs=2)
    trained, plain = train(cell, None), train(cell_of(tiny_spec, epochs=2), None)
    torch.testing.assert_close(trained.epochs["train_loss"], plain.epochs["train_loss"])
    _, validation = cell.task.plugin.splits(None, cell.seed)
    batch = validation.batch(torch.arange(len(validation)))
    loss = nn.functional.cross_entropy(trained.model(batch.inputs), batch.targets).item()
    assert trained.epochs["validation_loss"].iloc[-1] == pytest.approx(loss, rel=1e-5)
    names = [name for name, value in plain.model.state_dict().items() if value.is_floating_point()]
    apart = [
        not torch.equal(trained.model.state_dict()[name], plain.model.state_dict()[name])
        for name in names
    ]
    assert all(apart)


def test_the_average_is_that_of_the_formula_and_swaps_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, decay=0.9)
    expected = model[0].weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            model[0].weight.add_(torch.randn(2, 2))
        model(torch.randn(4, 2))
        average.update()
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * model[0].weight.detach()
    before = copy.deepcopy(model.state_dict())
    with average.in_place():
        torch.testing.assert_close(model[0].weight.detach(), expected)
        assert model[1].num_batches_tracked == 20
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_best_epoch_is_that_of_the_average(tiny_spec: dict[str, Any]) -> None:
    cell = cell_of(tiny_spec, average=0.9, epochs=3, select="best-validation")
    trained = train(cell, None)
    best = trained.epochs["validation_accuracy"].max()
    _, validation = cell.task.plugin.splits(None, cell.seed)
    batch = validation.batch(torch.arange(len(validation)))
    accuracy = (trained.model(batch.inputs).argmax(1) == batch.targets).float().mean().item()
    assert accuracy == pytest.approx(best)


def test_warm_up_rises_linearly_and_cosine_fills_the_rest() -> None:
    recipe = Recipe(epochs=10, warmup_epochs=2, learning_rate=0.4, final_learning_rate=0.0)
    rates = [learning_rate(recipe, progress / 100, progress // 10) for progress in range(100)]
    assert rates[:20] == pytest.approx([0.4 * step / 20 for step in range(20)])
    assert rates[20:] == pytest.approx(
        [0.2 * (1 + math.cos(math.pi * step / 80)) for step in range(80)]
    )
    whole = Recipe(epochs=2, warmup_epochs=2, learning_rate=0.4)
    assert learning_rate(whole, 0.5, 1) == pytest.approx(0.2)


def test_the_loss_is_looked_at_now_and_then_and_the_step_is_named(
    tiny_spec: dict[str, Any],
) -> None:
    """With a rate that overflows, the step that is named is the first whose loss is not finite."""
    cell = cell_of(tiny_spec, learning_rate=1e25, epochs=1)
    facts = cell.task.plugin.facts(None)
    split, _ = cell.task.plugin.splits(None, cell.seed)
    model = build_model(cell, facts).train()
    optimizer = torch.optim.SGD(
        model.parameters(), 1e25, 0.9, weight_decay=cell.recipe.weight_decay
    )
    order = torch.randperm(len(split), generator=torch_generator("order", *cell_stream(cell)))
    losses = []
    for indices in order.split(cell.recipe.batch_size):
        batch = split.batch(indices)
        loss = nn.functional.cross_entropy(model(batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    first = next(number for number, loss in enumerate(losses, start=1) if not math.isfinite(loss))
    assert first > 1
    with pytest.raises(TrainingError, match=rf"at epoch 1, step {first} of "):
        train(cell, None)


def recipes(spec: dict[str, Any]) -> dict[str, Recipe]:
    return {cell.task.label: cell.recipe for cell in expand(load_spec(spec)).cells}


SPEC: dict[str, Any] = {
    "name": "x",
    "regularizers": ["none"],
    "seeds": 1,
    "evaluations": ["accuracy"],
}


def test_names_keys_and_tasks_change_a_recipe_in_this_order() -> None:
    tasks = ["digits", {"name": "digits", "label": "long", "recipe": {"epochs": 7}},
             {"cue-points": {"recipe": "paper-clouds"}}]  # fmt: skip
    found = recipes(SPEC | {"tasks": tasks, "recipe": {"name": "cpu-short", "batch_size": 32}})
    assert (found["digits"].epochs, found["digits"].batch_size) == (5, 32)
    assert (found["long"].epochs, found["long"].batch_size) == (7, 32)
    points = found["cue-points"]
    assert (points.epochs, points.schedule, points.batch_size) == (100, "step", 32)
    assert recipes(SPEC | {"tasks": ["digits"], "recipe": "cpu-short"})["digits"].epochs == 5


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_fit_tasks_of_their_kind(name: str) -> None:
    tasks = ["digits", "cue-points"]
    for recipe in recipes(SPEC | {"tasks": tasks, "recipe": name}).values():
        assert all(
            getattr(recipe, key) == value
            for key, value in RECIPES[name].items()
            if key != "augmentation"
        )


def test_recipes_that_use_nothing_new_keep_their_keys() -> None:
    before = {"epochs", "batch_size", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule",
              "final_learning_rate", "decay", "decay_epochs", "augmentation", "select", "precision"}  # fmt: skip
    assert set(Recipe().components()) == before
    assert set(Recipe.model_fields) == before | set(LATER)
    assert set(Recipe(clip=1.0).components()) == before | {"clip"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("cpu-shrt", "no recipe is called 'cpu-shrt'; did you mean 'cpu-short'"),
        ({"name": 3}, "no recipe is called 3"),
        ({"nesterov": True, "optimizer": "adam"}, "nesterov needs the optimizer sgd"),
        ({"warmup_epochs": 20, "epochs": 10}, "warmup_epochs is above epochs = 10"),
        ({"clip": 0}, "clip = 0 is not allowed"),
        ({"average": 1}, "average = 1 is not allowed"),
        ({"lable_smoothing": 0.1}, "did you mean 'label_smoothing'"),
    ],
)
def test_what_is_no_recipe_is_one_line(recipe: Any, message: str) -> None:
    for spec in (
        SPEC | {"tasks": ["digits"], "recipe": recipe},
        SPEC | {"tasks": [{"digits": {"recipe": recipe}}]},
    ):
        with pytest.raises(UserError) as error:
            recipes(spec)
        assert message in str(error.value)
        assert "\n" not in str(error.value)
