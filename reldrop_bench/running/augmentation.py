"""Standard data augmentation, a part of the recipe: the same for every regularizer."""

import math
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
JITTER, JITTER_LIMIT = 0.01, 0.05
"""Deviation of the noise of coordinates, and its largest value: those of PointNet (arXiv 1612.00593)."""
ROTATION = 15.0
"""Degrees by which an image is turned at most."""
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
"""Of a random crop that is resized: torchvision's defaults."""
COLOUR = 0.4
"""By how much brightness, contrast and saturation change at most."""
LUMA = (0.299, 0.587, 0.114)


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


def _turn(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    angle = (torch.rand(len(batch), generator=generator) * 2 * math.pi).to(batch.inputs)
    sine, cosine, zero, one = angle.sin(), angle.cos(), angle * 0, angle * 0 + 1
    turns = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(
        -1, 3, 3
    )
    # Normals turn as positions do.
    parts = batch.inputs.unflatten(1, (-1, 3))
    return batch.replace(inputs=torch.einsum("bij,bgjn->bgin", turns, parts).flatten(1, 2))


def _jitter(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    shape = (len(batch), 3, batch.inputs.shape[2])
    noise = (torch.randn(shape, generator=generator) * JITTER).clamp(-JITTER_LIMIT, JITTER_LIMIT)
    inputs = batch.inputs.clone()
    inputs[:, :3] += noise.to(inputs)
    return batch.replace(inputs=inputs)


def _rotate(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    height, width = batch.inputs.shape[2:]
    angles = (torch.rand(len(batch), generator=generator) * 2 - 1) * math.radians(ROTATION)
    sine, cosine = angles.sin()[:, None, None], angles.cos()[:, None, None]
    rows = torch.arange(height)[:, None] - (height - 1) / 2
    columns = torch.arange(width)[None, :] - (width - 1) / 2
    return resampled(
        batch,
        facts,
        cosine * rows + sine * columns + (height - 1) / 2,
        cosine * columns - sine * rows + (width - 1) / 2,
    )


def _resized_crop(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    """As torchvision's RandomResizedCrop: ten tries of a sample, then the largest centre square."""
    height, width = batch.inputs.shape[2:]
    draws = torch.rand((4, len(batch), 10), generator=generator)
    area = height * width * (AREA[0] + draws[0] * (AREA[1] - AREA[0]))
    low, high = map(math.log, ASPECT)
    aspect = (low + draws[1] * (high - low)).exp()
    tall, wide = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    first = fits.float().argmax(1, keepdim=True)
    tall, wide, down, along = (
        part.gather(1, first)[:, 0] for part in (tall, wide, draws[2], draws[3])
    )
    some = fits.any(1)
    side = float(min(height, width))
    tall, wide = tall.where(some, side), wide.where(some, side)
    half = torch.full_like(down, 0.5)
    top = (down.where(some, half) * (height - tall + 1)).floor().clamp(max=height - tall)
    left = (along.where(some, half) * (width - wide + 1)).floor().clamp(max=width - wide)

    def source(start: Tensor, length: Tensor, size: int) -> Tensor:
        # Interpolation stays within the crop: what lies outside of it is not seen.
        inner = (torch.arange(size) + 0.5) * (length / size)[:, None] - 0.5
        return start[:, None] + inner.clamp(min=0).minimum(length[:, None] - 1)

    rows, columns = source(top, tall, height), source(left, wide, width)
    shape = (len(batch), height, width)
    return resampled(
        batch, facts, rows[:, :, None].expand(shape), columns[:, None, :].expand(shape)
    )


def _colour_jitter(batch: Batch, facts: Facts, generator: torch.Generator) -> Batch:
    """Brightness, contrast, saturation in this order, each by a factor of its own, in the range of the pixels."""
    factors = 1 + (torch.rand((3, len(batch)), generator=generator) * 2 - 1) * COLOUR
    brightness, contrast, saturation = factors.to(batch.inputs)[..., None, None, None]
    mean, std = (
        batch.inputs.new_tensor(each).view(1, -1, 1, 1) for each in (facts.mean, facts.std)
    )
    images = batch.inputs * std + mean
    images = (images * brightness).clamp(0, 1)
    images = torch.lerp(_grey(images).mean((2, 3), keepdim=True), images, contrast).clamp(0, 1)
    images = torch.lerp(_grey(images), images, saturation).clamp(0, 1)
    return batch.replace(inputs=(images - mean) / std)


def _grey(images: Tensor) -> Tensor:
    """Return (B, 1, H, W): luma of ITU-R BT.601 where there are three channels."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    return torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))[:, None]


def resampled(batch: Batch, facts: Facts, rows: Tensor, columns: Tensor) -> Batch:
    """Return images whose pixels are those at `rows`, `columns` (B, H, W), which may lie between pixels.

    Inputs are interpolated; masks and places are those of the nearest pixel. What lies outside is filled.
    """
    height, width = batch.inputs.shape[2:]
    rows, columns = rows.to(batch.inputs), columns.to(batch.inputs)
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], -1)
    moved = F.grid_sample(batch.inputs - facts.fill, grid, align_corners=False) + facts.fill
    row, column = rows.round().long(), columns.round().long()
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)

    def nearest(values: Tensor, fill: int) -> Tensor:
        return values.flatten(1).gather(1, index).view_as(row).where(inside, fill)

    masks = None if batch.masks is None else nearest(batch.masks, 0)
    return batch.replace(inputs=moved, masks=masks, places=nearest(_places(batch), -1))


_AUGMENT: Mapping[str, Callable[[Batch, Facts, torch.Generator], Batch]] = {
    "crop": _crop,
    "flip": _flip,
    "resized-crop": _resized_crop,
    "rotate": _rotate,
    "colour-jitter": _colour_jitter,
    "scale-shift": _scale_shift,
    "turn": _turn,
    "jitter": _jitter,
}


def augment(
    batch: Batch, augmentations: Sequence[str], facts: Facts, generator: torch.Generator
) -> Batch:
    """Return the batch with the recipe's augmentations applied, masks and places along with inputs.

    Of images, `crop`: pad by 4 and crop at a random place; `flip`: mirror every second one; `resized-crop`: a
    rectangle of 8 to 100 % of the area and an aspect of 3/4 to 4/3, stretched to the whole; `rotate`: by
    U(-15, 15) degrees; `colour-jitter`: brightness, contrast and saturation by factors ~ U(0.6, 1.4). Of clouds,
    `scale-shift`: by U(0.8, 1.25), and U(-0.1, 0.1) along each axis; `turn`: about the third axis by any angle;
    `jitter`: each coordinate by N(0, 0.01), at most 0.05.
    """
    for name in augmentations:
        wanted = AUGMENTATIONS[name]
        if facts.modality != wanted:
            raise UserError(
                f"recipe.augmentation: {name!r} is for {wanted} inputs, not {facts.modality}"
            )
        batch = _AUGMENT[name](batch, facts, generator)
    return batch
