"""Fill: with what a hidden region is replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError, suggest

ImageFill = Literal["mean", "channel-mean", "noise", "blur", "other-sample"]
"""mean: `facts.fill`. channel-mean: the raw channel mean used in normalised space, a mistake of the
RelDrop authors' code, for comparison only. noise: standard normal in normalised space. blur: a
Gaussian an eighth of the side wide. other-sample: the same place of another sample of the batch."""

CloudFill = Literal["duplicate", "first", "origin", "noise", "other-sample"]
"""duplicate: a random kept point of the same cloud, for a set function the same as removal. first:
the first kept point. origin: zeros, normals included; biased, as it adds a fake point. noise:
uniform in the cloud's bounding box, normals random unit vectors. other-sample: a point of another
cloud of the batch."""

FILLS: Mapping[str, tuple[str, ...]] = {"image": get_args(ImageFill), "cloud": get_args(CloudFill)}
"""The names of the fills, by modality."""


def occlude(
    inputs: Tensor, mask: Tensor, fill: str, facts: Facts, generator: torch.Generator
) -> Tensor:
    """Return a copy of the inputs in which what `mask` marks is replaced.

    Parameters
    ----------
    inputs
        (B, C, H, W) or (B, C, N), normalised. Never changed in place.
    mask
        (B, H, W) or (B, N) bool, True = hidden. Of a cloud with every point hidden the first point
        stays (`keep_one`).
    fill
        A name in ``FILLS[facts.modality]``. "other-sample" in a batch of one is "mean" for an image
        and "duplicate" for a cloud.
    facts
        Gives modality, mean, std and fill value.
    generator
        A CPU generator, the only source of randomness.

    Raises
    ------
    UserError
        The modality has no such fill.
    """
    fills = _IMAGE if facts.modality == "image" else _CLOUD
    if fill not in fills:
        raise UserError(f"no fill {fill!r} for {facts.modality} inputs; {suggest(fill, fills)}")
    if facts.modality == "cloud":
        mask = keep_one(mask)
    replacement = fills[fill](inputs, mask, facts, generator).to(inputs.dtype)
    return torch.where(mask.unsqueeze(1), replacement, inputs)


def keep_one(mask: Tensor) -> Tensor:
    """Return a mask (B, N) in which clouds that were hidden whole show their first point."""
    shown = torch.zeros_like(mask)
    shown[:, 0] = mask.all(1)
    return mask & ~shown


def draw_partners(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return for each of the `rows` (b,) another row of a batch of `size` >= 2, never itself."""
    distance = torch.randint(1, size, (len(rows),), generator=generator).to(rows.device)
    return (rows + distance) % size


def _mean(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    return inputs.new_tensor(facts.fill)


def _channel_mean(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    return inputs.new_tensor(facts.mean).view(1, -1, 1, 1)


def _normal(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    return torch.randn(inputs.shape, generator=generator).to(inputs.device)


def _blur(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    rows, columns = (_gaussian(side, inputs) for side in inputs.shape[-2:])
    return rows @ inputs @ columns.T


def _gaussian(side: int, like: Tensor) -> Tensor:
    # As a matrix whose rows sum to one: exact at the border, for any side, without padding.
    place = torch.arange(side, device=like.device, dtype=like.dtype)
    distance = (place[:, None] - place[None, :]) / max(side / 8, 1)
    return (-0.5 * distance.square()).softmax(1)


def _other(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    if len(inputs) < 2:
        alone = _mean if facts.modality == "image" else _duplicate
        return alone(inputs, mask, facts, generator)
    rows = torch.arange(len(inputs), device=inputs.device)
    return inputs[draw_partners(rows, len(inputs), generator)]


def _duplicate(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    kept_first = mask.to(torch.uint8).argsort(dim=1, stable=True)
    kept = (~mask).sum(1, keepdim=True)
    u = torch.rand(mask.shape, generator=generator).to(mask.device)
    drawn = kept_first.gather(1, torch.minimum((u * kept).long(), kept - 1))
    return inputs.gather(2, drawn.unsqueeze(1).expand_as(inputs))


def _first(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    first = (~mask).to(torch.uint8).cumsum(1).eq(0).sum(1)
    return inputs.gather(2, first[:, None, None].expand(-1, inputs.shape[1], 1))


def _origin(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    return inputs.new_zeros(())


def _box(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    places = inputs[:, :3]
    low, high = places.amin(2, keepdim=True), places.amax(2, keepdim=True)
    u = torch.rand(places.shape, generator=generator).to(inputs.device)
    parts = [low + (high - low) * u]
    if inputs.shape[1] > 3:
        normals = torch.randn(inputs[:, 3:].shape, generator=generator).to(inputs.device)
        units = torch.nn.functional.normalize(normals, dim=1)
        mean, std = (
            inputs.new_tensor(value[3:]).view(1, -1, 1) for value in (facts.mean, facts.std)
        )
        parts.append((units - mean) / std)
    return torch.cat(parts, 1)


_Fill = Callable[[Tensor, Tensor, Facts, torch.Generator], Tensor]
_IMAGE: Mapping[str, _Fill] = {
    "mean": _mean,
    "channel-mean": _channel_mean,
    "noise": _normal,
    "blur": _blur,
    "other-sample": _other,
}
_CLOUD: Mapping[str, _Fill] = {
    "duplicate": _duplicate,
    "first": _first,
    "origin": _origin,
    "noise": _box,
    "other-sample": _other,
}
