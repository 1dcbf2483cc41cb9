"""Random relevance: from the generator it was given, and from nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from reldrop_bench.attributors.random import RandomRelevance
from reldrop_bench.kinds.attributor import explain_with


@pytest.mark.parametrize(("shape", "expected"), [((4, 3, 5, 6), (4, 5, 6)), ((4, 6, 7), (4, 7))])
def test_uniform_maps_from_the_given_generator(
    shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    inputs, targets = torch.randn(shape), torch.zeros(4, dtype=torch.int64)
    maps = [
        explain_with(
            RandomRelevance(), nn.Identity(), inputs, targets, torch.Generator().manual_seed(seed)
        )
        for seed in (1, 1, 2)
    ]
    assert maps[0].shape == expected
    assert torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])


def test_values_fill_the_unit_interval() -> None:
    inputs = torch.zeros(10, 1, 40, 40)
    generator = torch.Generator().manual_seed(0)
    maps = RandomRelevance().attribute(nn.Identity(), inputs, torch.zeros(10), generator)
    assert 0 <= maps.min() < 0.001
    assert 0.999 < maps.max() < 1
    assert maps.mean().item() == pytest.approx(0.5, abs=0.01)
