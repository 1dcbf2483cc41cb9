"""What a training step costs with each regularizer, as a ratio to the step without any.

    python -m benchmarks.speed.regularizers [--models resnet18] [--only reldrop-block] [--batch 16]

All variants take turns within a round; a ratio is taken within a round and the median over rounds is
printed. Peak memory is that of tensors, above what was held before, in a step of its own. A "!"
marks a ratio above its limit.
"""

import argparse
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.speed import _timing as timing
from benchmarks.speed._networks import NETWORKS, build
from reldrop_bench.data import Batch, Facts
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.plugins.registry import create, names
from reldrop_bench.seeding import torch_generator

PLAIN = "none"
METHODS = "gradient-x-input", "lrp-epsilon-plus-flat", "lrp-epsilon-flat", "loss-gradient-x-input"
BATCHES = {"resnet18": 128, "pointnet": 32}
LIMITS = {
    ("resnet18", "reldrop-block", "gradient-x-input"): 1.36,
    ("resnet18", "reldrop-block", "lrp-epsilon-plus-flat"): 1.55,
}
"""The ratio that a variant may cost at most."""
FORMS = {
    "regularizer": "", "relevance": "", "ratio": ".2f", "ratio limit": ".2f",
    "ms": ".0f", "explained": ".0%", "MiB": ".0f",
}  # fmt: skip


@dataclass
class Variant:
    """A regularizer with the relevance method that guides it, "" where none does."""

    regularizer: Regularizer
    method: str
    step: Step

    def train(self, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
        """Make a training step."""
        model.train()
        seen = self.regularizer.transform(batch, self.step)
        if self.step.memory is not None or self.regularizer.needs_input_gradient:
            seen = seen.differentiable()
        logits = model(seen.inputs)
        loss = F.cross_entropy(logits, seen.targets)
        penalty = self.regularizer.penalty(logits, seen, self.step)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        optimizer.zero_grad()
        if self.step.memory is not None:
            self.step.learn(seen)


def variants(facts: Facts, model: nn.Module, batch: Batch, only: list[str]) -> Iterator[Variant]:
    """Yield what can be timed on such data, the plain step first."""
    for name in sorted(names("regularizers"), key=lambda name: (name != PLAIN, name)):
        regularizer: Regularizer = create("regularizers", name)
        if facts.modality not in regularizer.modalities or regularizer.requires:
            continue
        if only and name not in {*only, PLAIN}:
            continue
        guided = regularizer.uses_relevance
        for method in METHODS if guided else ("random",):
            attributor = create("attributors", method)
            step = Step(model, facts, torch_generator("speed", name), attributor)
            if guided and attributor.from_training:
                device = batch.inputs.device
                step.memory = RelevanceMemory(len(batch.inputs), facts.element_shape, device)
            yield Variant(regularizer, method if guided else "", step)


def measure(name: str, size: int, options: argparse.Namespace, clock: timing.Clock) -> None:
    device = torch.device(options.device)
    model, inputs, targets = build(name, size, device)
    batch = Batch(inputs, targets, samples=torch.arange(size, device=device))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    found = {
        (each.regularizer.name, each.method): each
        for each in variants(NETWORKS[name].facts, model, batch, options.only)
    }
    runs = {
        " ".join(key): partial(each.train, model, optimizer, batch) for key, each in found.items()
    }
    taken = timing.in_turn(runs, options.rounds, clock)
    plain = next(iter(taken.values()))
    rows: list[dict[str, Any]] = []
    for (key, variant), own in zip(found.items(), taken.values(), strict=True):
        explained = variant.step.explained / ((options.rounds + 1) * size)
        rows.append(
            {
                "regularizer": key[0],
                "relevance": key[1],
                "ratio": timing.ratio(own, plain),
                "ratio limit": LIMITS.get((name, *key)),
                "ms": 1000 * statistics.median(own),
                "explained": explained,
                "MiB": timing.tensor_peak(runs[" ".join(key)], device),
            }
        )
    timing.print_table(rows, FORMS)


def main() -> None:
    parser = timing.argument_parser(__doc__, threads=2, rounds=7)
    parser.add_argument("--models", nargs="+", default=[*BATCHES], choices=BATCHES)
    parser.add_argument("--batch", type=int, help=f"of all models; else {BATCHES}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", default=[], metavar="REGULARIZER")
    options = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports every start and stop
    clock = timing.begin(options)
    for name in options.models:
        size = options.batch or BATCHES[name]
        print(f"\n{name}, {NETWORKS[name].shape}, batch {size}, {options.rounds} rounds")
        measure(name, size, options, clock)


if __name__ == "__main__":
    main()
