"""Many labels or settings in several figures of a size that can be read."""

from collections.abc import Iterable, Iterator, Sequence
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


def numbered(every: Sequence[Item]) -> Iterator[tuple[Item, str, str]]:
    """Yield each page with what its caption begins with and its name ends with.

    These are "page 2 of 3: " and "-2", and nothing for a single page.
    """
    for number, page in enumerate(every, start=1):
        several = len(every) > 1
        yield (
            page,
            f"page {number} of {len(every)}: " if several else "",
            f"-{number}" if several else "",
        )
