"""Robustness to occlusion: accuracy while more and more of the input is hidden."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from reldrop_bench import Batch, Context, Count, Metric, Record
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.occlusion.order import ORDERS, random_ranks, relevance_ranks

from ._measures.predictions import correct
from ._occluding.curves import Occluder, Ranks, maps_by_chunk
from ._occluding.evaluation import FEW, MANY, OccludingEvaluation

Order = Literal["random", "random-blocks", "random-ball", "mask", "reference"]
"""See `RandomOrder`; reference: the most relevant first by the maps of the reference model."""

_COST = "1 prediction a fraction, order and fill"


class OcclusionRobustness(OccludingEvaluation):
    """Accuracy under growing occlusion, hidden at the same places for every model and seed.

    No order looks at the model that is measured, so a curve says how robust a model is and not how
    good its maps are. The order "reference" looks at one frozen model for all, the baseline of the
    first seed: it hits that cell itself hardest (its own evidence goes first), and models the more
    the more they resemble it, so compare with the first seed's baseline under other orders. The
    fills include ones that a regularizer hardly trains with; "origin", for clouds, is biased, as it
    adds a fake point. Written for each order and fill: the curve "accuracy" over the fraction
    hidden; the metric "auc", its mean height (trapezoids over the range of fractions);
    "normalised_auc", that over the clean accuracy, left out where this is 0; and the example rows
    "area", the same for single items. The metrics "clean_accuracy" and "samples" tell the accuracy
    on the same items and their number.
    """

    name = "occlusion"
    companions = {"reference"}
    metrics = {
        "clean_accuracy": Metric("higher", "accuracy on the same items, nothing hidden"),
        "samples": Metric("neither", "number of items", "nothing"),
        "*/accuracy": Metric("higher", "accuracy at a hidden fraction", _COST, seeded=True),
        "*/auc": Metric("higher", "mean height of the curve, 0 to 1", _COST, seeded=True),
        "*/normalised_auc": Metric(
            "higher", "the same over the clean accuracy", _COST, seeded=True
        ),
        "*/area": Metric("higher", "the same for single items", _COST, seeded=True),
    }

    usual_fills = {
        "image": ("mean", "noise", "blur", "other-sample", "inpaint"),
        "cloud": ("duplicate", "resample", "noise", "origin"),
    }

    presets = {
        "fast": {"max_samples": 100, "fractions": FEW},
        "full": {"max_samples": 2000, "fractions": MANY},
    }

    max_samples: Count = 400
    orders: tuple[Order, ...] | None = None
    """None: all that the task allows."""
    fills: tuple[str, ...] | None = None
    """None: mean, noise, blur, other-sample and inpaint for images; duplicate, resample, noise and
    origin for clouds."""

    def passes(self, workload: Workload) -> float:
        facts, reference = workload.facts, "reference" in workload.companions
        offered = {*ORDERS[facts.modality], *(["reference"] if reference else [])}
        if not facts.masks:
            offered.discard("mask")
        orders = offered if self.orders is None else offered.intersection(self.orders)
        maps = workload.explanation if "reference" in orders else 0
        return workload.sample(self.max_samples) * (maps + self.predictions(facts, len(orders)))

    def evaluate(self, context: Context, record: Record) -> None:
        occluder = self.occluder(context, record)
        items = occluder.items
        clean = correct(context.logits()[items], context.targets()[items]).mean().item()
        record.metric("test", "clean_accuracy", clean)
        record.metric("test", "samples", len(items))
        self.note_sample(occluder, record)
        ranks = _ranks(occluder, self._orders(context, record))
        for (order, fill), curves in occluder.curves(ranks).items():
            prefix, curve = f"{order}/{fill}", curves["accuracy"]
            record.curve("test", f"{prefix}/accuracy", self.fractions, curve.mean)
            auc = float(curve.areas.mean())
            record.metric("test", f"{prefix}/auc", auc)
            if clean > 0:
                record.metric("test", f"{prefix}/normalised_auc", auc / clean)
            else:
                record.note("test", "*/normalised_auc", "the clean accuracy is 0")
            self.write_items(record, f"{prefix}/area", items, curve.areas)

    def _orders(self, context: Context, record: Record) -> tuple[Order, ...]:
        """Return the orders that the task allows; what was asked for and is not there is noted."""
        facts = context.facts
        offered: tuple[Order, ...] = (*ORDERS[facts.modality], "reference")
        orders: list[Order] = []
        for order in offered if self.orders is None else dict.fromkeys(self.orders):
            reason = ""
            if order not in offered:
                reason = f"{order} is no order for {facts.modality} inputs"
            elif order == "mask" and not facts.masks:
                reason = "the task has no masks"
            elif order == "reference" and context.companion("reference") is None:
                reason = "there is no reference model, the baseline of the first seed, to order by"
            if not reason:
                orders.append(order)
            elif self.orders is not None or order == "reference":
                record.note("test", f"{order}/*", reason)
        return tuple(orders)


def _ranks(occluder: Occluder, orders: tuple[Order, ...]) -> Ranks:
    """Return what ranks the elements of a chunk; chunks are asked for one after the other."""
    maps: Iterator[Tensor] = iter(())
    reference = occluder.context.companion("reference") if "reference" in orders else None
    if reference is not None:
        stage = f"{occluder.stage}, reference"
        maps = maps_by_chunk(reference, len(occluder.items), occluder.chunk, stage)

    def ranks(batch: Batch, start: int) -> dict[str, Tensor]:
        chances = {order: occluder.chance(order, start, len(batch)) for order in orders}
        return {
            order: relevance_ranks(next(maps).to(chance.device), chance)
            if order == "reference"
            else random_ranks(order, batch, chance)
            for order, chance in chances.items()
        }

    return ranks
