"""Quality of explanations by the metrics of Quantus."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from reldrop_bench import Context, Count, Evaluation, Metric, Record, UserError
from reldrop_bench.errors import one_line, suggest
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.statistics.wording import counted

from ._quantus.calls import joined, scores, visiting
from ._quantus.catalogue import CATALOGUE, REFUSED, SIZES, Offered, Size
from ._quantus.settings import Scores, Unusable
from ._quantus.spaces import Case

SAMPLES: Mapping[Size, int] = {"fast": 64, "standard": 128, "full": 256}
"""Test items that are explained where nothing else is said."""

_CURVES = {
    "probability": "mean probability of the class over the fraction removed",
    "layers": "rank correlation over the fraction of layers drawn anew",
}


def _described() -> dict[str, Metric]:
    metrics = {"samples": Metric("neither", "explained samples", "nothing")}
    for entry in CATALOGUE.values():
        metrics[entry.key] = entry.metric
        if entry.curve:
            metrics[f"{entry.key}/{entry.curve}"] = replace(
                entry.metric, measures=_CURVES[entry.curve]
            )
    return metrics


@dataclass
class _Tally:
    """What a metric said so far, and of whom it said nothing."""

    entry: Offered
    items: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    curves: list[np.ndarray] = field(default_factory=list)
    x: np.ndarray | None = None
    lost: Counter[str] = field(default_factory=Counter)
    """How many samples have no value, by reason."""

    def take(self, case: Case, size: Size) -> None:
        """Score a batch; whatever fails is a reason."""
        asked = case.varied
        self.lose("the map is constant", int((~asked).sum()))
        if self.entry.group == "localisation":
            assert case.masks is not None
            inside = case.masks.reshape(len(asked), -1)
            partly = inside.any(1) & ~inside.all(1)
            self.lose("the mask is empty or covers everything", int((asked & ~partly).sum()))
            asked = asked & partly
        if not asked.any():
            return
        try:
            scored = scores(self.entry, case, size)
        except Unusable as reason:
            self.lose(str(reason), int(asked.sum()))
        except Exception as error:  # noqa: BLE001 - whatever Quantus raises, the other metrics go on
            first = str(error).strip().partition("\n")[0]
            told = f"Quantus fails with {type(error).__name__}: {first}"
            self.lose(told, int(asked.sum()))
        else:
            self._keep(case, scored, asked)

    def _keep(self, case: Case, scored: Scores, asked: np.ndarray) -> None:
        defined = np.isfinite(scored.values)
        if scored.curves is not None:
            defined &= np.isfinite(scored.curves).all(1)
        self.lose(self.entry.undefined, int((asked & ~defined).sum()))
        kept = asked & defined
        self.items.append(case.items.numpy()[kept])
        self.values.append(scored.values[kept])
        if scored.curves is not None:
            self.x = scored.x
            self.curves.append(scored.curves[kept])

    def lose(self, reason: str, count: int) -> None:
        """Note that so many samples have no value."""
        if count:
            self.lost[one_line(reason)] += count

    def write(self, record: Record, total: int) -> None:
        for reason, count in self.lost.items():
            whom = (
                "no value"
                if count == total
                else f"{counted(count, 'sample', total=total)} left out"
            )
            record.note("test", self.entry.key, f"{whom}: {reason}")
        values = np.concatenate(self.values) if self.values else np.empty(0)
        if not len(values):
            return
        middle = np.median if self.entry.median else np.mean
        record.metric("test", self.entry.key, float(middle(values)))
        record.examples("test", self.entry.key, values, np.concatenate(self.items))
        if self.x is not None:
            mean = np.concatenate(self.curves).mean(0)
            record.curve("test", f"{self.entry.key}/{self.entry.curve}", self.x, mean)


class QuantusMetrics(Evaluation):
    """Quality of explanations by Quantus: localisation, complexity, faithfulness, robustness, more.

    Hedström et al., JMLR 24(34), 2023. The benchmark's attribution method is scored on the model, by
    Quantus' own classes: "group/Class" is the mean over test items, and example rows hold each
    item's value. Maps are divided by their own largest absolute value. For faithfulness a feature is
    a whole pixel or point, removed as `occlude` does it ("mean" for images; "duplicate" for clouds,
    which a set function sees as removal). Robustness takes noise of a tenth (clouds: a hundredth) of
    the data's standard deviation. What has no value is left out with a note.

    These scores rank explanations, so between models they say how well the maps suit each model, and
    not which model is better. `refused` tells which of Quantus' metrics are left out and why.
    """

    name = "quantus"
    metrics = _described()
    refused = REFUSED
    """What Quantus has and is not offered: class → modality → reason."""
    default = False
    presets = {size: {"size": size} for size in SIZES}

    size: Size = "fast"
    """Which metrics with which settings: fast takes seconds, standard minutes, full a quarter of an
    hour for 64 small images on one core."""
    only: tuple[str, ...] | None = None
    """Quantus' classes that are taken, of any size, such as PixelFlipping; None: those of the size."""
    max_samples: Count | None = None
    """Test items that are explained; None: 64, 128 or 256 by size."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.only or ():
            reasons = REFUSED.get(name, {})
            if name not in CATALOGUE and name not in REFUSED:
                raise UserError(f"{self.name}: Quantus has no {name!r}; {suggest(name, CATALOGUE)}")
            if name not in CATALOGUE:
                reason = next(iter(reasons.values()))
                raise UserError(f"{self.name}: {name} is not offered: {reason}")

    def passes(self, workload: Workload) -> float:
        facts, explanation = workload.facts, workload.explanation
        each, noisy, anew = 1 + explanation, 0, False
        for entry in self._wanted():
            if facts.modality not in entry.modalities:
                continue
            budget = entry.allowed(self.size)
            if entry.space.startswith("masked"):
                each += budget
            elif entry.name == "Continuity":
                each += budget * (1 + explanation)
            elif entry.space == "inputs":  # which are given the same noise, and share explanations
                noisy = max(noisy, budget)
            elif entry.name == "RandomLogit":
                each += explanation
            elif entry.space == "weights":
                anew = True
        explained = each + noisy * (1 + explanation) + anew * (3 + explanation)
        return workload.sample(self.max_samples or SAMPLES[self.size]) * explained

    def evaluate(self, context: Context, record: Record) -> None:
        tallies = [_Tally(entry) for entry in self._chosen(context, record)]
        together = [tally for tally in tallies if tally.entry.space == "samples"]
        parts: list[Case] = []
        total, wanted = 0, self.max_samples or SAMPLES[self.size]
        with visiting(context):
            for items, batch, relevance in context.explained(wanted, "quantus"):
                case = Case(context, total, items, batch, relevance)
                total += len(items)
                for tally in tallies:
                    if tally not in together:
                        context.progress(f"quantus {tally.entry.name} {total}/{wanted}")
                        tally.take(case, self.size)
                if together:
                    parts.append(joined([case]))
            for tally in together:
                context.progress(f"quantus {tally.entry.name}")
                whole = joined(parts)
                tally.lose("the map is constant", total - len(whole.items))
                tally.take(whole, self.size)
        record.metric("test", "samples", total)
        for tally in tallies:
            tally.write(record, total)

    def _wanted(self) -> Iterator[Offered]:
        for entry in CATALOGUE.values():
            if self.only is not None:
                wanted = entry.name in self.only
            else:
                wanted = SIZES.index(entry.since) <= SIZES.index(self.size)
            if wanted:
                yield entry

    def _chosen(self, context: Context, record: Record) -> list[Offered]:
        """Return the metrics to take; what was asked for and cannot be is noted."""
        chosen: list[Offered] = []
        modality = context.facts.modality
        for entry in self._wanted():
            if modality not in entry.modalities:
                if self.only is not None:
                    record.note("test", entry.key, REFUSED[entry.name][modality])
            elif entry.group == "localisation" and context.facts.without_masks:
                record.note("test", entry.key, context.facts.without_masks)
            else:
                chosen.append(entry)
        return chosen
