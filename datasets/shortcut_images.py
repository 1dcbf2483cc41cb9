"""The cue images with a shortcut: a fifth glyph that goes with the class in training, and not in tests."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from reldrop_bench import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.seeding import numpy_generator

from ._holdout import cut_validation
from .cue_images import (
    CLASSES,
    CUES,
    GLYPH,
    SIZE,
    CueImages,
    cue_subsets,
    draw,
    removal_name,
    scene,
)

Shortcut = Literal["there", "right", "absent"]
CONTRAST = 1.5
"""Of the shortcut; the strongest cue has 1, so that the shortcut is the easiest to learn."""


class ShortcutImages(CueImages):
    """The images of cue-images with a fifth glyph, a shortcut that is spurious (Geirhos et al. 2020, arXiv 2004.07780).

    In training and validation it is the glyph of the class with probability `strength`, else that of
    any other class; in the test split that of a random class, so that it says nothing. It covers no
    cue. Masks are the four cues, as in cue-images: relevance on the shortcut lies outside of them.
    Shifts: as there, with the shortcut as in the test split; `shortcut-right`, where it is the
    class's; `no-shortcut`. Accuracy on `shortcut-right` less that on the test split is the reliance.
    """

    name = "shortcut-images"

    strength: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.9
    """Probability that the shortcut agrees with the class in training: 1 always, 0.125 by chance."""

    def facts(self, root: Path | None) -> Facts:
        mean, std = _moments(self)
        plain = self.plain.facts(root)
        return Facts(**(vars(plain) | {"mean": (mean,), "std": (std,)}))

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(_split(self, "train"), self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return _split(self, "test")

    def shifts(self, root: Path | None) -> Shifts:
        return {
            "shortcut-right": functools.partial(_split, self, "test", "right"),
            "no-shortcut": functools.partial(_split, self, "test", "absent"),
        } | {
            removal_name(cues): functools.partial(_split, self, "test", "there", cues)
            for cues in cue_subsets(CUES)
        }

    @property
    def plain(self) -> CueImages:
        """The same images without a shortcut."""
        return CueImages.create({k: v for k, v in self.parameters().items() if k != "strength"})

    def labels(self, part: str) -> NDArray[np.int64]:
        """Return the class of each image of the "train" or "test" `part`, (N,)."""
        return scene(self.plain, part).labels

    def shortcut(self, part: str) -> NDArray[np.int64]:
        """Return the class whose glyph the shortcut of each image is, (N,)."""
        labels, draws = self.labels(part), self._stream(part, "shortcut")
        if part == "test":
            return draws.integers(0, CLASSES, len(labels))
        astray = draws.random(len(labels)) >= self.strength
        other = (labels + draws.integers(1, CLASSES, len(labels))) % CLASSES
        return np.where(astray, other, labels)

    def places_of_shortcut(self, part: str) -> NDArray[np.int64]:
        """Return (N, 2) top and left of the shortcut, uniform over the places that cover no cue."""
        cues, draws = scene(self.plain, part).places, self._stream(part, "places")
        places, left = np.zeros((len(cues), 2), np.int64), np.arange(len(cues))
        while len(left):  # four glyphs leave more than a tenth of the places free
            places[left] = draws.integers(0, SIZE - GLYPH + 1, (len(left), 2))
            apart = np.abs(places[left, None] - cues[left]).max(2) >= GLYPH
            left = left[~apart.all(1)]
        return places

    def _stream(self, *what: str) -> np.random.Generator:
        return numpy_generator(self.name, self.generation_seed, *what)


def _images(
    task: ShortcutImages, part: str, shortcut: Shortcut, removed: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return images (N, H, W) and part indices (N, H, W) of the cues."""
    images, masks = draw(scene(task.plain, part), removed)
    if shortcut != "absent":
        bits = task._stream("glyphs").integers(0, 2, (CLASSES, GLYPH, GLYPH))
        classes = task.labels(part) if shortcut == "right" else task.shortcut(part)
        places, side = task.places_of_shortcut(part), np.arange(GLYPH)
        items = np.arange(len(images))[:, None, None]
        rows = places[:, 0, None, None] + side[:, None]
        columns = places[:, 1, None, None] + side
        images[items, rows, columns] += CONTRAST * np.where(bits == 1, 1.0, -1.0)[classes]
    return images, masks


@functools.lru_cache(maxsize=2)
def _moments(task: ShortcutImages) -> tuple[float, float]:
    images, _ = _images(task, "train", "there", ())
    return float(images.mean()), float(images.std())


@functools.lru_cache(maxsize=4)
def _split(
    task: ShortcutImages,
    part: str,
    shortcut: Shortcut = "there",
    removed: tuple[int, ...] = (),
) -> TensorSplit:
    mean, std = _moments(task)
    images, masks = _images(task, part, shortcut, removed)
    inputs = torch.from_numpy(((images - mean) / std).astype(np.float32))[:, None]
    return TensorSplit(inputs, torch.from_numpy(task.labels(part)), torch.from_numpy(masks))
