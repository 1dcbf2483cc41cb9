"""Order: in which order the elements of an input are hidden, one after the other."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from reldrop_bench.data import Batch

RandomOrder = Literal["random", "random-blocks", "random-ball", "mask"]
"""random: single pixels or points. random-blocks (images): one cell after the other of a grid of
six by six. random-ball (clouds): a growing ball around a random point. mask: first the region of
interest, then the rest, either part at random; for tasks with masks."""

ORDERS: Mapping[str, tuple[RandomOrder, ...]] = {
    "image": ("random", "random-blocks", "mask"),
    "cloud": ("random", "random-ball", "mask"),
}
"""The names of the orders that look at no model, by modality."""
GRID = 6
"""Cells of random-blocks along the longer side."""


def random_ranks(order: RandomOrder, batch: Batch, chance: Tensor) -> Tensor:
    """Return in which place each element is hidden: (B, H, W) or (B, N) int64, 0 = first.

    chance (B, H, W) or (B, N), uniform random numbers on the batch's device. The ranks of a sample
    are a permutation, so hiding those below a growing count gives nested masks.
    """
    if order == "mask":
        assert batch.masks is not None
        key = chance + (batch.masks == 0)
    elif order == "random-blocks":
        height, width = chance.shape[1:]
        cell = math.ceil(max(height, width) / GRID)
        # One number a cell; equal keys keep their place, so a cell is hidden as a whole.
        rows = torch.arange(height, device=chance.device) // cell
        columns = torch.arange(width, device=chance.device) // cell
        key = chance[:, rows][:, :, columns]
    elif order == "random-ball":
        places = batch.inputs[:, :3]
        centre = places.gather(2, chance.argmax(1)[:, None, None].expand(-1, places.shape[1], 1))
        key = (places - centre).square().sum(1)
    else:
        key = chance
    return _ranks(key.flatten(1).argsort(dim=1, stable=True)).view_as(chance)


def relevance_ranks(relevance: Tensor, chance: Tensor) -> Tensor:
    """Return ranks as `random_ranks` does, the most relevant element first, ties by `chance`.

    relevance (B, H, W) or (B, N), signed; chance alike, uniform random numbers. The negated map
    with the same chance gives the order of the least relevant first.
    """
    shuffled = chance.flatten(1).argsort(1)
    sorted_again = relevance.flatten(1).gather(1, shuffled)
    order = sorted_again.argsort(dim=1, descending=True, stable=True)
    return _ranks(shuffled.gather(1, order)).view_as(relevance)


def _ranks(order: Tensor) -> Tensor:
    """Return the inverse of permutations (B, n)."""
    place = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, place)
