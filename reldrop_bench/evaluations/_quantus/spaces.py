"""The spaces that Quantus works in: masks over elements, and the inputs themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from reldrop_bench.data import Batch
from reldrop_bench.kinds.attributor import explain_with
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.occlusion.fill import occlude
from reldrop_bench.seeding import numpy_generator

from .._measures.samples import varies

Maps = Literal["signed", "ordered", "positive", "absolute", "absolute ordered", "floored"]
"""What a metric is given, after each map was divided by its largest absolute value.

signed: as it is. ordered: ties broken at random (`break_ties`). positive: negative relevance is 0.
absolute: the absolute value. floored: what is below FLOOR counts as 0, which a metric that divides
by relevance replaces by FLOOR."""

REMOVAL: Mapping[str, str] = {"image": "mean", "cloud": "duplicate"}
"""With what a removed element is filled. A removed point becomes a kept point of the same cloud,
which a set function sees as removal."""
FLOOR = 0.01
"""Of the largest absolute relevance of a map."""
_STEP = 1e-9


def scaled(relevance: Tensor) -> np.ndarray:
    """Return maps (b, 1, …) float64 divided by their own largest absolute value; zeros stay.

    Not by the largest of the batch, as Quantus does: there one sample changes the others' scores.
    """
    maps = relevance.detach().cpu().double().numpy()[:, None]
    largest = np.abs(maps).max(axis=tuple(range(1, maps.ndim)), keepdims=True)
    return maps / np.where(largest > 0, largest, 1.0)


def break_ties(maps: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return maps (b, …) that are sorted as before, and at random where they had equal values.

    A map's rank in the random order is added, a billionth of it at most: the sum is sorted as its
    parts are, so whatever differed keeps its order.
    """
    flat = maps.reshape(len(maps), -1)
    order = np.lexsort((generator.random(flat.shape), flat), axis=1)
    rank = np.argsort(order, axis=1)
    return (flat + _STEP * rank / flat.shape[1]).reshape(maps.shape)


class Masked(nn.Module):
    """What a batch's classes get while a mask removes elements: (b, 1, …), 0 = removed → (b, K).

    Row i of the mask belongs to sample i, so it takes nothing but whole batches, which is how all
    metrics predict that use it. A feature is then a pixel or a point and not a channel's element.
    The network is not registered: Quantus would look into it for a softmax to cut off.
    """

    def __init__(self, case: Case, probabilities: bool) -> None:
        super().__init__()
        self._case = case
        self._probabilities = probabilities
        self.eval()

    def forward(self, mask: Tensor) -> Tensor:
        if len(mask) != len(self._case.items):
            raise ValueError(f"{len(mask)} masks for {len(self._case.items)} samples")
        logits = self._case.predict_without(mask.flatten(1) < 0.5)
        return logits.softmax(1) if self._probabilities else logits


class Network(nn.Module):
    """The network for real inputs: (b, C, …) → (b, K), logits or probabilities.

    Its parameters are seen by Quantus, which draws them anew in copies. The softmax is applied here:
    asked for one, Quantus sets up logging for the whole process. What comes last keeps it from
    cutting off a softmax that a network has inside.
    """

    def __init__(self, network: nn.Module, probabilities: bool = False) -> None:
        super().__init__()
        self.network = network
        self.output = nn.Identity()
        self._probabilities = probabilities
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        logits = self.output(self.network(inputs)).float()
        return logits.softmax(1) if self._probabilities else logits


