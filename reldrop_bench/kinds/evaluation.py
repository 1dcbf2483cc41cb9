"""An evaluation: what it is given, and what it says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, Shifts, Split, SubsetSplit, told_apart_among
from reldrop_bench.kinds.attributor import Attributor, explain_with
from reldrop_bench.kinds.labels import check_split
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Direction, Metric, Record, first_fit
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.kinds.task import Task
from reldrop_bench.kinds.workload import Workload
from reldrop_bench.plugins.base import Plugin
from reldrop_bench.seeding import numpy_generator, torch_generator

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
    import pandas as pd

ROLES = frozenset({"reference", "baseline", "first-seed"})
"""What an evaluation may name in `companions`."""
SIZES = ("fast", "standard", "full")
"""Presets that every evaluation has; one that does not say what they set is always the same."""


def _no_epochs() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame()


class Explained(NamedTuple):
    """Some test items with the relevance of their labels."""

    items: Tensor
    """(b,) positions in the test split."""
    batch: Batch
    relevance: Tensor
    """(b, H, W) or (b, N), signed, on the model's device."""


@dataclass
class Context:
    """A trained model with everything an evaluation may ask about it.

    The model is in evaluation mode on `device`. Predictions on a split and relevance maps are made
    once and shared. Nothing depends on the order in which evaluations ask.
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
    """Of predictions and explanations, so that results depend on nothing else. Small: what a layer
    of a small network makes then stays in a CPU's cache."""
    progress: Callable[[str], None] = lambda stage: None
    """Called with a short text now and then, so that long evaluations show life."""
    epochs: pd.DataFrame = field(default_factory=_no_epochs)
    """The training log, a row an epoch; empty for a model that was trained elsewhere."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What is known of the training as a whole: seconds, steps, samples explained."""
    recipe: Recipe | None = None
    """How the model was trained; None where that is unknown."""
    companions: Mapping[str, Callable[[], Context | None]] = field(default_factory=dict)
    """Other models of the benchmark by role (see `Evaluation.companions`)."""
    lacking: set[str] = field(default_factory=set)
    """Companions that were asked for and are not there."""
    map_bytes: int = 128 * 2**20
    """Memory for relevance maps that are kept; beyond it they are made again when they are asked for."""
    test_split: Split | None = None
    """The test split where it is open already."""
    _logits: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    _targets: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)
    _maps: dict[tuple[Attributor, int], Tensor] = field(
        default_factory=dict, init=False, repr=False
    )
    _companions: dict[str, Context | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def test(self) -> Split:
        """The test split, which is opened when it is first used."""
        if self.test_split is None:
            split = self.task.test(self.root)
            classes = len(self.facts.classes)
            self.test_split = check_split(f"task {self.task.name}, test", split, classes)
        return self.test_split

    @cached_property
    def shifts(self) -> Shifts:
        """The shifted test sets by name."""
        return {
            name: partial(self._shifted, name, make)
            for name, make in self.task.shifts(self.root).items()
        }

    def _shifted(self, name: str, make: Callable[[], Split]) -> Split:
        return check_split(f"task {self.task.name}, {name}", make(), len(self.facts.classes))

    def with_model(self, model: nn.Module) -> Context:
        """Return a context for another model on the same data, which it shares with this one."""
        return replace(self, model=model.eval(), companions={}, test_split=self.test)

    def companion(self, role: str) -> Context | None:
        """Return the context of another model of the benchmark, or None where there is none.

        role: one of `Evaluation.companions`. A companion that should be there and is not (its cell
        failed, or its weights were not kept) is noted in `lacking`: the evaluation is done again
        when it has come.
        """
        if role not in self._companions:
            self._companions[role] = self.companions[role]() if role in self.companions else None
        found = self._companions[role]
        if found is None and role in self.companions:
            self.lacking.add(role)
        return found

    @cached_property
    def order(self) -> Tensor:
        """Test positions (N,) such that every prefix mixes the classes in proportion.

        The same for every model and seed: the first n are what an evaluation of n samples takes.
        """
        return _mixed_order(self.test.targets, self.task.name)

    def subset(self, size: int) -> Tensor:
        """Return positions of at most `size` test items, sorted, stratified by class.

        The same items for every model and seed; a larger subset holds every smaller one.
        """
        return self.order[:size].sort().values

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

        -inf for classes that the set is not told apart among.

        Raises
        ------
        ValueError
            They are not finite.
        """
        if name not in self._logits:
            split = self.test if name == "test" else self.shifts[name]()
            self._logits[name] = self._answers(name, split, split)
            self._targets[name] = split.targets.cpu()
        return self._logits[name]

    def targets(self, name: str = "test") -> Tensor:
        """Return classes (N,) on the CPU that go with `logits(name)`."""
        self.logits(name)
        return self._targets[name]

    def sampled(self, name: str, size: int | None) -> tuple[Tensor, Tensor]:
        """Return logits (n, K) and classes (n,) on the CPU of at most `size` items of a test set.

        name: as for `logits`. The items are the first of an order like `order`, which it is where
        the set has the classes of the test split; they come as the set has them. size: None for all.

        Raises
        ------
        ValueError
            They are not finite.
        """
        split = self.test if name == "test" or size is None else self.shifts[name]()
        if size is None or size >= len(split):
            return self.logits(name), self.targets(name)
        # Anew, even of a set that is predicted as a whole: last bits depend on what is beside.
        items = _mixed_order(split.targets, self.task.name)[:size].sort().values
        part = SubsetSplit(split, items)
        return self._answers(name, part, split), part.targets.cpu()

    def _answers(self, name: str, part: Split, whole: Split) -> Tensor:
        """Return logits (n, K) of `part`; -inf for classes that `whole` is not told apart among."""
        logits = torch.cat([self.predict(batch.inputs) for batch in self.batches(part)])
        if not logits.isfinite().all():
            raise ValueError(f"the model's outputs on {name!r} are not all finite")
        among = told_apart_among(whole)
        if among is None:
            return logits
        return torch.full_like(logits, -torch.inf).index_copy(1, among, logits[:, among])

    def explained(
        self, size: int, stage: str, attributor: Attributor | None = None
    ) -> Iterator[Explained]:
        """Yield the items of `subset(size)` with the relevance of their labels, a batch at a time.

        They come in the order of `order`. `attributor` is the benchmark's own where none is given.
        Only one batch is held at a time besides the maps that are kept for who asks next. Progress
        is told as "`stage` done/n".

        Raises
        ------
        RelevanceError
            A map is not finite.
        """
        method = self.attributor if attributor is None else attributor
        size = min(size, len(self.order))
        for start in range(0, size, self.batch_size):
            self.progress(f"{stage} {start}/{size}")
            # Always the whole batch: a map's last bits depend on what it is computed beside.
            whole = self.order[start : start + self.batch_size]
            shown = whole[: size - start]
            if (method, start) in self._maps:
                batch = self.test.batch(shown).to(self.device)
                relevance = self._maps[method, start]
            else:
                batch = self.test.batch(whole).to(self.device)
                generator = self.generator("relevance", method.name, start)
                relevance = self.explain(batch, generator, method)
                if self._kept_bytes + relevance.nbytes <= self.map_bytes:
                    self._maps[method, start] = relevance
                if len(shown) < len(whole):
                    batch = self.test.batch(shown).to(self.device)
            yield Explained(shown, batch, relevance[: len(shown)])

    @property
    def _kept_bytes(self) -> int:
        return sum(maps.nbytes for maps in self._maps.values())

    def explain(
        self, batch: Batch, generator: torch.Generator, attributor: Attributor | None = None
    ) -> Tensor:
        """Return the relevance of the batch's labels, (b, H, W) or (b, N), made anew."""
        method = self.attributor if attributor is None else attributor
        return explain_with(method, self.model, batch.inputs, batch.labels, generator)

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


def _mixed_order(targets: Tensor, task: str) -> Tensor:
    """Return positions (N,) of which every prefix mixes the classes (N,) in proportion."""
    classes = targets.cpu().numpy()
    shuffle, jitter = numpy_generator("evaluation", task, "subset").random((2, len(classes)))
    # Item i of the n shuffled members of its class goes to the quantile (i + jitter) / n.
    order = np.lexsort((shuffle, classes))
    _, start, count = np.unique(classes[order], return_index=True, return_counts=True)
    rank = np.arange(len(classes)) - np.repeat(start, count)
    place = (rank + jitter) / np.repeat(count, count)
    return torch.from_numpy(order[np.argsort(place, kind="stable")])


class Evaluation(Plugin, ABC):
    """A measurement on a trained model."""

    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Every metric it can write, with what is to be known of it.

    A key is a name or an fnmatch pattern ("*/auc"); the first that fits counts, see `direction`.
    """
    default: ClassVar[bool] = True
    """Whether a spec that names no evaluations includes it."""
    uses_relevance: ClassVar[bool] = True
    """Whether its values depend on the benchmark's attribution method."""
    requires: ClassVar[Set[str]] = frozenset()
    """Facts that a task must offer ("masks", "cues", "shortcut"); elsewhere it is left out."""
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Measures that one might look for here and that are not offered: by name and modality, why."""
    companions: ClassVar[Set[str]] = frozenset()
    """Other models of the benchmark that it compares with, on the same task and model:

    - "reference": the baseline of the first seed, the same for all cells (also for itself);
    - "baseline": the baseline of the cell's seed; none for the baseline's own cells;
    - "first-seed": the same regularizer with the first seed; none for the first seed itself.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = cls.presets
        if isinstance(own, Mapping):  # else it is told what is wrong with it
            cls.presets = {size: {} for size in SIZES} | dict(own)

    @property
    def explainers(self) -> tuple[str, ...]:
        """Names of attribution methods that it uses beside the benchmark's own."""
        return ()

    def applies_to(self, facts: Facts) -> bool:
        """Whether the task offers what is required."""
        return facts.modality in self.modalities and self.requires <= facts.offers

    def passes(self, workload: Workload) -> float | None:
        """Return about how many forward passes of one sample it makes; None where that is unknown.

        For estimates, so a factor of two is close enough. Predictions of the whole test split
        (`Context.logits`) are not counted: they are made once for all.
        """
        return None

    @classmethod
    def declared(cls, metric: str) -> Metric | None:
        """Return what `metrics` says of a metric; None where it does not name it."""
        return first_fit(cls.metrics, metric)

    @classmethod
    def direction(cls, metric: str) -> Direction | None:
        """Return which direction of `metric` is better; None where `metrics` does not name it."""
        found = cls.declared(metric)
        return None if found is None else found.direction

    @abstractmethod
    def evaluate(self, context: Context, record: Record) -> None:
        """Measure `context.model` and write what was found into `record`."""
