"""Robustness to occlusion: accuracy while more and more of the input is hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from reldrop_bench.data import Batch, SubsetSplit
from reldrop_bench.errors import UserError, suggest
from reldrop_bench.evaluation.contract import Context, Evaluation, Metric, Record
from reldrop_bench.occlusion.fill import FILLS as ALL_FILLS
from reldrop_bench.occlusion.fill import occlude
from reldrop_bench.plugin import Count, Probability

Order = Literal["random", "random-blocks", "random-ball", "mask"]
"""random: single pixels or points. random-blocks (images): one cell after the other of a grid of
six by six. random-ball (clouds): a growing ball around a random point. mask: first the region of
interest, then the rest, either part at random; for tasks with masks."""

ORDERS: Mapping[str, tuple[Order, ...]] = {
    "image": ("random", "random-blocks", "mask"),
    "cloud": ("random", "random-ball", "mask"),
}
FILLS: Mapping[str, tuple[str, ...]] = {
    "image": ("mean", "noise", "blur"),
    "cloud": ("duplicate", "noise", "origin"),
}
GRID = 6
"""Cells of random-blocks along the longer side."""
_COST = "1 prediction a fraction, order and fill"
CHUNK = 256
"""Samples occluded together: fixed, so that what is drawn is the same for any batch size."""


def occlusion_ranks(order: Order, batch: Batch, chance: Tensor) -> Tensor:
    """Return in which place each element is hidden: (B, H, W) or (B, N) int64, 0 = first.

    chance (B, H, W) or (B, N), uniform random numbers. The ranks of a sample are a permutation, so
    hiding those below a growing count gives nested masks.
    """
    if order == "mask":
        assert batch.masks is not None
        key = chance + (batch.masks.cpu() == 0)
    elif order == "random-blocks":
        height, width = chance.shape[1:]
        cell = math.ceil(max(height, width) / GRID)
        # One number a cell; equal keys keep their place, so a cell is hidden as a whole.
        rows, columns = torch.arange(height) // cell, torch.arange(width) // cell
        key = chance[:, rows][:, :, columns]
    elif order == "random-ball":
        places = batch.inputs[:, :3].cpu()
        centre = places.gather(2, chance.argmax(1)[:, None, None].expand(-1, places.shape[1], 1))
        key = (places - centre).square().sum(1)
    else:
        key = chance
    flat = key.flatten(1).argsort(dim=1, stable=True).argsort(dim=1)
    return flat.view_as(chance)


@dataclass(frozen=True)
class OcclusionRobustness(Evaluation):
    """Accuracy under growing occlusion, hidden at the same places for every model and seed.

    No order looks at a model, so a curve says how robust a model is and not how good its maps are.
    The fills include ones that a regularizer hardly trains with. Written for each order and fill:
    the curve "accuracy" over the fraction hidden; the metric "auc", its mean height (trapezoids
    over the range of fractions); "normalised_auc", that over the clean accuracy, left out where
    this is 0; and the example rows "area", the same for single items. The metrics "clean_accuracy"
    and "samples" tell the accuracy on the same items and their number.
    """

    name: ClassVar[str] = "occlusion"
    uses_relevance: ClassVar[bool] = False
    metrics: ClassVar[Mapping[str, Metric]] = {
        "clean_accuracy": Metric("higher", "accuracy on the same items, nothing hidden"),
        "samples": Metric("neither", "number of items", "nothing"),
        "*/accuracy": Metric("higher", "accuracy at a hidden fraction", _COST, seeded=True),
        "*/auc": Metric("higher", "mean height of the curve, 0 to 1", _COST, seeded=True),
        "*/normalised_auc": Metric(
            "higher", "the same over the clean accuracy", _COST, seeded=True
        ),
        "*/area": Metric("higher", "the same for single items", _COST, seeded=True),
    }

    fractions: tuple[Probability, ...] = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
    max_samples: Count = 400
    orders: tuple[Order, ...] | None = None
    """None: all that the task allows."""
    fills: tuple[str, ...] | None = None
    """None: three for images (mean, noise, blur) and for clouds (duplicate, noise, origin)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.fractions) < 2 or any(a >= b for a, b in pairwise(self.fractions)):
            raise UserError(
                f"{self.name}: fractions = {list(self.fractions)!r} is not allowed: "
                "give two or more that grow, such as [0, 0.25, 0.5]"
            )
        known = {fill for fills in ALL_FILLS.values() for fill in fills}
        for fill in self.fills or ():
            if fill not in known:
                raise UserError(f"{self.name}: no fill {fill!r}; {suggest(fill, known)}")

    def evaluate(self, context: Context, record: Record) -> None:
        items = context.subset(self.max_samples)
        targets = context.targets()[items]
        clean = context.logits()[items].argmax(1) == targets
        record.metric("test", "clean_accuracy", clean.double().mean().item())
        record.metric("test", "samples", len(items))
        for order in self._orders(context):
            context.progress(f"occlusion {order}")
            correct = self._correct(context, order, items, clean)
            for fill, hits in correct.items():
                self._write(record, f"{order}/{fill}", items, hits, clean)

    def _orders(self, context: Context) -> tuple[Order, ...]:
        known = ORDERS[context.facts.modality]
        wanted = known if self.orders is None else self.orders
        return tuple(
            order for order in wanted if order in known and (order != "mask" or context.facts.masks)
        )

    def _fills(self, context: Context) -> tuple[str, ...]:
        if self.fills is None:
            return FILLS[context.facts.modality]
        return tuple(fill for fill in self.fills if fill in ALL_FILLS[context.facts.modality])

    def _correct(
        self, context: Context, order: Order, items: Tensor, clean: Tensor
    ) -> dict[str, Tensor]:
        """Return by fill whether each item is right at each fraction: (P, n) bool."""
        fills = self._fills(context)
        shape = (len(items), *context.facts.element_shape)
        chance = torch.rand(shape, generator=context.generator("occlusion", order))
        hits = {
            fill: torch.empty(len(self.fractions), len(items), dtype=torch.bool) for fill in fills
        }
        subset = SubsetSplit(context.test, items)
        for chunk in torch.arange(len(items)).split(CHUNK):
            batch = subset.batch(chunk).to(context.device)
            ranks = occlusion_ranks(order, batch, chance[chunk]).to(context.device)
            targets = batch.labels.cpu()
            for fill in fills:
                for place, fraction in enumerate(self.fractions):
                    count = round(fraction * ranks[0].numel())
                    if count == 0:
                        hits[fill][place, chunk] = clean[chunk]
                        continue
                    # The same stream at each fraction: one noise image, shown more and more.
                    generator = context.generator("occlusion", order, fill, int(chunk[0]))
                    inputs = occlude(batch.inputs, ranks < count, fill, context.facts, generator)
                    parts = [context.predict(part) for part in inputs.split(context.batch_size)]
                    hits[fill][place, chunk] = torch.cat(parts).argmax(1) == targets
        return hits

    def _write(
        self, record: Record, prefix: str, items: Tensor, hits: Tensor, clean: Tensor
    ) -> None:
        span = self.fractions[-1] - self.fractions[0]
        correct = hits.double()
        x = torch.tensor(self.fractions, dtype=correct.dtype)
        area = torch.trapezoid(correct, x, dim=0) / span
        auc = area.mean().item()
        record.curve("test", f"{prefix}/accuracy", self.fractions, correct.mean(1))
        record.metric("test", f"{prefix}/auc", auc)
        if clean.any():
            normalised = auc / clean.double().mean().item()
            record.metric("test", f"{prefix}/normalised_auc", normalised)
        record.examples("test", f"{prefix}/area", area, items)