class Known(nn.Module):
    """Logits (n, K) that are known already, whatever the inputs."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self._logits = logits
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        return self._logits


@dataclass
class Case:
    """One batch of explained samples with what several metrics ask about it, made once."""

    context: Context
    start: int
    """Position of its first sample in the order of all: names its random streams."""
    items: Tensor
    """(b,) positions in the test split."""
    batch: Batch
    relevance: Tensor
    """(b, …), as it was explained."""
    predicted: Tensor | None = None
    """(b, K) logits of the samples, where they are known already."""
    _explained: dict[bytes, Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def varied(self) -> np.ndarray:
        """Whether each map says anything of where: (b,) bool, False where it is constant."""
        return varies(self.relevance).cpu().numpy()

    @cached_property
    def masks(self) -> np.ndarray | None:
        """Regions of interest (b, 1, …) bool, or None."""
        masks = self.batch.masks
        return None if masks is None else (masks > 0).cpu().numpy()[:, None]

    @cached_property
    def labels(self) -> np.ndarray:
        """The explained classes (b,)."""
        return self.batch.labels.cpu().numpy()

    @cached_property
    def inputs(self) -> np.ndarray:
        """(b, C, …) float32."""
        return self.batch.inputs.cpu().numpy()

    @cached_property
    def logits(self) -> Tensor:
        """What the model says of the samples as they are, (b, K) on the CPU."""
        return self.context.predict(self.batch.inputs) if self.predicted is None else self.predicted

    @property
    def elements(self) -> int:
        """Pixels or points of a sample."""
        return self.relevance[0].numel()

    def probability(self) -> np.ndarray:
        """Return that of each sample's class, nothing removed: (b,)."""
        return self.logits.softmax(1).numpy()[np.arange(len(self.items)), self.labels]

    def generator(self, stream: str) -> np.random.Generator:
        """Return the stream that the task, this batch and a name tell."""
        return numpy_generator(*self.seed(stream))

    def seed(self, stream: str) -> tuple[object, ...]:
        """Return the parts that name a stream: the same for every model and seed."""
        return ("evaluation", self.context.task.name, "quantus", stream, self.start)

    def maps(self, kind: Maps, stream: str) -> np.ndarray:
        """Return the batch's maps (b, 1, …) float64, a copy, as Quantus works in place."""
        return self._as(kind, self.relevance, stream)

    def _as(self, kind: Maps, relevance: Tensor, stream: str) -> np.ndarray:
        maps = scaled(relevance)
        if kind == "positive":
            return maps.clip(min=0)
        if kind == "floored":
            return np.where(np.abs(maps) < FLOOR, 0.0, maps)
        if "absolute" in kind:
            maps = np.abs(maps)
        return break_ties(maps, self.generator(stream)) if "ordered" in kind else maps

    def predict_without(self, removed: Tensor) -> Tensor:
        """Return logits (b, K) on the CPU with some elements removed; removed (b, n) bool."""
        if not removed.any():
            return self.logits
        facts, inputs = self.context.facts, self.batch.inputs
        if facts.modality == "image" and removed.all():
            one = self.context.predict(inputs.new_full(inputs[:1].shape, facts.fill))
            return one.expand(len(inputs), -1)
        mask = removed.view_as(self.relevance).to(inputs.device)
        # The same stream each time: what stands for a point hangs on the mask alone.
        generator = self.context.generator("quantus", "removal", self.start)
        return self.context.predict(
            occlude(inputs, mask, REMOVAL[facts.modality], facts, generator)
        )

    def explain(
        self, kind: Maps, model: nn.Module, inputs: Any, targets: Any, **_: Any
    ) -> np.ndarray:
        """Explain other inputs, classes or weights as the batch was: what Quantus calls.

        model: a `Network` or a copy of it with other weights. inputs (b, C, …), targets (b,) arrays.
        The random stream is that of the batch's own maps, so that a method that draws is compared
        with itself. Metrics that ask for the same share the answer.
        """
        network = model.network if isinstance(model, Network) else model
        inputs = torch.as_tensor(np.ascontiguousarray(inputs), dtype=torch.float32)
        targets = torch.as_tensor(np.asarray(targets), dtype=torch.int64)
        if not self._explained:
            key = _key(self.context.model, self.context, self.batch.inputs, self.batch.labels)
            self._explained[key] = self.relevance
        key = _key(network, self.context, inputs, targets)
        if key not in self._explained:
            device, method = self.context.device, self.context.attributor
            generator = self.context.generator("relevance", method.name, self.start)
            self._explained[key] = explain_with(
                method, network, inputs.to(device), targets.to(device), generator
            )
        return self._as(kind, self._explained[key], "explained")


def _key(network: nn.Module, context: Context, inputs: Tensor, targets: Tensor) -> bytes:
    digest = hashlib.blake2b()
    if network is not context.model:
        for name, weights in network.state_dict().items():
            digest.update(name.encode() + _bytes(weights))
    digest.update(_bytes(inputs) + _bytes(targets))
    return digest.digest()


def _bytes(tensor: Tensor) -> bytes:
    # As bytes whatever the type: numpy knows no bfloat16.
    plain = tensor.detach().cpu().contiguous().flatten()
    return plain.view(torch.uint8).numpy().tobytes()
