"""The contract of an evaluation: what it is given, and the long table that it fills."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, Shifts, Split, SubsetSplit
from reldrop_bench.plugin import Plugin
from reldrop_bench.regularization import Regularizer, Step
from reldrop_bench.relevance.contract import Attributor
from reldrop_bench.relevance.explain import explain_with
from reldrop_bench.seeding import numpy_generator, torch_generator
from reldrop_bench.tasks import Task

Direction = Literal["higher", "lower", "neither"]

COLUMNS = ("table", "split", "metric", "item", "x", "value")
"""Columns of an evaluation's record; `table` is metric, example, curve or sample."""


class Record:
    """The long table that an evaluation fills: one row a value.

    - `metric`: one number for a split.
    - `examples`: one number for each item of a split (item = position in the split).
    - `curve`: one number for each x.
    - `sample`: an array that belongs to one item (a picture, a map), flattened; x = flat position.
    """

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []

    def _add(self, table: str, split: str, metric: str, item: Any, x: Any, value: Any) -> None:
        value = np.atleast_1d(np.asarray(value, dtype=np.float64))
        self._parts.append(
            pd.DataFrame(
                {
                    "table": table,
                    "split": split,
                    "metric": metric,
                    "item": item,
                    "x": x,
                    "value": value,
                }
            )
        )

    def metric(self, split: str, name: str, value: float) -> None:
        """Add one number, such as ("test", "accuracy", 0.93)."""
        self._add("metric", split, name, -1, np.nan, value)

    def examples(
        self,
        split: str,
        name: str,
        values: Tensor | np.ndarray,
        items: Tensor | np.ndarray | None = None,
    ) -> None:
        """Add one number an item; values (N,), items (N,) positions in the split, None for all."""
        where = np.arange(len(values)) if items is None else np.asarray(items)
        self._add("example", split, name, where, np.nan, np.asarray(values))

    def curve(self, split: str, name: str, x: Any, values: Any) -> None:
        """Add a curve: x (P,) and values (P,)."""
        self._add("curve", split, name, -1, np.asarray(x, dtype=np.float64), values)

    def sample(self, split: str, name: str, item: int, values: Tensor | np.ndarray) -> None:
        """Add an array that belongs to one item; any shape, flattened in C order."""
        flat = np.asarray(values, dtype=np.float64).reshape(-1)
        self._add("sample", split, name, item, np.arange(len(flat), dtype=np.float64), flat)

    def frame(self) -> pd.DataFrame:
        """Return all rows; columns COLUMNS."""
        if not self._parts:
            return pd.DataFrame(columns=list(COLUMNS))
        return pd.concat(self._parts, ignore_index=True)


