"""Shape: which region is hidden. What is random is drawn in one function and applied in another."""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor


def normalise(scores: Tensor, positive: bool) -> Tensor:
    """Bring each map of (b, …) into [0, 1]; a constant map becomes 0.

    positive: negative scores count as 0 and the largest becomes 1, so that no relevance is r = 0.
    Otherwise min-max of the signed scores, where r of no relevance depends on the most negative one
    (the RelDrop paper's formula, arXiv 2505.21595).
    """
    flat = scores.flatten(1)
    flat = flat.clamp(min=0) if positive else flat - flat.amin(1, keepdim=True)
    largest = flat.amax(1, keepdim=True)
    return (flat / torch.where(largest > 0, largest, 1)).view_as(scores)


def threshold_mask(scores: Tensor, alpha: float, beta: float, generator: torch.Generator) -> Tensor:
    """Hide an element iff alpha * u + (1 - alpha) * r >= 1 - beta, with u ~ U(0, 1) an element.

    scores: r in [0, 1], (b, …). At alpha = beta = 0.5 the probability to be hidden is r. RelDrop,
    arXiv 2505.21595. Returns bool of the same shape. u is drawn for each rank of r, not each place:
    maps of the same values in another order then hide exactly as much.
    """
    flat = scores.flatten(1)
    u = torch.rand(flat.shape, generator=generator).to(flat.device)
    ranked, order = flat.sort(dim=1, descending=True, stable=True)
    hidden = alpha * u + (1 - alpha) * ranked >= 1 - beta
    return torch.zeros_like(hidden).scatter(1, order, hidden).view_as(scores)


