"""What occlusion curves cost, as a ratio to the bare forward passes that they need.

    python benchmarks/speed/occlusion.py [--models resnet18] [--samples 64] [--memory]

For every network: OcclusionRobustness with all orders and fills over as many forward passes of the
same batches; each fill alone, with what it takes beside the network as a share of the passes; and
the attribution that evaluations ask a context for over bare attribution of the same batches. What
all evaluations of a cell share is made before: the predictions on the test split and the reference
model's maps. In a worker's later cells of a task, inputs that were inpainted or resampled in an order
that looks at no model are there already. The two sides take turns, and the median of the ratios within
a round is printed.
`--memory` prints how far peak memory grows with 2,000 and with 50,000 samples: by the maps and the
occlusions that are kept (128 MiB each at most), and by the rows of the record.
"""

import argparse
import functools
import itertools
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from relevance import SETTINGS, build
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts, Shifts, TrainingSplits
from reldrop_bench.evaluations._occluding.kept import KEPT
from reldrop_bench.evaluations.occlusion import OcclusionRobustness
from reldrop_bench.kinds.attributor import untouched
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.registry import create

MODELS = ("resnet18", "small-cnn", "pointnet")
LIMITS = {"occlusion": 1.15, "attribution": 1.10}
"""The ratios that may be reached at most, on ResNet-18."""
METHOD = "lrp-epsilon-plus-flat"
SIZES = (2_000, 50_000)


@dataclass(frozen=True)
class Made:
    """A split of any length whose inputs are made when they are asked for."""

    facts: Facts
    count: int
    some: Tensor

    @property
    def targets(self) -> Tensor:
        return torch.arange(self.count) % len(self.facts.classes)

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Tensor) -> Batch:
        inputs = self.some[indices % len(self.some)]
        masks = (inputs[:, 0] > 0.5).to(torch.uint8)
        return Batch(inputs, indices % len(self.facts.classes), masks)


class MadeTask(Task):
    """Random inputs with a region of interest."""

    name = "made"
    default_model = "none"
    recipe = Recipe()

    made: Any = field(default=None, compare=False)

    def facts(self, root: Path | None) -> Facts:
        return self.made.facts

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        raise AssertionError("nothing is trained")

    def test(self, root: Path | None) -> Made:
        return self.made

    def shifts(self, root: Path | None) -> Shifts:
        return {}


class Nothing(Regularizer):
    """Changes nothing."""

    name = "nothing"


class Timed(nn.Module):
    """A network that adds up the time spent in it."""

    def __init__(self, model: nn.Module, clock: Callable[[], float]) -> None:
        super().__init__()
        self.model, self.clock, self.seconds = model, clock, 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        started = self.clock()
        logits = self.model(inputs)
        self.seconds += self.clock() - started
        return logits