@dataclass
class Context:
    """A trained model with everything an evaluation may ask about it.

    The model is in evaluation mode on `device`. Predictions on one split are made once and shared.
    """

    model: nn.Module
    task: Task
    facts: Facts
    root: Path | None
    regularizer: Regularizer
    attributor: Attributor
    """The benchmark's attribution method, the same for all cells."""
    training_attributor: Attributor
    """The one that the cell's own regularizer was guided by."""
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch_size: int = 64
    """Of predictions. Small: what a layer of a small network makes then stays in a CPU's cache."""
    progress: Callable[[str], None] = lambda stage: None
    """Called with a short text now and then, so that long evaluations show life."""
    _logits: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    _targets: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def test(self) -> Split:
        """The test split."""
        return self.task.test(self.root)

    @cached_property
    def shifts(self) -> Shifts:
        """The shifted test sets by name."""
        return self.task.shifts(self.root)

    def subset(self, size: int) -> Tensor:
        """Return positions of at most `size` test items, sorted, stratified by class.

        The same items for every model and seed; a larger subset holds every smaller one.
        """
        targets = self.test.targets.cpu().numpy()
        generator = numpy_generator("evaluation", self.task.name, "subset")
        shuffle, jitter = generator.random((2, len(targets)))
        # Item i of the n shuffled members of its class goes to the quantile (i + jitter) / n, so
        # that every prefix of the order mixes the classes in proportion.
        order = np.lexsort((shuffle, targets))
        _, start, count = np.unique(targets[order], return_index=True, return_counts=True)
        rank = np.arange(len(targets)) - np.repeat(start, count)
        place = (rank + jitter) / np.repeat(count, count)
        return torch.from_numpy(np.sort(order[np.argsort(place, kind="stable")][:size]))

    def batches(self, split: Split) -> Iterator[Batch]:
        """Yield the split in order, `batch_size` samples at a time, on the device."""
        for indices in torch.arange(len(split)).split(self.batch_size):
            yield split.batch(indices).to(self.device)

    @torch.no_grad()
    def predict(self, inputs: Tensor) -> Tensor:
        """Return logits (B, K) float32 on the CPU."""
        return self.model(inputs).float().cpu()

    def logits(self, name: str = "test") -> Tensor:
        """Return logits (N, K) on the CPU for "test" or a shifted test set, computed once.

        Raises
        ------
        ValueError
            They are not finite.
        """
        if name not in self._logits:
            split = self.test if name == "test" else self.shifts[name]()
            logits = torch.cat([self.predict(batch.inputs) for batch in self.batches(split)])
            if not logits.isfinite().all():
                raise ValueError(f"the model's outputs on {name!r} are not all finite")
            self._logits[name] = logits
            self._targets[name] = split.targets.cpu()
        return self._logits[name]

    def targets(self, name: str = "test") -> Tensor:
        """Return classes (N,) on the CPU that go with `logits(name)`."""
        self.logits(name)
        return self._targets[name]

    def explained(self, items: Tensor, stage: str) -> Iterator[tuple[Batch, Tensor]]:
        """Yield test items in batches with the relevance of their labels, (b, H, W) or (b, N).

        items (n,) positions in the test split. Only one batch is held at a time. Progress is told
        as "`stage` done/n".
        """
        generator = self.generator("relevance", self.attributor.name)
        done = 0
        for batch in self.batches(SubsetSplit(self.test, items)):
            self.progress(f"{stage} {done}/{len(items)}")
            yield (
                batch,
                explain_with(self.attributor, self.model, batch.inputs, batch.labels, generator),
            )
            done += len(batch)

    def generator(self, *parts: object) -> torch.Generator:
        """Return the stream that the task and `parts` name: the same for every model and seed."""
        return torch_generator("evaluation", self.task.name, *parts)

    def step(self) -> Step:
        """Return a training step in the regularizer's hands, to show what it does to a batch.

        It stands at the end of training, where every ramp has reached its full strength.
        """
        return Step(
            model=self.model,
            facts=self.facts,
            generator=self.generator("regularizer"),
            attributor=self.training_attributor,
            progress=1.0,
        )


class Evaluation(Plugin, ABC):
    """A measurement: a frozen dataclass of its settings."""

    metrics: ClassVar[Mapping[str, Direction]] = {}
    """Every metric it can write, with the direction that is better.

    A key is a name or an fnmatch pattern ("*/auc"); the first that fits counts, see `direction`.
    """
    default: ClassVar[bool] = True
    """Whether a spec that names no evaluations includes it."""
    uses_relevance: ClassVar[bool] = True
    """Whether its values depend on the benchmark's attribution method."""
    requires: ClassVar[frozenset[str]] = frozenset()
    """Facts that a task must offer ("masks", "cues"); elsewhere it is left out."""

    def applies_to(self, facts: Facts) -> bool:
        """Whether the task offers what is required."""
        return facts.modality in self.modalities and self.requires <= facts.offers

    @classmethod
    def direction(cls, metric: str) -> Direction | None:
        """Return which direction of `metric` is better; None where `metrics` does not name it."""
        fitting = (value for key, value in cls.metrics.items() if fnmatchcase(metric, key))
        return next(fitting, None)

    @abstractmethod
    def evaluate(self, context: Context, record: Record) -> None:
        """Measure `context.model` and write what was found into `record`."""
