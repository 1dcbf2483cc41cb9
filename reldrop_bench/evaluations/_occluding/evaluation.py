"""What evaluations that hide more and more of the input have in common."""

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np
from torch import Tensor

from reldrop_bench import Context, Evaluation, Record
from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError, suggest
from reldrop_bench.occlusion.fill import FILLS
from reldrop_bench.plugins.base import Count, Probability

from .curves import Occluder

FEW = (0.0, 0.2, 0.5, 0.9)
"""Some of the fractions that are usual, over the same range."""
USUAL = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
MANY = (0.0, 0.05, 0.1, 0.15, 0.2, 0.275, 0.35, 0.425, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Those that are usual, and one between any two."""


class OccludingEvaluation(Evaluation):
    """Predictions of some test items while growing fractions of them are hidden, with several fills."""

    usual_fills: ClassVar[Mapping[str, tuple[str, ...]]]
    """The fills by default, by modality."""

    max_samples: Count
    """Test items that are looked at."""
    fractions: tuple[Probability, ...] = USUAL
    """Hidden fractions, two or more that grow."""
    fills: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.fractions) < 2 or any(a >= b for a, b in pairwise(self.fractions)):
            raise UserError(
                f"{self.name}: fractions = {list(self.fractions)!r} is not allowed: "
                "give two or more that grow, such as [0, 0.25, 0.5]"
            )
        known = {fill for names in FILLS.values() for fill in names}
        for fill in self.fills or ():
            if fill not in known:
                raise UserError(f"{self.name}: no fill {fill!r}; {suggest(fill, known)}")

    def predictions(self, facts: Facts, orders: int) -> int:
        """Return how often a sample is predicted with something of it hidden."""
        fills = self.usual_fills[facts.modality] if self.fills is None else self.fills
        usable = FILLS[facts.modality]
        hidden = sum(fraction > 0 for fraction in self.fractions)
        return orders * hidden * sum(fill in usable for fill in dict.fromkeys(fills))

    def occluder(self, context: Context, record: Record) -> Occluder:
        """Return what hides the items; fills that were asked for by name and cannot be are noted."""
        facts = context.facts
        wanted = self.usual_fills[facts.modality] if self.fills is None else self.fills
        fills = []
        for fill in dict.fromkeys(wanted):
            if fill not in FILLS[facts.modality]:
                record.note("test", f"*/{fill}/*", f"{fill} is no fill for {facts.modality} inputs")
            elif fill == "other-sample" and len(context.order) < 2:
                record.note("test", f"*/{fill}/*", "the test split has no other sample")
            else:
                fills.append(fill)
        return Occluder(context, self.max_samples, self.fractions, tuple(fills), self.name)

    def write_items(self, record: Record, name: str, items: Tensor, values: np.ndarray) -> None:
        """Write a value for each item (n,), in the order of the test split."""
        order = items.argsort()
        record.examples("test", name, values[order], items[order])

    def note_sample(self, occluder: Occluder, record: Record) -> None:
        """Note what a small or one-sided test split takes from the numbers."""
        asked, count = self.max_samples, len(occluder.items)
        if count < asked:
            record.note("test", "samples", f"{asked} were asked for, the test split has {count}")
        labels = occluder.context.targets()[occluder.items].unique().tolist()
        if len(labels) == 1:
            classes = dict(enumerate(occluder.context.facts.classes))
            name = classes.get(labels[0], str(labels[0]))
            reason = f"all items are of class {name!r}: a constant answer is right, too"
            record.note("test", "*", reason)
