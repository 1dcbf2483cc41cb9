"""Inpainting: hidden pixels as weighted means of their neighbours, for whole batches at once."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

NOISE = 0.01
"""Standard deviation of what ROAD adds, here in normalised space."""
TOLERANCE = 3e-4
"""Estimated error (energy norm over the image) at which an image is solved. It bounds the error of a
pixel at any size of image but for a factor near 1, so this is well below a tenth of the noise."""
LIMIT = 1000
"""Steps at most; about 15 are usual at 32 pixels, 100 at 224."""
CELLS = 6
"""Cells of the coarse grid along the longer side."""
WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}
"""What a neighbour weighs by its offset (row, column); the opposite one weighs the same."""


def inpaint(inputs: Tensor, hidden: Tensor, fill: float) -> Tensor:
    """Return images whose hidden pixels are the weighted mean of their neighbours.

    A direct neighbour weighs 1/6, a diagonal one 1/12, none outside the image; where neighbours are
    hidden as well this is a linear system. The imputation of ROAD (Rong et al. 2022, arXiv
    2202.00449) without its noise: what is left tells nothing of what was hidden, and the border of
    the hidden region is no cue either. Solved by conjugate gradients, preconditioned on a coarse
    grid, with a stop for each image and channel, so that what an image becomes does not depend on
    the batch.

    Parameters
    ----------
    inputs
        (B, C, H, W), finite.
    hidden
        (B, H, W) bool.
    fill
        The value of images that are hidden whole, about which the system says nothing.
    """
    if not inputs.numel():
        return inputs
    exact = torch.promote_types(inputs.dtype, torch.float32)
    some = hidden & ~hidden.flatten(1).all(1)[:, None, None]
    unknown = some.unsqueeze(1).to(exact)
    known = 1 - unknown
    total = _neighbours(torch.ones_like(known[:1]))
    seen = inputs.to(exact) * known
    values = _start(seen, known) * unknown
    precondition = _coarse_grid(unknown, total)
    # The system at the hidden pixels, symmetric and positive: total * x - neighbours(x) = b.
    residual = _neighbours(seen.add_(values)).sub_(total * values).mul_(unknown)
    better = precondition(residual)
    direction, norm = better, _dot(residual, better)
    for _ in range(LIMIT):
        going = norm > TOLERANCE**2
        if not going.any():
            break
        image = (total * direction).sub_(_neighbours(direction)).mul_(unknown)
        length = torch.where(going, norm / _dot(direction, image), 0)
        values.addcmul_(direction, length)
        residual.addcmul_(image, length, value=-1)
        better = precondition(residual)
        before, norm = norm, _dot(residual, better)
        direction = better.addcmul_(direction, torch.where(going, norm / before, 0))
    values = torch.where(some.unsqueeze(1), values, fill).to(inputs.dtype)
    return torch.where(hidden.unsqueeze(1), values, inputs)


def _neighbours(values: Tensor) -> Tensor:
    """Return the weighted sum of each pixel's neighbours, (B, C, H, W); nothing is outside."""
    # The stencil 1 2 1, 2 0 2, 1 2 1 over 12 is that of [1 2 1] along both sides without its centre.
    rows = values * (1 / 6)
    rows[..., 1:, :].add_(values[..., :-1, :], alpha=1 / 12)
    rows[..., :-1, :].add_(values[..., 1:, :], alpha=1 / 12)
    both = rows.mul(2).sub_(values, alpha=1 / 3)
    both[..., 1:] += rows[..., :-1]
    both[..., :-1] += rows[..., 1:]
    return both


def _dot(first: Tensor, second: Tensor) -> Tensor:
    """Return the scalar product of each image and channel, (B, C, 1, 1)."""
    return (first * second).sum((2, 3), keepdim=True)


def _start(seen: Tensor, known: Tensor) -> Tensor:
    """Return a first guess: what is known, averaged over ever larger squares.

    seen (B, C, H, W), 0 where nothing is known; known (B, 1, H, W), 1 or 0 or between.
    """
    if min(seen.shape[2:]) == 1 or seen.shape[2:].numel() <= 4:
        weight = known.sum((2, 3), keepdim=True)
        return (seen.sum((2, 3), keepdim=True) / weight.clamp(min=1e-30)).expand_as(seen)
    # Means over 2 x 2 of value and weight alike, so that their quotient is the mean of the known.
    smaller = F.avg_pool2d(seen, 2, ceil_mode=True)
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = F.interpolate(_start(smaller, weight), seen.shape[2:], mode="bilinear")
    return torch.where(known > 0, seen / known.clamp(min=1e-30), coarse)


def _coarse_grid(unknown: Tensor, total: Tensor) -> Callable[[Tensor], Tensor]:
    """Return an approximate inverse of the system: each pixel by itself, and means over cells.

    unknown (B, 1, H, W), 1 or 0. Two-level additive Schwarz with piecewise constant cells, whose
    own system is small enough to be inverted; what remains varies within a cell only.
    """
    count, _, height, width = unknown.shape
    side = math.ceil(max(height, width) / CELLS)
    grid = math.ceil(height / side), math.ceil(width / side)
    rows, columns = (torch.arange(each, device=unknown.device) // side for each in (height, width))
    cells, size = rows[:, None] * grid[1] + columns, grid[0] * grid[1]
    # Pixels or pairs of cells first and images last, so that whole rows are added up.
    images_last = unknown.permute(2, 3, 1, 0).squeeze(2).contiguous()
    system = unknown.new_zeros(size**2, count)

    def add(first: Tensor, second: Tensor, values: Tensor) -> None:
        system.index_add_(0, (first * size + second).flatten(), values.flatten(0, 1))

    add(cells, cells, images_last * total[0, 0, :, :, None])
    for (down, right), weight in WEIGHTS.items():
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, None), slice(max(0, right), width + min(0, right)))
        edges = images_last[here] * images_last[there] * -weight
        add(cells[here], cells[there], edges)
        add(cells[there], cells[here], edges)
    matrix = system.view(size, size, count).permute(2, 0, 1)
    empty = (matrix.diagonal(dim1=1, dim2=2) == 0).to(matrix.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix + torch.diag_embed(empty)))
    single = unknown / total

    def precondition(residual: Tensor) -> Tensor:
        sums = F.avg_pool2d(residual, side, ceil_mode=True, divisor_override=1)
        means = (sums.flatten(2) @ inverse).view_as(sums)
        spread = means[..., :, None, :, None].expand(*means.shape[:3], side, grid[1], side)
        smooth = spread.reshape(*means.shape[:2], grid[0] * side, -1)[..., :height, :width]
        return (smooth * unknown).addcmul_(single, residual)

    return precondition