@functools.cache
def some_inputs(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(512, *shape, generator=torch.Generator().manual_seed(0))


def context_of(model: nn.Module, facts: Facts, count: int) -> Context:
    facts = Facts(
        facts.modality, facts.classes, facts.input_shape, facts.mean, facts.std, masks=True
    )
    method = create("attributors", METHOD)
    context = Context(
        model=model.eval(),
        task=MadeTask(made=Made(facts, count, some_inputs(facts.input_shape))),
        facts=facts,
        root=None,
        regularizer=Nothing(),
        attributor=method,
        training_attributor=method,
        seed=0,
    )
    context.companions = {"reference": lambda: context}
    return context


def measured(evaluation: Evaluation, context: Context) -> Record:
    record = Record()
    evaluation.evaluate(context, record)
    return record


def seconds(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    started = clock()
    run()
    return clock() - started


def forward(context: Context, size: int, times: int) -> None:
    inputs = context.test.batch(context.order[:size]).inputs
    for _, part in itertools.product(range(times), inputs.split(context.batch_size)):
        context.predict(part)


def attribute(context: Context, size: int) -> None:
    """Explain the batches and nothing else."""
    with untouched(context.model):
        for items in context.order[:size].split(context.batch_size):
            batch = context.test.batch(items)
            generator = context.generator("bare")
            context.attributor.attribute(context.model, batch.inputs, batch.labels, generator)


def ratio(
    name: str, run: Callable[[], Any], bare: Callable[[], Any], limit: float, options: Any
) -> None:
    pairs = [
        (seconds(run, options.clock), seconds(bare, options.clock)) for _ in range(options.rounds)
    ]
    found = statistics.median(own / other for own, other in pairs)
    mark = "!" if found > limit else ""
    base = statistics.median(other for _, other in pairs)
    print(f"  {name:34}{found:7.3f}{mark:1}  of {base:7.2f} s bare", flush=True)


def compare(name: str, options: argparse.Namespace) -> None:
    model, _, _ = build(name, 2, torch.device("cpu"))
    size = options.samples
    context = context_of(model, SETTINGS[name][2], size)
    context.logits()
    list(context.explained(size, "warm"))
    facts = context.facts
    print(f"\n{name}, {'x'.join(map(str, facts.input_shape))}, {size} samples")

    def explain() -> None:
        fresh = context_of(model, facts, size)
        list(fresh.explained(size, "attribution"))

    limit = LIMITS["attribution"]
    ratio(
        "attribution / bare attribution", explain, lambda: attribute(context, size), limit, options
    )
    fills = OcclusionRobustness.usual_fills[facts.modality]
    share: dict[str, float] = {}
    for fill in fills:
        timed = Timed(model, options.clock)
        KEPT.clear()
        context.model = timed
        evaluation = OcclusionRobustness(max_samples=size, fills=(fill,), orders=options.orders)
        taken = seconds(functools.partial(measured, evaluation, context), options.clock)
        share[fill] = (taken - timed.seconds) / timed.seconds
    context.model = model
    evaluation = OcclusionRobustness(max_samples=size, orders=options.orders)
    times = len(fills) * len({f for f in evaluation.fractions if f > 0})
    times *= len(options.orders or ("random", "ball or blocks", "mask", "reference"))

    def fresh() -> None:
        KEPT.clear()
        measured(evaluation, context)

    for text, run in (
        ("occlusion / bare, first cell", fresh),
        ("occlusion / bare, later cells", lambda: measured(evaluation, context)),
    ):
        bare = functools.partial(forward, context, size, times)
        ratio(text, run, bare, LIMITS["occlusion"], options)
    print("  beside the network, by fill       ", end="")
    print(", ".join(f"{fill} {part:.1%}" for fill, part in share.items()), flush=True)


def peak(evaluation: str, count: int) -> None:
    """Print by how much peak memory grows while an evaluation sees `count` samples."""
    facts = SETTINGS["small-cnn"][2]
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 10))
    context = context_of(model, facts, count)
    context.logits()
    settings: dict[str, Any] = {"max_samples": 512, "fractions": (0, 0.5)}
    # One fill that is kept and one that is made for a chunk, in an order that needs maps and one not.
    settings["fills"] = ("noise", "inpaint")
    if evaluation == "occlusion":
        settings["orders"] = ("random", "reference")
    measured(create("evaluations", evaluation, settings), context)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings["max_samples"] = count
    rows = len(measured(create("evaluations", evaluation, settings), context).frame())
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{evaluation}, {count} samples: {grown:.0f} MiB for {rows} rows", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--orders", nargs="+", help="all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="cpu")
    parser.add_argument("--memory", action="store_true", help="only memory")
    parser.add_argument("--evaluation", help="of this one alone, with --memory")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.clock = time.perf_counter if options.clock == "wall" else time.process_time
    options.orders = tuple(options.orders) if options.orders else None
    if options.peak:
        peak(options.evaluation, options.peak)
    elif options.memory:
        chosen = [options.evaluation] if options.evaluation else ["occlusion", "faithfulness"]
        for name, count in itertools.product(chosen, SIZES):  # a process each: a peak never falls
            command = [sys.executable, __file__, "--evaluation", name, "--peak", str(count)]
            subprocess.run(command, check=True)
    else:
        for name in options.models:
            compare(name, options)


if __name__ == "__main__":
    main()
