"""Curves of what remains while more and more is hidden, in some order and with some fill."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from reldrop_bench import Attributor, Context
from reldrop_bench.data import Batch
from reldrop_bench.occlusion.fill import MASKED, draw_partners, occlude, replacement
from reldrop_bench.occlusion.order import ORDERS

from .._measures.area import area
from .._measures.predictions import correct, label_probability
from .kept import KEPT

CHUNK = 256
"""Samples occluded together at most: fixed, so that what is drawn is the same for any batch size."""
VALUES = 2**22
"""Input values in a chunk at most: 16 MiB, of which a dozen copies are held."""

RANDOM_ORDERS = frozenset(order for orders in ORDERS.values() for order in orders)

Ranks = Callable[[Batch, int], Mapping[str, Tensor]]
"""From a chunk and its position in `Context.order` to the ranks (b, H, W) or (b, N) of each order."""


class Curve:
    """What remains of a quantity while more and more is hidden, from chunks of items."""

    def __init__(self, fractions: tuple[float, ...]) -> None:
        self.fractions = fractions
        self._total = np.zeros(len(fractions))
        self._areas: list[np.ndarray] = []

    def add(self, values: np.ndarray) -> None:
        """Take in the quantity of each item at each fraction, (P, b)."""
        self._total += values.sum(1)
        self._areas.append(area(values.T, self.fractions))

    @property
    def mean(self) -> np.ndarray:
        """(P,) the mean over items at each fraction."""
        return self._total / len(self.areas)

    @property
    def areas(self) -> np.ndarray:
        """(n,) the mean height of each item's curve."""
        return np.concatenate(self._areas)


@dataclass(frozen=True)
class _Chunk:
    """Items that are occluded together."""

    start: int
    """Position of the first in `Context.order`."""
    batch: Batch
    labels: Tensor

    @cached_property
    def digest(self) -> str:
        """What tells these samples from any others."""
        hashed = hashlib.blake2b(self.batch.inputs.cpu().numpy().tobytes())
        if self.batch.masks is not None:
            hashed.update(self.batch.masks.cpu().numpy().tobytes())
        return hashed.hexdigest()


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

    def curves(self, ranks: Ranks) -> dict[tuple[str, str], dict[str, Curve]]:
        """Return the curves of "accuracy" and the label's "probability" by order and fill."""
        context, count = self.context, len(self.items)
        logits, targets = context.logits(), context.targets()
        curves: dict[tuple[str, str], dict[str, Curve]] = {}
        for start in range(0, count, self.chunk):
            context.progress(f"{self.stage} {start}/{count}")
            items = self.items[start : start + self.chunk]
            chunk = _Chunk(start, context.test.batch(items).to(context.device), targets[items])
            clean = _scores(logits[items], chunk.labels)
            orders = ranks(chunk.batch, start)
            for fill in self.fills:
                instead = self._replacement(chunk, fill)
                for order, order_ranks in orders.items():
                    steps = self._hidden(chunk, order, order_ranks, fill, instead)
                    scores = [
                        clean if inputs is None else _scores(self._predict(inputs), chunk.labels)
                        for inputs in steps
                    ]
                    for quantity in clean:
                        here = curves.setdefault((order, fill), {})
                        curve = here.setdefault(quantity, Curve(self.fractions))
                        values = torch.stack([score[quantity] for score in scores])
                        curve.add(values.numpy())
        return curves

    def _replacement(self, chunk: _Chunk, fill: str) -> Tensor | None:
        """Return what any element is replaced with; None where that depends on what is hidden."""
        context, inputs = self.context, chunk.batch.inputs
        if fill in MASKED:
            return None
        generator = context.generator("occlusion", "fill", fill, chunk.start)
        if fill != "other-sample":
            return replacement(inputs, fill, context.facts, generator)
        # Not of the chunk: any other item of the test split, whatever the number of samples.
        positions = torch.arange(chunk.start, chunk.start + len(inputs))
        partners = draw_partners(positions, len(context.order), generator)
        return context.test.batch(context.order[partners]).inputs.to(inputs)

    def _hidden(
        self, chunk: _Chunk, order: str, ranks: Tensor, fill: str, instead: Tensor | None
    ) -> Iterator[Tensor | None]:
        """Yield the inputs with each fraction hidden; None where nothing is."""
        context, inputs, total = self.context, chunk.batch.inputs, ranks[0].numel()
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
            generator = context.generator("occlusion", "fill", fill, chunk.start)
            make = partial(occlude, inputs, mask, fill, context.facts, generator)
            if order in RANDOM_ORDERS:  # they look at no model
                yield KEPT.get(owner, (chunk.digest, order, fill, chunk.start, count), make)
            else:
                yield make()

    def _predict(self, inputs: Tensor) -> Tensor:
        parts = inputs.split(self.context.batch_size)
        return torch.cat([self.context.predict(part) for part in parts])


def _scores(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    return {
        "accuracy": correct(logits, labels),
        "probability": label_probability(logits, labels),
    }


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
