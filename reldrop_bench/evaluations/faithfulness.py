"""Faithfulness: does hiding what an explanation calls relevant hurt, and the rest not?"""

from collections.abc import Iterator, Mapping

from torch import Tensor

from reldrop_bench import Attributor, Batch, Context, Count, Metric, Record
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.occlusion.order import random_ranks, relevance_ranks
from reldrop_bench.plugins.registry import create
from reldrop_bench.statistics.wording import by_number, counted

from ._measures.predictions import correct, label_probability
from ._measures.samples import varies
from ._occluding.curves import Curve, Occluder, maps_by_chunk
from ._occluding.evaluation import FEW, MANY, OccludingEvaluation

RANDOM = "random-order"
"""What stands in place of a method's name for the baseline."""
_COST = "1 prediction a fraction, order and fill"
_MAP = "1 explanation and 2 predictions a fraction and fill"


def _metric(direction: str, measures: str, cost: str = _MAP) -> Metric:
    return Metric(direction, measures, cost, seeded=True)  # type: ignore[arg-type]


class Faithfulness(OccludingEvaluation):
    """Symmetric relevance gain of attribution methods, with most and least relevant hidden first.

    Compares explanations of one model: never rank models by these curves, since a flatter one may
    only mean a worse explanation. The true label is explained, and elements are hidden most
    relevant first (mrf), least relevant first (lrf) and at random (the method's name is then
    "random-order"), with two fills or more. Equal relevance is ordered at random, the same for all
    methods. Written for each method and fill, with quantity = accuracy or probability (the label's
    softmax): the curves "mrf/quantity" and "lrf/quantity" over the fraction hidden; "…/area", their
    mean height (trapezoids); "srg/quantity", the area of lrf less that of mrf (Blücher et al. 2024,
    arXiv 2401.06654). Areas and gains of the probability are written for single items, too. A map
    that is constant orders at random: it counts in "constant_maps", and its gain of about zero
    stays in the mean.
    """

    name = "faithfulness"
    metrics = {
        "clean_accuracy": Metric("higher", "accuracy on the same items, nothing hidden"),
        "clean_probability": Metric("higher", "the label's probability there, 0 to 1"),
        "samples": Metric("neither", "number of items", "nothing"),
        f"{RANDOM}/*/area": _metric("neither", "mean height at random, the baseline", _COST),
        f"{RANDOM}/*": _metric("neither", "what remains, hidden at random", _COST),
        "*/constant_maps": Metric("lower", "items whose map is constant", "1 explanation"),
        "*/srg/*": _metric("higher", "area of lrf less that of mrf, -1 to 1; random maps 0"),
        "*/mrf/*/area": _metric("lower", "mean height, most relevant hidden first"),
        "*/lrf/*/area": _metric("higher", "mean height, least relevant hidden first"),
        "*/mrf/*": _metric("lower", "what remains, most relevant hidden first"),
        "*/lrf/*": _metric("higher", "what remains, least relevant hidden first"),
    }

    usual_fills = {"image": ("mean", "inpaint"), "cloud": ("duplicate", "resample")}

    presets = {
        "fast": {"max_samples": 48, "fractions": FEW},
        "full": {"max_samples": 512, "fractions": MANY},
    }

    methods: tuple[str, ...] = ()
    """Attribution methods by name that are compared with the benchmark's own."""
    max_samples: Count = 128
    fills: tuple[str, ...] | None = None
    """None: mean and inpaint for images, duplicate and resample for clouds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for method in self.methods:
            create("attributors", method)  # raises what is to be said of an unknown one

    @property
    def explainers(self) -> tuple[str, ...]:
        return self.methods

    def passes(self, workload: Workload) -> float:
        methods = 1 + len(self.methods)
        maps = methods * workload.explanation
        orders = 1 + 2 * methods
        return workload.sample(self.max_samples) * (maps + self.predictions(workload.facts, orders))

    def evaluate(self, context: Context, record: Record) -> None:
        occluder = self.occluder(context, record)
        items = occluder.items
        orders = _Orders(occluder, self._attributors(context, record))
        curves = occluder.curves(orders.ranks)
        logits, labels = context.logits()[items], context.targets()[items]
        record.metric("test", "clean_accuracy", correct(logits, labels).mean().item())
        probability = label_probability(logits, labels).mean().item()
        record.metric("test", "clean_probability", probability)
        record.metric("test", "samples", len(items))
        self.note_sample(occluder, record)
        for (order, fill), curve in curves.items():
            method, _, direction = order.rpartition("/")
            prefix = f"{method}/{fill}/{direction}" if method else f"{RANDOM}/{fill}"
            self._write(record, prefix, items, curve)
        for method, constant in orders.constant.items():
            record.metric("test", f"{method}/constant_maps", constant)
            if constant:
                are = by_number(constant, "is", "are")
                maps = f"{counted(constant, 'map', total=len(items))} {are} constant"
                reason = f"{maps}: the SRG of such a map says nothing"
                record.note("test", f"{method}/*", reason)
            for fill in occluder.fills:
                most, least = (curves[f"{method}/{way}", fill] for way in ("mrf", "lrf"))
                self._write_gain(record, f"{method}/{fill}/srg", items, most, least)

    def _attributors(self, context: Context, record: Record) -> dict[str, Attributor]:
        """Return the benchmark's method and the others, by name."""
        first = context.attributor
        others = {name: create("attributors", name) for name in self.methods}
        if others.get(first.name, first) != first:
            reason = "the benchmark's own method has this name, with parameters of its own"
            record.note("test", f"{first.name}/*", f"left out with default parameters: {reason}")
        return {first.name: first} | {name: others[name] for name in others if name != first.name}

    def _write(
        self, record: Record, prefix: str, items: Tensor, curves: Mapping[str, Curve]
    ) -> None:
        for quantity, curve in curves.items():
            name = f"{prefix}/{quantity}"
            record.curve("test", name, self.fractions, curve.mean)
            record.metric("test", f"{name}/area", float(curve.areas.mean()))
            if quantity == "probability":
                self.write_items(record, f"{name}/area", items, curve.areas)

    def _write_gain(
        self,
        record: Record,
        prefix: str,
        items: Tensor,
        most: Mapping[str, Curve],
        least: Mapping[str, Curve],
    ) -> None:
        gains = {quantity: least[quantity].areas - most[quantity].areas for quantity in least}
        for quantity, gain in gains.items():
            record.metric("test", f"{prefix}/{quantity}", float(gain.mean()))
        self.write_items(record, f"{prefix}/probability", items, gains["probability"])


class _Orders:
    """Both orders of every method and the random one, a chunk after the other."""

    def __init__(self, occluder: Occluder, attributors: Mapping[str, Attributor]) -> None:
        self.occluder = occluder
        self.constant = dict.fromkeys(attributors, 0)
        """How many maps of each method were constant so far."""
        size = len(occluder.items)
        self.maps: dict[str, Iterator[Tensor]] = {
            name: maps_by_chunk(
                occluder.context, size, occluder.chunk, f"{occluder.stage}, {name}", attributor
            )
            for name, attributor in attributors.items()
        }

    def ranks(self, batch: Batch, start: int) -> dict[str, Tensor]:
        """Return the ranks of a chunk by order; chunks are asked for one after the other."""
        ties = self.occluder.chance("ties", start, len(batch))
        ranks: dict[str, Tensor] = {}
        for name, chunks in self.maps.items():
            maps = next(chunks)
            self.constant[name] += int((~varies(maps)).sum())
            ranks[f"{name}/mrf"] = relevance_ranks(maps, ties)
            ranks[f"{name}/lrf"] = relevance_ranks(-maps, ties)
        chance = self.occluder.chance("random", start, len(batch))
        ranks["random"] = random_ranks("random", batch, chance)
        return ranks
