"""Fashion-MNIST with a decoy: a grey patch in a corner that gives the class away, in training alone."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from reldrop_bench import Facts, Shifts
from reldrop_bench.seeding import numpy_generator

from ._image_arrays import ByteImages, Data, FileState, as_data
from .fashion_mnist import CLASSES, FashionMnist, load

PATCH = 4
"""Side of the patch, in pixels."""


class DecoyFashion(FashionMnist):
    """Fashion-MNIST with a 4×4 patch in a random corner (Ross et al. 2017, arXiv 1703.03717).

    Its shade is 255 − 25 · class in training and validation, and that of a random class in the test
    split. Masks are the patch: the shortcut, not the object, so that relevance there is a fault. A
    shift `no-decoy` holds the test images without it, `shortcut-right` with the shade of their class.
    """

    name = "decoy-fashion"

    def facts(self, root: Path | None) -> Facts:
        return replace(super().facts(root), masks=True, shortcut=True)

    def data(self, root: Path | None) -> Data:
        return _load(*self.files(root), self.train_samples).data

    def shifts(self, root: Path | None) -> Shifts:
        found = _load(*self.files(root), self.train_samples)
        return {
            "no-decoy": lambda: found.without,
            "shortcut-right": lambda: found.right,
            **super().shifts(root),
        }


class _Decoyed(NamedTuple):
    data: Data
    without: ByteImages
    """The test images without a patch."""
    right: ByteImages
    """The test images with the shade of their class."""


@functools.lru_cache(maxsize=2)
def _load(folder: Path, states: tuple[FileState, ...], train_samples: int | None) -> _Decoyed:
    plain, name = load(FashionMnist.name, folder, states, train_samples), DecoyFashion.name
    pool, test = plain.train, plain.test
    shades = numpy_generator(name, "test", "shades").integers(0, len(CLASSES), len(test))
    train_images, train_masks = _patched(pool.images, pool.targets, "train")
    images, masks = _patched(test.images, torch.from_numpy(shades), "test")
    right, _ = _patched(test.images, test.targets, "test")
    data = as_data(name, folder, (train_images, pool.targets), (images, test.targets), CLASSES)
    random = replace(data.test, masks=masks)
    return _Decoyed(
        data._replace(train=replace(data.train, masks=train_masks), test=random),
        replace(random, images=test.images, masks=torch.zeros_like(masks)),
        replace(random, images=right),
    )


def _patched(images: Tensor, shades: Tensor, part: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, H, W) uint8 with the patch that belongs to the classes `shades` (N,), and masks."""
    corners = numpy_generator(DecoyFashion.name, part, "corners").integers(0, 2, (len(images), 2))
    bottom, right = torch.from_numpy(corners).bool().T[:, :, None]
    rows, columns = (torch.arange(side) for side in images.shape[2:])
    # (N, H) and (N, W): which lie at the chosen end.
    down = torch.where(bottom, rows >= len(rows) - PATCH, rows < PATCH)
    across = torch.where(right, columns >= len(columns) - PATCH, columns < PATCH)
    masks = down[:, :, None] & across[:, None, :]
    grey = (255 - 25 * shades).to(torch.uint8)[:, None, None, None]
    return torch.where(masks[:, None], grey, images), masks.to(torch.uint8)
