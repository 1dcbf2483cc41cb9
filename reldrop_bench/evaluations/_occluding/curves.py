"""Curves of what remains while more and more is hidden, in some order and with some fill."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from reldrop_bench.data import Batch
from reldrop_bench.kinds.attributor import Attributor
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.occlusion.fill import MASKED, draw_partners, occlude, replacement
from reldrop_bench.occlusion.order import ORDERS

from .._measures.area import area
from .kept import KEPT

CHUNK = 256
"""Samples occluded together at most: fixed, so that what is drawn is the same for any batch size."""
VALUES = 2**22
"""Input values in a chunk at most: 16 MiB, of which a dozen copies are held."""

RANDOM_ORDERS = frozenset(order for orders in ORDERS.values() for order in orders)

Ranks = Callable[[Batch, int], Mapping[str, Tensor]]
"""From a chunk and its place in `Context.order` to the ranks (b, H, W) or (b, N) of each order."""


@dataclass
class Curve:
    """What remains while more and more is hidden in one order and with one fill."""

    correct: np.ndarray
    """(P,) how many items are right at each fraction."""
    probability: np.ndarray
    """(P,) the sum over items of the label's softmax probability."""
    correct_area: np.ndarray
    """(n,) the mean height of each item's curve of right or wrong."""
    probability_area: np.ndarray
    """(n,) the same of the probability."""


@dataclass(frozen=True)
class Occluder:
    """The items that are looked at, the fractions hidden of them and the fills.

    Items come in the order of `Context.order`, a chunk at a time, and all that is drawn belongs to
    a chunk: the first items of a larger sample have the same masks and fills as a smaller one.
    """

    context: Context
    size: int
    fractions: tuple[float, ...]
    fills: tuple[str, ...]
    stage: str
    """What progress is called."""
    items: Tensor = field(init=False)
    """(n,) positions in the test split."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", self.context.order[: self.size])

    @property
    def chunk(self) -> int:
        """Samples occluded together."""
        return max(1, min(CHUNK, VALUES // math.prod(self.context.facts.input_shape)))

    def chance(self, name: str, start: int, count: int) -> Tensor:
        """Return uniform numbers (count, H, W) or (count, N) of the chunk at `start`."""
        generator = self.context.generator("occlusion", name, start)
        shape = (count, *self.context.facts.element_shape)
        return torch.rand(shape, generator=generator).to(self.context.device)

    def curves(self, ranks: Ranks) -> dict[tuple[str, str], Curve]:
        """Return the curves by order and fill."""
        context, count = self.context, len(self.items)
        logits, targets = context.logits(), context.targets()
        found: dict[tuple[str, str], Curve] = {}
        for start in range(0, count, self.chunk):
            context.progress(f"{self.stage} {start}/{count}")
            items = self.items[start : start + self.chunk]
            batch = context.test.batch(items).to(context.device)
            labels, rows = targets[items], slice(start, start + len(items))
            clean = _scores(logits[items], labels)
            orders, chunk = ranks(batch, start), _digest(batch)
            for fill in self.fills:
                instead = self._replacement(batch.inputs, fill, items, start)
                for order, places in orders.items():
                    steps = self._hidden(batch.inputs, places, (chunk, order), fill, instead, start)
                    scores = [
                        clean if inputs is None else _scores(self._predict(inputs), labels)
                        for inputs in steps
                    ]
                    self._add(found, (order, fill), scores, rows)
        return found

    def _replacement(self, inputs: Tensor, fill: str, items: Tensor, start: int) -> Tensor | None:
        """Return what any element is replaced with; None where that depends on what is hidden."""
        context = self.context
        if fill in MASKED:
            return None
        generator = context.generator("occlusion", "fill", fill, start)
        if fill != "other-sample":
            return replacement(inputs, fill, context.facts, generator)
        # Not of the chunk: any other item of the test split, whatever the number of samples.
        places = torch.arange(start, start + len(items))
        partners = draw_partners(places, len(context.order), generator)
        return context.test.batch(context.order[partners]).inputs.to(inputs)

    def _hidden(
        self,
        inputs: Tensor,
        ranks: Tensor,
        place: tuple[str, str],
        fill: str,
        instead: Tensor | None,
        start: int,
    ) -> Iterator[Tensor | None]:
        """Yield the inputs with each fraction hidden; None where nothing is.

        place: digest of the chunk, and order.
        """
        context, total = self.context, ranks[0].numel()
        owner = (context.task, context.root, context.device)
        for fraction in self.fractions:
            count = round(fraction * total)
            if context.facts.modality == "cloud":
                count = min(count, total - 1)  # a cloud has one point at least, the last in order
            if count == 0:
                yield None
                continue
            mask = ranks < count
            if instead is not None:
                yield torch.where(mask.unsqueeze(1), instead, inputs)
                continue
            # The same stream at each fraction and for each order: one noise, shown more and more.
            generator = context.generator("occlusion", "fill", fill, start)
            make = partial(occlude, inputs, mask, fill, context.facts, generator)
            if place[1] in RANDOM_ORDERS:  # they look at no model
                yield KEPT.get(owner, (*place, fill, start, count), make)
            else:
                yield make()

    def _predict(self, inputs: Tensor) -> Tensor:
        parts = inputs.split(self.context.batch_size)
        return torch.cat([self.context.predict(part) for part in parts])

    def _add(
        self,
        found: dict[tuple[str, str], Curve],
        key: tuple[str, str],
        scores: Sequence[tuple[Tensor, Tensor]],
        rows: slice,
    ) -> None:
        if key not in found:
            points, count = len(self.fractions), len(self.items)
            found[key] = Curve(*(np.zeros(size) for size in (points, points, count, count)))
        curve = found[key]
        correct, probability = (torch.stack(each).numpy() for each in zip(*scores, strict=True))
        curve.correct += correct.sum(1)
        curve.probability += probability.sum(1)
        curve.correct_area[rows] = area(correct.T, self.fractions)
        curve.probability_area[rows] = area(probability.T, self.fractions)


def _digest(batch: Batch) -> str:
    """Return what tells the samples of a batch from any others."""
    found = hashlib.blake2b(batch.inputs.cpu().numpy().tobytes())
    if batch.masks is not None:
        found.update(batch.masks.cpu().numpy().tobytes())
    return found.hexdigest()


def _scores(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each is right (b,) and its label's probability (b,), both float64."""
    probability = logits.double().softmax(1).gather(1, labels[:, None]).squeeze(1)
    return (logits.argmax(1) == labels).double(), probability


def maps_by_chunk(
    context: Context, size: int, chunk: int, stage: str, attributor: Attributor | None = None
) -> Iterator[Tensor]:
    """Yield the relevance of the first `size` items of `Context.order`, `chunk` at a time."""
    waiting: list[Tensor] = []
    for explained in context.explained(size, stage, attributor):
        waiting.append(explained.relevance)
        while sum(map(len, waiting)) >= chunk:
            maps = torch.cat(waiting)
            yield maps[:chunk]
            waiting = [maps[chunk:]]
    if sum(map(len, waiting)):
        yield torch.cat(waiting)
