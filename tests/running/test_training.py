"""The training loop's parts, against torch's own where there are any."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from reldrop_bench.data import Batch, Facts, SubsetSplit, TensorSplit, stratified_split
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.running.augmentation import PADDING, augment
from reldrop_bench.running.optimization import learning_rate
from reldrop_bench.running.training import epoch_batches, train
from reldrop_bench.seeding import derive_seed, global_seed, numpy_generator, torch_generator

IMAGE = Facts("image", ("a", "b"), (2, 12, 10), (0.0,) * 2, (1.0,) * 2, fill=-1.0)
CLOUD = Facts("cloud", ("a", "b"), (6, 40), (0.0,) * 6, (1.0,) * 6)


@pytest.mark.parametrize(
    ("recipe", "scheduler"),
    [
        (
            Recipe(epochs=7, schedule="step", decay=0.7, decay_epochs=2),
            lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7),
        ),
        (
            Recipe(epochs=7, schedule="cosine", final_learning_rate=1e-3),
            lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7, 1e-3),
        ),
        (Recipe(epochs=7, schedule="constant"), None),
    ],
)
def test_schedules_are_those_of_torch(recipe: Recipe, scheduler: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    other = scheduler(optimizer) if scheduler else None
    for epoch in range(recipe.epochs):
        ours = learning_rate(recipe, epoch / recipe.epochs, epoch)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if other is not None:
            other.step()


def test_batches_of_an_epoch_are_full_and_hold_nothing_twice() -> None:
    batches = epoch_batches(50, 16, torch.Generator().manual_seed(0))
    assert [len(batch) for batch in batches] == [16, 16, 16]
    assert len(torch.cat(batches).unique()) == 48
    assert [len(batch) for batch in epoch_batches(5, 16, torch.Generator())] == [5]


def test_crop_moves_masks_along_and_fills_with_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(64, 2, 12, 10)
    masks = (inputs[:, 0] > 0.5).to(torch.uint8)
    out = augment(Batch(inputs, torch.zeros(64).long(), masks), ["crop"], IMAGE, generator)
    assert out.inputs.shape == inputs.shape
    assert out.masks is not None
    assert torch.equal(out.masks.bool(), out.inputs[:, 0] > 0.5)
    outside = (out.inputs == IMAGE.fill).all(1)
    assert outside.any(), "some crops reach over the border"
    assert not outside[:, PADDING:-PADDING, PADDING:-PADDING].any()
    kept = ~outside[:, 6, 5]
    assert torch.isin(out.inputs[kept, 0, 6, 5], inputs[:, 0]).all()
    assert out.places is not None
    assert torch.equal(out.places < 0, outside)
    found = inputs[:, 0].flatten(1).gather(1, out.places.clamp(min=0).flatten(1)).view(64, 12, 10)
    assert torch.equal(found[~outside], out.inputs[:, 0][~outside])


def test_flip_mirrors_about_half_of_the_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(400, 2, 12, 10)
    masks = (inputs[:, 0] > 0.5).to(torch.uint8)
    out = augment(Batch(inputs, torch.zeros(400).long(), masks), ["flip"], IMAGE, generator)
    same = (out.inputs == inputs).flatten(1).all(1)
    turned = (out.inputs == inputs.flip(-1)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert 150 < int(turned.sum()) < 250
    assert out.masks is not None
    assert torch.equal(out.masks.bool(), out.inputs[:, 0] > 0.5)


def test_scale_and_shift_leave_normals_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 6, 40)
    out = augment(Batch(inputs, torch.zeros(200).long()), ["scale-shift"], CLOUD, generator)
    assert torch.equal(out.inputs[:, 3:], inputs[:, 3:])
    spread = out.inputs[:, :3].std(2) / inputs[:, :3].std(2)
    assert torch.allclose(spread[:, :1].expand(-1, 3), spread, atol=1e-4), "one scale a cloud"
    assert 0.79 < float(spread.min()) < 0.85
    assert 1.2 < float(spread.max()) < 1.26
    moved = out.inputs[:, :3].mean(2) - spread * inputs[:, :3].mean(2)
    assert float(moved.abs().max()) < 0.101


def test_an_augmentation_of_the_other_modality_is_refused() -> None:
    batch = Batch(torch.zeros(2, 6, 40), torch.zeros(2).long())
    with pytest.raises(UserError, match="'flip' is for image inputs, not cloud"):
        augment(batch, ["flip"], CLOUD, torch.Generator())


def test_stratified_split_keeps_classes_and_loses_nothing() -> None:
    targets = torch.tensor([0] * 50 + [1] * 30 + [2] * 2 + [3])
    first, second = stratified_split(targets, 0.2, numpy_generator("s", 0))
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(83))
    assert torch.bincount(targets[second], minlength=4).tolist() == [10, 6, 1, 0]
    again = stratified_split(targets, 0.2, numpy_generator("s", 0))
    assert torch.equal(second, again[1])
    assert not torch.equal(second, stratified_split(targets, 0.2, numpy_generator("s", 1))[1])


def test_a_subset_reads_the_samples_at_its_indices() -> None:
    whole = TensorSplit(torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10))
    subset = SubsetSplit(whole, torch.tensor([7, 3, 5]))
    assert subset.targets.tolist() == [7, 3, 5]
    assert subset.batch(torch.tensor([2, 0])).targets.tolist() == [5, 7]


def test_streams_depend_on_their_names_alone() -> None:
    assert derive_seed("a", 1) == derive_seed("a", 1) != derive_seed("a", 2)
    assert derive_seed("a", "bc") != derive_seed("ab", "c")
    before = torch.get_rng_state()
    with global_seed("x"):
        first = torch.rand(3)
    assert torch.equal(before, torch.get_rng_state())
    with global_seed("x"):
        assert torch.equal(first, torch.rand(3))
    draws = [torch.rand(3, generator=torch_generator("y")) for _ in range(2)]
    assert torch.equal(*draws)


@pytest.mark.usefixtures("plugin_folder")
class TestLoop:
    """The whole loop on the tiny task."""

    @pytest.fixture
    def cell(self, tiny_spec: dict[str, Any]) -> CellSpec:
        return expand(load_spec(tiny_spec)).cells[0]

    def test_matches_a_loop_written_by_hand(self, cell: CellSpec) -> None:
        """Weights after training equal those of plain torch code with the same streams."""
        trained = train(cell, None)
        stream = (cell.task.name, str(sorted(cell.task.parameters.items())), cell.seed)
        split, _ = cell.task.plugin.splits(None, cell.seed)
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed("weights", *stream))
            model: nn.Module = cell.model.plugin.build(cell.task.plugin.facts(None))
        recipe = cell.recipe
        optimizer = torch.optim.SGD(
            model.parameters(),
            recipe.learning_rate,
            recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        steps = len(split) // recipe.batch_size
        total = steps * recipe.epochs
        decay = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, total, recipe.final_learning_rate
        )
        order = torch.Generator().manual_seed(derive_seed("order", *stream))
        model.train()
        for _ in range(recipe.epochs):
            shuffled = torch.randperm(len(split), generator=order)
            for indices in shuffled[: steps * recipe.batch_size].split(recipe.batch_size):
                batch = split.batch(indices)
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(batch.inputs), batch.targets).backward()
                optimizer.step()
                decay.step()
        for name, value in model.state_dict().items():
            assert torch.allclose(value, trained.model.state_dict()[name], atol=1e-5), name

    def test_reports_what_it_cost(self, tiny_spec: dict[str, Any]) -> None:
        entry = {"name": "reldrop-block", "probability": 1.0}
        spec = tiny_spec | {"regularizers": ["none", entry]}
        plain, guided = (train(cell, None) for cell in expand(load_spec(spec)).cells[:2])
        assert (plain.explained, plain.occluded_fraction) == (0, None)
        assert guided.explained == guided.samples == 2 * 48
        assert guided.occluded_fraction is not None
        assert 0.02 < guided.occluded_fraction < 0.4

    def test_kept_maps_save_explanations(self, tiny_spec: dict[str, Any]) -> None:
        """Each entry trains; what differs is how many samples are explained."""
        methods = [
            "lrp-epsilon-plus-flat",
            {"lrp-epsilon-plus-flat": {"refresh": 2}},
            "loss-gradient-x-input",
        ]
        entries = [
            {"name": "reldrop-block", "probability": 1.0, "relevance": each, "label": str(index)}
            for index, each in enumerate(methods)
        ]
        spec = tiny_spec | {"regularizers": ["none", *entries]}
        cells = expand(load_spec(spec)).cells[1:4]
        exact, kept, free = (train(cell, None) for cell in cells)
        assert exact.explained == exact.samples
        assert exact.samples / 2 <= kept.explained < exact.samples
        assert free.explained == 0
        assert len({cell.key for cell in cells}) == 3
        assert cells[1].relevance.label == "lrp-epsilon-plus-flat refresh=2"
        for trained in (kept, free):
            assert trained.occluded_fraction is not None
            assert 0.02 < trained.occluded_fraction < 0.4
        again = train(cells[2], None).model.state_dict()
        assert all(
            torch.equal(value, again[name]) for name, value in free.model.state_dict().items()
        )
