"""Standard data augmentation, a part of the recipe: the same for every regularizer."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reldrop_bench.data import Batch, Facts
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.recipe import AUGMENTATIONS

PADDING = 4
"""Pixels added on each side before a random crop."""
SCALE, SHIFT = (0.8, 1.25), 0.1
"""Range of the random scale of a cloud, and the largest shift along each axis."""


def _places(batch: Batch) -> Tensor:
    """Return where each pixel was before augmentation, (B, H, W)."""
    if batch.places is not None:
        return batch.places
    count, _, height, width = batch.inputs.shape
    places = torch.arange(height * width, device=batch.inputs.device).view(1, height, width)
    return places.expand(count, height, width)


def _crop(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    count, _, height, width = batch.inputs.shape
    offsets = torch.randint(0, 2 * PADDING + 1, (2, count), generator=generator)
    offsets = offsets.to(batch.inputs.device)
    rows = offsets[0][:, None] + torch.arange(height, device=offsets.device)
    columns = offsets[1][:, None] + torch.arange(width, device=offsets.device)
    samples = torch.arange(count, device=offsets.device)[:, None, None]

    def cut(images: Tensor, fill: float) -> Tensor:
        padded = F.pad(images, (PADDING,) * 4, value=fill)
        moved = padded.movedim(1, -1) if padded.ndim == 4 else padded
        window = moved[samples, rows[:, :, None], columns[:, None, :]]
        return window.movedim(-1, 1).contiguous() if padded.ndim == 4 else window

    masks = None if batch.masks is None else cut(batch.masks, 0)
    places = cut(_places(batch), -1)
    return batch.replace(inputs=cut(batch.inputs, facts.fill), masks=masks, places=places)


def _flip(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    chosen = (torch.rand(len(batch), generator=generator) < 0.5).to(batch.inputs.device)

    def mirror(images: Tensor) -> Tensor:
        return torch.where(chosen.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)

    masks = None if batch.masks is None else mirror(batch.masks)
    places = mirror(_places(batch))
    return batch.replace(inputs=mirror(batch.inputs), masks=masks, places=places)


def _scale_shift(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    def uniform(channels: int, low: float, high: float) -> Tensor:
        values = torch.rand((len(batch), channels, 1), generator=generator)
        return (values * (high - low) + low).to(batch.inputs)

    scale, shift = uniform(1, *SCALE), uniform(3, -SHIFT, SHIFT)
    inputs = batch.inputs.clone()
    inputs[:, :3] = inputs[:, :3] * scale + shift
    return batch.replace(inputs=inputs)


_AUGMENT: Mapping[str, Callable[[Batch, Facts, torch.Generator], Batch]] = {
    "crop": _crop,
    "flip": _flip,
    "scale-shift": _scale_shift,
}


def augment(
    batch: Batch, augmentations: Sequence[str], facts: Facts, generator: torch.Generator
) -> Batch:
    """Return the batch with the recipe's augmentations applied, masks and places along with inputs.

    `crop`: pad by 4 and crop at a random place; `flip`: mirror every second image; `scale-shift`:
    scale clouds by U(0.8, 1.25) and move them by U(-0.1, 0.1) along each axis.
    """
    for name in augmentations:
        wanted = AUGMENTATIONS[name]
        if facts.modality != wanted:
            raise UserError(
                f"recipe.augmentation: {name!r} is for {wanted} inputs, not {facts.modality}"
            )
        batch = _AUGMENT[name](batch, facts, generator)
    return batch
