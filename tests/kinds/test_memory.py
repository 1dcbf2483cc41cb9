"""Maps of former epochs: found again wherever augmentation has moved a sample since."""

from __future__ import annotations

from dataclasses import field

import pytest
import torch
from torch import Tensor, nn

from reldrop_bench.attributors.gradient import LossGradientTimesInput
from reldrop_bench.data import Batch, Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.kinds.step import Step
from reldrop_bench.running.augmentation import augment

CPU = torch.device("cpu")
IMAGE = Facts("image", ("a", "b"), (1, 12, 10), (0.0,), (1.0,), fill=-1.0)


class Shown(Attributor):
    """The input itself, and a note of how many samples were asked for."""

    name = "shown"
    asked: list[int] = field(default_factory=list)

    def attribute(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
    ) -> Tensor:
        self.asked.append(len(inputs))
        return inputs.sum(1)


def step_of(attributor: Attributor, samples: int = 20) -> Step:
    step = Step(nn.Linear(1, 1), IMAGE, torch.Generator().manual_seed(0), attributor)
    step.memory = RelevanceMemory(samples, IMAGE.element_shape, CPU)
    return step


def batch_of(inputs: Tensor, samples: Tensor) -> Batch:
    return Batch(inputs[samples], torch.zeros(len(samples)).long(), samples=samples)


def test_a_map_comes_back_as_the_image_is_seen_today() -> None:
    """The map is the image: where today's crop shows what the last one saw, they are equal."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(20, 1, 12, 10) + 1
    memory = RelevanceMemory(20, (12, 10), CPU)
    samples = torch.randperm(20, generator=generator)[:16]
    first, second = (
        augment(batch_of(inputs, samples), ["crop", "flip"], IMAGE, generator) for _ in range(2)
    )
    memory.store(samples, first.places, first.inputs[:, 0], epoch=3)
    found = memory.recall(samples, second.places)
    seen = found != 0
    shown = second.inputs[:, 0]
    assert torch.equal(found[seen], shown[seen])
    assert 0.4 < seen.float().mean() < 1
    assert (found[shown == IMAGE.fill] == 0).all(), "padding has no relevance"
    assert torch.equal(
        memory.recall(samples, first.places).clamp(min=-1) == 0, shown_nothing(first)
    )


def shown_nothing(batch: Batch) -> Tensor:
    return batch.inputs[:, 0] == IMAGE.fill


def test_without_augmentation_maps_are_what_was_stored() -> None:
    maps, samples = torch.randn(5, 12, 10), torch.tensor([7, 3, 0, 19, 4])
    memory = RelevanceMemory(20, (12, 10), CPU)
    memory.store(samples, None, maps, epoch=1)
    order = torch.tensor([2, 0, 4])
    assert torch.equal(memory.recall(samples[order], None), maps[order])
    assert memory.age(torch.tensor([3, 5]), epoch=4).tolist() == [3, -1]


@pytest.mark.parametrize(("refresh", "asked"), [(1, [4, 4, 4, 4, 4]), (2, [4, 4, 4]), (3, [4, 4])])
def test_maps_are_made_anew_after_so_many_epochs(refresh: int, asked: list[int]) -> None:
    attributor = Shown(refresh=refresh)
    step = step_of(attributor)
    batch = batch_of(torch.randn(20, 1, 12, 10), torch.arange(4))
    for epoch in range(5):
        step.epoch = epoch
        assert torch.equal(step.relevance_of(batch, torch.arange(4)), batch.inputs[:, 0])
    assert attributor.asked == asked
    assert step.explained == sum(asked)


def test_only_samples_without_a_map_are_explained() -> None:
    attributor = Shown(refresh=5)
    step, inputs = step_of(attributor), torch.randn(20, 1, 12, 10)
    step.relevance_of(batch_of(inputs, torch.tensor([1, 2, 3])), torch.tensor([0, 2]))
    batch = batch_of(inputs, torch.tensor([5, 3, 2, 1]))
    maps = step.relevance_of(batch, torch.tensor([3, 2, 1]))
    assert attributor.asked == [2, 1]
    assert torch.equal(maps, inputs[torch.tensor([1, 2, 3]), 0])


def test_outside_of_training_every_map_is_exact() -> None:
    attributor = Shown(refresh=5)
    step = step_of(attributor)
    for _ in range(2):
        step.relevance_of(Batch(torch.randn(3, 1, 12, 10), torch.zeros(3).long()), torch.arange(3))
    assert attributor.asked == [3, 3]


def test_maps_of_training_s_own_gradient() -> None:
    """Unknown samples have random maps; afterwards -x·∂L/∂x of the step, and nothing is asked."""
    step = step_of(LossGradientTimesInput())
    model = nn.Sequential(nn.Flatten(), nn.Linear(120, 2))
    inputs = torch.randn(20, 1, 12, 10)
    batch = batch_of(inputs, torch.arange(6))
    unknown = step.relevance_of(batch, torch.arange(6))
    assert unknown.min() >= 0
    assert len(unknown.unique()) > 700
    seen = batch.replace(inputs=batch.inputs.clone().requires_grad_())
    nn.functional.cross_entropy(model(seen.inputs), seen.targets).backward()
    step.learn(seen)
    probability = model(batch.inputs).softmax(1)[:, 1].detach()
    difference = (model[1].weight[0] - model[1].weight[1]).detach().view(12, 10)
    expected = batch.inputs[:, 0] * difference * probability[:, None, None] / 6
    found = step.relevance_of(batch, torch.arange(6))
    torch.testing.assert_close(found, expected)
    assert step.explained == 0
    alone = LossGradientTimesInput().attribute(
        model, batch.inputs, batch.targets, torch.Generator()
    )
    torch.testing.assert_close(alone, expected * 6)


def test_refreshing_what_training_refreshes_is_refused() -> None:
    with pytest.raises(UserError, match="refresh has no meaning"):
        LossGradientTimesInput(refresh=2)
