"""Fill: with what a hidden region is replaced."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError, suggest
from reldrop_bench.occlusion.inpaint import NOISE, inpaint

ImageFill = Literal["mean", "channel-mean", "noise", "blur", "other-sample", "inpaint"]
"""mean: `facts.fill`. channel-mean: the raw channel mean used in normalised space, a mistake of the
RelDrop authors' code, for comparison only. noise: standard normal in normalised space. blur: a
Gaussian an eighth of the side wide; what was there still shines through. other-sample: the same
place of another sample of the batch. inpaint: the weighted mean of the neighbours with a little
noise, ROAD's noisy linear imputation, see `inpaint`; where everything is hidden as mean."""

CloudFill = Literal["duplicate", "resample", "first", "origin", "noise", "other-sample"]
"""duplicate: a random kept point of the same cloud, for a set function the same as removal.
resample: a new point anywhere between a random kept point and the kept point nearest to it, with
the former's normal; what is left of the surface, sampled again. first: the first kept point.
origin: zeros, normals included; biased, as it adds a fake point. noise: uniform in the cloud's
bounding box, normals random unit vectors. other-sample: a point of another cloud of the batch."""

FILLS: Mapping[str, tuple[str, ...]] = {"image": get_args(ImageFill), "cloud": get_args(CloudFill)}
"""The names of the fills, by modality."""

MASKED = frozenset({"inpaint", "duplicate", "resample", "first"})
"""Fills that depend on what is hidden. The others are the same whatever is, see `replacement`."""


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
    instead = fills[fill](inputs, mask, facts, generator).to(inputs.dtype)
    return torch.where(mask.unsqueeze(1), instead, inputs)


def replacement(inputs: Tensor, fill: str, facts: Facts, generator: torch.Generator) -> Tensor:
    """Return what `occlude` would put in place of any element, for fills that read no mask.

    fill: a name that is not in `MASKED`. Returns what broadcasts to the shape of `inputs`: for many
    masks it need be made only once.
    """
    fills = _IMAGE if facts.modality == "image" else _CLOUD
    whole = torch.ones((), dtype=torch.bool, device=inputs.device)
    mask = whole.expand(len(inputs), *inputs.shape[2:])
    return fills[fill](inputs, mask, facts, generator).to(inputs.dtype)


PAIRS = 2**20
"""Pairs of points whose distances are held at once."""


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


def _inpaint(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    smooth = inpaint(inputs, mask, facts.fill)
    return smooth.add_(_normal(inputs, mask, facts, generator), alpha=NOISE)


def _duplicate(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    kept = (~mask).sum(1, keepdim=True)
    u = torch.rand(mask.shape, generator=generator).to(mask.device)
    # Kept points, cloud after cloud; the j-th of a cloud stands j behind the first.
    listed, first = (~mask).nonzero()[:, 1], kept.cumsum(0) - kept
    drawn = listed[first + torch.minimum((u * kept).long(), kept - 1)]
    return inputs.gather(2, drawn.unsqueeze(1).expand_as(inputs))


def _resample(inputs: Tensor, mask: Tensor, facts: Facts, generator: torch.Generator) -> Tensor:
    if not inputs.numel():
        return inputs
    kept = (~mask).sum(1, keepdim=True)
    u, along = torch.rand((2, *mask.shape), generator=generator).to(mask.device)
    # The kept points of each cloud first, in its order; then what no cloud has is cut off.
    order = mask.to(torch.uint8).argsort(dim=1, stable=True)[:, : int(kept.max())]
    points = inputs.gather(2, order.unsqueeze(1).expand(-1, inputs.shape[1], -1))
    drawn = torch.minimum((u * kept).long(), kept - 1)
    hidden = mask.to(torch.uint8).argsort(dim=1, stable=True, descending=True)
    hidden = hidden[:, : int(mask.sum(1).max())]
    source = drawn.gather(1, hidden)
    nearest = _nearest(points[:, :3], source, kept)
    both = (each.unsqueeze(1).expand(-1, 3, -1) for each in (source, nearest))
    here, there = (points[:, :3].gather(2, each) for each in both)
    new = here + (there - here) * along.gather(1, hidden).unsqueeze(1)
    if inputs.shape[1] > 3:
        rest = points[:, 3:]
        normals = rest.gather(2, source.unsqueeze(1).expand(-1, rest.shape[1], -1))
        new = torch.cat([new, normals], 1)
    return inputs.scatter(2, hidden.unsqueeze(1).expand_as(new), new)


def _nearest(points: Tensor, source: Tensor, kept: Tensor) -> Tensor:
    """Return for the points `source` (B, Q) which other of the first `kept` (B, 1) is the nearest.

    points (B, 3, K); returns (B, Q). A point that is alone is its own neighbour.
    """
    other = torch.arange(points.shape[2], device=points.device)
    centred = points - points.mean(2, keepdim=True)
    squares = centred.square().sum(1).masked_fill_(other >= kept, torch.inf)
    nearest = torch.empty_like(source)
    # As many clouds at a time as stay in a CPU's cache.
    step = max(1, PAIRS // max(1, source.shape[1] * points.shape[2]))
    for some in torch.arange(len(points)).split(step):
        rows = slice(int(some[0]), int(some[-1]) + 1)
        asked = source[rows].unsqueeze(1)
        here = centred[rows].gather(2, asked.expand(-1, 3, -1))
        # |a - b|^2 up to |a|^2, which is the same for all b.
        distance = torch.baddbmm(
            squares[rows, None], here.transpose(1, 2), centred[rows], alpha=-2
        ).scatter_(2, asked.transpose(1, 2), torch.inf)
        nearest[rows] = distance.argmin(2)
    return torch.where(kept > 1, nearest, source)


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
    "inpaint": _inpaint,
}
_CLOUD: Mapping[str, _Fill] = {
    "duplicate": _duplicate,
    "resample": _resample,
    "first": _first,
    "origin": _origin,
    "noise": _box,
    "other-sample": _other,
}
