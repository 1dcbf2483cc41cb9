"""Many labels or settings in several figures of a size that can be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

Item = TypeVar("Item")


def pages(items: Iterable[Item], size: int) -> list[list[Item]]:
    """Return the items in order on as few pages of at most `size` as possible, filled alike."""
    every = list(items)
    number = -(-len(every) // size)
    bounds = [len(every) * page // number for page in range(number + 1)] if number else []
    return [every[low:high] for low, high in pairwise(bounds)]


def label_pages(labels: Sequence[str], baseline: str, size: int) -> list[list[str]]:
    """Return pages of at most `size` labels; where there are several, each begins with the baseline."""
    if len(labels) <= size or baseline not in labels:
        return pages(labels, size)
    others = [label for label in labels if label != baseline]
    return [[baseline, *page] for page in pages(others, size - 1)]


def page_name(number: int, total: int) -> str:
    """Return "page 2 of 3: " for the caption of a page, numbers from 1; "" for a single one."""
    return f"page {number} of {total}: " if total > 1 else ""
