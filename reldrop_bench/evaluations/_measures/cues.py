"""Which of several redundant cues is used: by relevance, by removal, and whether the two agree."""

import math

import torch
from torch import Tensor

from .maps import positive
from .samples import PerSample, where_defined


def mass_by_part(relevance: Tensor, masks: Tensor, parts: int) -> Tensor:
    """Return how much positive relevance lies in each part: (B, 1 + parts) float64.

    relevance (B, H, W) or (B, N), signed; masks alike, part index, 0 = background. Indices above
    `parts` count as background.
    """
    mass = positive(relevance)
    index = masks.long().flatten(1)
    index = torch.where(index <= parts, index, 0)
    return mass.new_zeros(len(mass), 1 + parts).scatter_add_(1, index, mass)


def effective_cues(mass: Tensor) -> Tensor:
    """Return exp(entropy) of the mass over cues, from 1 (one cue) to K (all alike).

    mass (B, K), non-negative with a positive sum. Returns (B,).
    """
    share = mass / mass.sum(1, keepdim=True)
    return torch.special.entr(share).sum(1).exp()


def shapley_values(worth: Tensor) -> Tensor:
    """Return each cue's Shapley value, (K, …) float64.

    φ_k = Σ_S |S|! (K - |S| - 1)! / K! (v(S ∪ k) - v(S)), over the sets S without k: what cue k adds,
    on average over the orders in which cues may come. worth (2^K, …): v(S) at the index whose bit k
    says whether cue k is in S, so v(none) comes first and v(all) last. The values of all cues add up
    to v(all) - v(none). Shapley 1953.
    """
    worth = worth.double()
    cues = len(worth).bit_length() - 1
    if cues < 1 or len(worth) != 1 << cues:
        raise ValueError(f"{len(worth)} values: sets of K cues have 2^K, such as 2, 4 or 8")
    sets = torch.arange(len(worth))
    present = torch.stack([sets >> cue & 1 for cue in range(cues)])
    size = present.sum(0)
    values = []
    for cue in range(cues):
        without = sets[present[cue] == 0]
        weights = [1 / (cues * math.comb(cues - 1, n)) for n in size[without].tolist()]
        gain = worth[without + (1 << cue)] - worth[without]
        values.append(torch.tensordot(torch.tensor(weights, dtype=worth.dtype), gain, 1))
    return torch.stack(values)


def causal_shares(values: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Return φ⁺ / Σ φ⁺, (B, K), and which rows (B,) bool have it: those with Σ φ⁺ > `least`.

    values (B, K), Shapley values. A cue that does harm has no share.
    """
    gain = values.clamp(min=0)
    total = gain.sum(1, keepdim=True)
    defined = total[:, 0] > least
    return torch.where(defined[:, None], gain / torch.where(total > 0, total, 1), 0.0), defined


def share_agreement(first: Tensor, second: Tensor) -> Tensor:
    """Return 1 - ½ Σ |p - q|, one minus the total variation: 0 (apart) to 1 (the same).

    first, second (B, K), shares that sum to 1. Returns (B,).
    """
    return (1 - (first - second).abs().sum(1) / 2).clamp(0, 1)


def rank_agreement(first: Tensor, second: Tensor) -> PerSample:
    """Return Spearman's rank correlation of two rows of shares: -1 to 1.

    first, second (B, K). Shares are rounded to six decimals, so that rounding errors have no rank, and
    equal ones share their mean rank. Undefined where all shares of a row are equal.
    """
    ranks = [_ranks(torch.round(row.double(), decimals=6)) for row in (first, second)]
    x, y = (rank - rank.mean(1, keepdim=True) for rank in ranks)
    scale = x.norm(dim=1) * y.norm(dim=1)
    return where_defined((x * y).sum(1) / torch.where(scale > 0, scale, 1), scale > 0)


def _ranks(values: Tensor) -> Tensor:
    """Return mean ranks within each row of (B, K): how many are less, and half of the equals."""
    less = values[:, None, :] < values[:, :, None]
    equal = values[:, None, :] == values[:, :, None]
    return less.double().sum(2) + equal.double().sum(2) / 2
