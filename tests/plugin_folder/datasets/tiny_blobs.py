"""A task that trains in a tenth of a second, for tests of the harness."""

from __future__ import annotations

from pathlib import Path

import torch

from reldrop_bench.data import (
    Facts,
    Shifts,
    Split,
    SubsetSplit,
    TensorSplit,
    TrainingSplits,
    stratified_split,
)
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.seeding import numpy_generator, torch_generator


class TinyBlobs(Task):
    """A bright spot at one of three places on noise, 8×8 pixels."""

    name = "tiny-blobs"
    modalities = {"image"}
    default_model = "small-cnn"
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05)
    samples: int = 64

    def facts(self, root: Path | None) -> Facts:
        return Facts("image", ("a", "b", "c"), (1, 8, 8), (0.0,), (1.0,), masks=True)

    def _make(self, part: str) -> TensorSplit:
        generator = torch_generator(self.name, part)
        targets = torch.arange(self.samples) % 3
        inputs = torch.randn(self.samples, 1, 8, 8, generator=generator)
        masks = torch.zeros(self.samples, 8, 8, dtype=torch.uint8)
        rows = torch.arange(self.samples)
        for row in range(2):
            for column in range(2):
                inputs[rows, 0, 2 * targets + row, 3 + column] += 3
                masks[rows, 2 * targets + row, 3 + column] = 1
        return TensorSplit(inputs, targets, masks)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        whole = self._make("train")
        train, validation = stratified_split(whole.targets, 0.25, numpy_generator(self.name, seed))
        return TrainingSplits(SubsetSplit(whole, train), SubsetSplit(whole, validation))

    def test(self, root: Path | None) -> Split:
        return self._make("test")

    def shifts(self, root: Path | None) -> Shifts:
        def noisy() -> Split:
            clean = self._make("test")
            noise = torch.randn(clean.inputs.shape, generator=torch_generator(self.name, "noise"))
            return TensorSplit(clean.inputs + noise, clean.targets, clean.masks)

        return {"noise/1": noisy}