def top_elements(scores: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return the flat indices (b, k) of the k highest scores of (b, …), ties broken at random.

    k is cut to the number of elements. The order within a row means nothing.
    """
    flat = scores.flatten(1)
    k = min(k, flat.shape[1])
    last = flat.topk(k, sorted=True).values[:, -1:]
    u = torch.rand(flat.shape, generator=generator).to(flat.device)
    # Everything above the k-th value is in; the free places go to its equals in random order.
    key = torch.where(flat > last, 2.0, torch.where(flat == last, u, -1.0))
    return key.topk(k, sorted=False).indices


def draw_centres(scores: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Draw one flat index (b,) uniformly from the k highest scores of (b, …), ties at random."""
    top = top_elements(scores, k, generator)
    which = torch.randint(top.shape[1], (len(top), 1), generator=generator).to(top.device)
    return top.gather(1, which).squeeze(1)


def descending_order(scores: Tensor, generator: torch.Generator) -> Tensor:
    """Return the flat indices (b, n) of (b, …), highest score first, ties in random order."""
    flat = scores.flatten(1)
    shuffled = torch.rand(flat.shape, generator=generator).to(flat.device).argsort(1)
    order = flat.gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    return shuffled.gather(1, order)


def rank_mask(scores: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Hide the round(fraction * n) elements with the highest scores of (b, …), ties at random."""
    order = descending_order(scores, generator)
    count = round(fraction * order.shape[1])
    mask = torch.zeros(order.shape, dtype=torch.bool, device=order.device)
    return mask.scatter(1, order[:, :count], True).view_as(scores)


class Rectangles(NamedTuple):
    """k rectangles a sample, in pixels, each (b, k) int64."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_sizes(
    areas: Tensor, aspect: tuple[float, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw log-uniform aspects (height / width) for rectangles of `areas` (b, k) in pixels.

    Returns heights and widths (b, k), float and not yet rounded.
    """
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = (low + (high - low) * torch.rand(areas.shape, generator=generator)).exp()
    return (areas * ratio).sqrt(), (areas / ratio).sqrt()


def draw_areas(
    shape: tuple[int, int], area: tuple[float, float], size: torch.Size, generator: torch.Generator
) -> Tensor:
    """Draw areas ~ U(area) * H * W in pixels; `shape` is that of the result, `size` is (H, W)."""
    low, high = area
    return (low + (high - low) * torch.rand(shape, generator=generator)) * size[0] * size[1]


Border = Literal["inside", "clip"]
"""What becomes of a rectangle that reaches over the border: it moves inside, or is clipped."""


def rectangles_at(
    centres: Tensor, heights: Tensor, widths: Tensor, size: torch.Size, border: Border = "clip"
) -> Rectangles:
    """Place rectangles of (b, k) float heights and widths around flat indices `centres` (b, k).

    What is returned lies inside the image.
    """
    height, width = (
        side.round().long().clamp(min=1).to(centres.device) for side in (heights, widths)
    )
    top, left = centres // size[1] - height // 2, centres % size[1] - width // 2
    if border == "inside":
        height, width = height.clamp(max=size[0]), width.clamp(max=size[1])
        top = top.clamp(min=0).minimum(size[0] - height)
        left = left.clamp(min=0).minimum(size[1] - width)
    bottom, right = (top + height).clamp(max=size[0]), (left + width).clamp(max=size[1])
    top, left = top.clamp(min=0), left.clamp(min=0)
    return Rectangles(top, left, bottom - top, right - left)


def placed_anew(
    height: Tensor, width: Tensor, size: torch.Size, generator: torch.Generator
) -> Rectangles:
    """Return rectangles of sizes (b, k) int64, each uniformly where it fits into the image."""
    u, v = torch.rand((2, *height.shape), generator=generator).to(height.device)
    top, left = (
        (share * (room + 1)).long().minimum(room)  # in float32 a share may round up to all of it
        for share, room in ((u, size[0] - height), (v, size[1] - width))
    )
    return Rectangles(top, left, height, width)


def exactly(areas: Tensor, rectangles: Iterator[Rectangles], size: torch.Size) -> Tensor:
    """Return masks (b, H, W) that hide exactly `areas` (b,) pixels, of rectangles that are whole.

    rectangles: placements one after the other, (b, k) each, until there is enough; of the last
    rectangle of a sample only the first rows are hidden, as far as they are needed.
    """
    mask = torch.zeros((len(areas), *size), dtype=torch.bool, device=areas.device)
    missing = areas.clone()
    for placed in rectangles:
        for k in range(placed.top.shape[1]):
            one = Rectangles(*(part[:, k : k + 1] for part in placed))
            new = rectangle_mask(one, size) & ~mask
            new &= new.flatten(1).cumsum(1).view_as(mask) <= missing[:, None, None]
            mask |= new
            missing -= new.flatten(1).sum(1)
        if not missing.any():
            break
    return mask


def draw_rectangles_inside(
    count: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    size: torch.Size,
    generator: torch.Generator,
    attempts: int = 10,
) -> Rectangles:
    """Draw one rectangle a sample that lies inside the image, as random erasing does.

    The first of `attempts` draws that is smaller than the image is taken, and its place is uniform;
    where none fits the rectangle is empty. Zhong et al., arXiv 1708.04896. Returns (count, 1).
    """
    areas = draw_areas((count, attempts), area, size, generator)
    height, width = (side.round().long() for side in draw_sizes(areas, aspect, generator))
    fits = (height < size[0]) & (width < size[1])
    first = fits.long().cumsum(1).eq(0).sum(1, keepdim=True).clamp(max=attempts - 1)
    none = ~fits.any(1, keepdim=True)
    height = height.gather(1, first).masked_fill(none, 0)
    width = width.gather(1, first).masked_fill(none, 0)
    return placed_anew(height, width, size, generator)


def draw_squares(count: int, side: int, size: torch.Size, generator: torch.Generator) -> Rectangles:
    """Draw one square a sample whose centre is any pixel. DeVries & Taylor, arXiv 1708.04552."""
    row = torch.randint(size[0], (count, 1), generator=generator)
    column = torch.randint(size[1], (count, 1), generator=generator)
    sides = torch.full((count, 1), side)
    return Rectangles(row - side // 2, column - side // 2, sides, sides)


def rectangle_mask(rectangles: Rectangles, size: torch.Size) -> Tensor:
    """Return (b, H, W) bool: the union of each sample's rectangles, clipped at the border."""
    top, left, height, width = (part.unsqueeze(2) for part in rectangles)
    row = torch.arange(size[0], device=top.device)
    column = torch.arange(size[1], device=top.device)
    rows = (row >= top) & (row < top + height)
    columns = (column >= left) & (column < left + width)
    # A product over k needs no (b, k, H, W).
    return rows.transpose(1, 2).float() @ columns.float() > 0


def ball_mask(places: Tensor, centres: Tensor, counts: Tensor) -> Tensor:
    """Hide the `counts` (b,) points nearest to the point `centres` (b,) of `places` (b, 3, N).

    Returns (b, N) bool. The centre itself is the nearest.
    """
    centre = places.gather(2, centres[:, None, None].expand(-1, places.shape[1], 1))
    order = (places - centre).square().sum(1).argsort(1)
    near = torch.arange(order.shape[1], device=order.device) < counts[:, None]
    return torch.zeros_like(near).scatter(1, order, near)
