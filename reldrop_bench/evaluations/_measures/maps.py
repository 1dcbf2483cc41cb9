"""Numbers from relevance maps: how widely relevance is spread, and how much lies in a mask.

Maps are (B, H, W) or (B, N), signed. Only positive relevance counts: a⁺ = max(a, 0), p = a⁺ / Σ a⁺,
over the n elements of a sample. A sample without any has none of these numbers. Every number is the
same for a map times a positive factor, and for any order of the elements (maps and masks alike).
"""

import torch
from torch import Tensor

from .samples import PerSample, where_defined

_ROUNDING = 1e-12
"""Relative slack of a comparison of sums, so that a tie is one whatever the scale."""


def positive(relevance: Tensor) -> Tensor:
    """Return a⁺, (B, n) float64, of maps (B, H, W) or (B, N)."""
    return relevance.double().clamp(min=0).flatten(1)


def shares(mass: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row over its sum, and which rows (B,) bool have a positive sum; others become 0.

    mass (B, n), non-negative.
    """
    # By the largest first: a sum of tiny values is no longer tiny.
    largest = mass.amax(1, keepdim=True)
    mass = mass / torch.where(largest > 0, largest, 1)
    total = mass.sum(1, keepdim=True)
    return mass / torch.where(total > 0, total, 1), largest[:, 0] > 0


def attribution_entropy(relevance: Tensor) -> PerSample:
    """Return -Σ p log p / log n: 0 for one element, 1 for all alike.

    relevance (B, H, W) or (B, N), signed. Undefined without positive relevance and for n = 1.
    """
    p, some = shares(positive(relevance))
    return _scaled_entropy(p, some, torch.full_like(p[:, 0], p.shape[1]))


def gini(relevance: Tensor) -> PerSample:
    """Return the Gini coefficient of a⁺: 0 for all elements alike, 1 - 1/n for one element.

    Σᵢ (2i - n - 1) a⁺₍ᵢ₎ / (n Σ a⁺), a⁺ in ascending order, i = 1 … n (Hurley & Rickard 2009, arXiv
    0811.4706). relevance (B, H, W) or (B, N), signed. Undefined without positive relevance.
    """
    p, some = shares(positive(relevance))
    n = p.shape[1]
    weights = torch.arange(1 - n, n, 2, dtype=p.dtype, device=p.device)
    return where_defined((p.sort(1).values @ weights / n).clamp(0, 1), some)


def mass_coverage(relevance: Tensor) -> PerSample:
    """Return the least k whose k most relevant elements hold half of Σ a⁺, over n: in (0, 1].

    relevance (B, H, W) or (B, N), signed. Undefined without positive relevance.
    """
    p, some = shares(positive(relevance))
    cumulative = p.sort(1, descending=True).values.cumsum(1)
    short = cumulative < 0.5 * (1 - _ROUNDING) * cumulative[:, -1:]
    return where_defined((short.sum(1) + 1).double() / p.shape[1], some)


def relevance_mass_accuracy(relevance: Tensor, masks: Tensor) -> PerSample:
    """Return Σ_M a⁺ / Σ a⁺, the share of the positive relevance inside the mask M: in [0, 1].

    relevance (B, H, W) or (B, N), signed; masks alike, inside where not 0. Undefined without
    positive relevance, and where the mask is empty or holds every element: it cannot be missed
    then, or not be hit. Arras et al. 2022, arXiv 2003.07258.
    """
    p, some = shares(positive(relevance))
    inside = _inside(masks)
    return where_defined((p * inside).sum(1).clamp(0, 1), some & _divides(inside))


def relevance_rank_accuracy(
    relevance: Tensor, masks: Tensor, generator: torch.Generator
) -> PerSample:
    """Return |top-|M| ∩ M| / |M|, the share of the mask's size in the highest a⁺ that is inside.

    relevance (B, H, W) or (B, N), signed; masks alike, inside where not 0. Equal values, such as
    the many zeros of a PointNet's map, are ranked at random; `generator` (CPU) draws B * n numbers.
    In [0, 1]; a map that knows nothing of the mask gets |M| / n. Undefined without positive
    relevance, for a constant map, and where the mask is empty or holds every element. Arras et al.
    2022, arXiv 2003.07258.
    """
    a, inside = positive(relevance), _inside(masks)
    chance = torch.rand(a.shape, generator=generator).to(a.device).argsort(1)
    order = a.gather(1, chance).argsort(dim=1, descending=True, stable=True)
    sizes = inside.sum(1, keepdim=True)
    top = torch.arange(a.shape[1], device=a.device) < sizes
    hits = (inside.gather(1, chance).gather(1, order) & top).sum(1)
    varies = a.amax(1) > a.amin(1)
    return where_defined(hits / sizes[:, 0].clamp(min=1).double(), varies & _divides(inside))


def in_mask_entropy(relevance: Tensor, masks: Tensor) -> PerSample:
    """Return H(p | M) / log |M|, how evenly the relevance inside the mask is spread: in [0, 1].

    relevance (B, H, W) or (B, N), signed; masks alike, inside where not 0. Undefined without
    positive relevance inside the mask, and for a mask of less than two elements.
    """
    inside = _inside(masks)
    p, some = shares(positive(relevance) * inside)
    return _scaled_entropy(p, some, inside.sum(1).double())


def _scaled_entropy(p: Tensor, some: Tensor, count: Tensor) -> PerSample:
    """Return the entropy of p (B, n) over the log of `count` (B,)."""
    entropy = torch.special.entr(p).sum(1) / count.clamp(min=2).log()
    return where_defined(entropy.clamp(0, 1), some & (count > 1))


def _inside(masks: Tensor) -> Tensor:
    return masks.flatten(1) != 0


def _divides(inside: Tensor) -> Tensor:
    """Return which masks (B, n) bool hold some elements and not all: (B,) bool."""
    return inside.any(1) & ~inside.all(1)


class ClassCosine:
    """Mean cosine between the maps a⁺ of one class, from batches: 0 (disjoint) to 1 (all alike).

    The mean over the pairs i ≠ j of a class with m maps is (‖Σ u‖² - m) / (m (m - 1)), u = a⁺ / ‖a⁺‖,
    so one sum a class is all that is kept. Maps without positive relevance have no direction and
    are left out. It compares element by element: only maps whose elements correspond, such as the
    pixels of images, and not the points of clouds.
    """

    def __init__(self) -> None:
        self._sums: dict[int, Tensor] = {}
        self._counts: dict[int, int] = {}

    def add(self, relevance: Tensor, labels: Tensor) -> None:
        """Take in maps (B, H, W) or (B, N), signed, with their classes (B,)."""
        unit, some = shares(positive(relevance))
        unit = unit / torch.where(some, unit.norm(dim=1), 1)[:, None]
        for label in labels[some].unique().tolist():
            chosen = unit[some & (labels == label)]
            self._sums[label] = self._sums.get(label, 0) + chosen.sum(0)
            self._counts[label] = self._counts.get(label, 0) + len(chosen)

    @property
    def by_class(self) -> dict[int, float]:
        """The mean cosine of every class that has two maps or more."""
        return {
            label: min(max((total.square().sum().item() - m) / (m * (m - 1)), 0.0), 1.0)
            for label, total in sorted(self._sums.items())
            if (m := self._counts[label]) > 1
        }

    @property
    def mean(self) -> float | None:
        """The mean over classes; None where no class has two maps."""
        cosines = self.by_class.values()
        return sum(cosines) / len(cosines) if cosines else None
