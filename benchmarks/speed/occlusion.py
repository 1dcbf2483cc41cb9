"""What occlusion curves cost, as a ratio to the bare forward passes that they need.

    python -m benchmarks.speed.occlusion [--models resnet18] [--samples 64] [--memory]

For every network: OcclusionRobustness with all orders and fills over as many forward passes of the
same batches; each fill alone, with what it takes beside the network as a share of the passes; and
the attribution that evaluations ask a context for over bare attribution of the same batches. What
all evaluations of a cell share is made before: the predictions on the test split and the reference
model's maps. In a worker's later cells of a task, inputs that were inpainted or resampled in an order
that looks at no model are there already. The two sides take turns, and the median of the ratios within
a round is printed. A "!" marks a ratio above the limit, which is meant for ResNet-18.
`--memory` prints how far peak memory grows with 2,000 and with 50,000 samples: by the maps and the
occlusions that are kept (128 MiB each at most), and by the rows of the record.
"""

import argparse
import itertools
import json
import statistics
from functools import partial
from typing import Any

from torch import Tensor, nn

from benchmarks.speed import _timing as timing
from benchmarks.speed._networks import NETWORKS, build, context_of
from reldrop_bench.data import Facts
from reldrop_bench.evaluations._occluding.kept import KEPT
from reldrop_bench.evaluations.occlusion import OcclusionRobustness
from reldrop_bench.kinds.attributor import untouched
from reldrop_bench.kinds.evaluation import Context, Evaluation
from reldrop_bench.kinds.record import Record
from reldrop_bench.plugins.registry import create

MODELS = ("resnet18", "small-cnn", "pointnet")
OCCLUSION_LIMIT, ATTRIBUTION_LIMIT = 1.15, 1.10
METHOD = "lrp-epsilon-plus-flat"
SIZES = (2_000, 50_000)
FORMS = {"": "", "ratio": ".3f", "ratio limit": ".2f", "bare s": ".2f"}


class Timed(nn.Module):
    """A network that adds up the time spent in it."""

    def __init__(self, model: nn.Module, clock: timing.Clock) -> None:
        super().__init__()
        self.model, self.clock, self.seconds = model, clock, 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        started = self.clock()
        logits: Tensor = self.model(inputs)
        self.seconds += self.clock() - started
        return logits


def evaluate(evaluation: Evaluation, context: Context) -> Record:
    record = Record()
    evaluation.evaluate(context, record)
    return record


def evaluate_first(evaluation: Evaluation, context: Context) -> None:
    """Evaluate as in a worker's first cell of a task."""
    KEPT.clear()
    evaluate(evaluation, context)


def forward(context: Context, size: int, times: int) -> None:
    inputs = context.test.batch(context.order[:size]).inputs
    for _, part in itertools.product(range(times), inputs.split(context.batch_size)):
        context.predict(part)


def explain(model: nn.Module, facts: Facts, size: int) -> None:
    """Explain as evaluations do, in a context that has no maps yet."""
    list(context_of(model, facts, size, METHOD).explained(size, "attribution"))


def attribute(context: Context, size: int) -> None:
    """Explain the batches and nothing else."""
    with untouched(context.model):
        for items in context.order[:size].split(context.batch_size):
            batch = context.test.batch(items)
            generator = context.generator("bare")
            context.attributor.attribute(context.model, batch.inputs, batch.labels, generator)


def compare(name: str, options: argparse.Namespace, clock: timing.Clock) -> None:
    model, _, _ = build(name, 2)
    size, orders = options.samples, tuple(options.orders) if options.orders else None
    context = context_of(model, NETWORKS[name].facts, size, METHOD)
    context.logits()
    list(context.explained(size, "warm"))
    facts = context.facts
    print(f"\n{name}, {NETWORKS[name].shape}, {size} samples")

    fills = OcclusionRobustness.usual_fills[facts.modality]
    evaluation = OcclusionRobustness(max_samples=size, orders=orders)
    times = len(fills) * len({f for f in evaluation.fractions if f > 0})
    times *= len(orders or ("random", "ball or blocks", "mask", "reference"))
    explained = partial(explain, model, facts, size)
    attribution = partial(attribute, context, size)
    first, later = (partial(each, evaluation, context) for each in (evaluate_first, evaluate))
    forwards = partial(forward, context, size, times)
    compared: list[tuple[str, timing.Run, timing.Run, float]] = [
        ("attribution / bare attribution", explained, attribution, ATTRIBUTION_LIMIT),
        ("occlusion / bare, first cell", first, forwards, OCCLUSION_LIMIT),
        ("occlusion / bare, later cells", later, forwards, OCCLUSION_LIMIT),
    ]
    rows = []
    for text, run, bare, limit in compared:
        taken = timing.in_turn({"run": run, "bare": bare}, options.rounds, clock, warm_up=False)
        ratio, bare_seconds = timing.ratio(*taken.values()), statistics.median(taken["bare"])
        rows.append(dict(zip(FORMS, (text, ratio, limit, bare_seconds), strict=True)))
    timing.print_table(rows, FORMS)
    shares = []
    for fill in fills:
        context.model = timed = Timed(model, clock)
        one = OcclusionRobustness(max_samples=size, fills=(fill,), orders=orders)
        whole = timing.seconds(partial(evaluate_first, one, context), clock)
        shares.append(f"{fill} {whole / timed.seconds - 1:.1%}")
    print("beside the network, by fill:", ", ".join(shares), flush=True)


def memory_growth(evaluation: str, count: int) -> tuple[float, int]:
    """Return by how many MiB peak memory grows while `count` samples are evaluated, and the rows."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 10))
    context = context_of(model, NETWORKS["small-cnn"].facts, count, METHOD)
    context.logits()
    settings: dict[str, Any] = {"max_samples": 512, "fractions": (0, 0.5)}
    # One fill that is kept and one that is made for a chunk, in an order that needs maps and one not.
    settings["fills"] = ("noise", "inpaint")
    if evaluation == "occlusion":
        settings["orders"] = ("random", "reference")
    evaluate(create("evaluations", evaluation, settings), context)
    before = timing.process_peak()
    settings["max_samples"] = count
    record = evaluate(create("evaluations", evaluation, settings), context)
    return timing.process_peak() - before, len(record.frame())


def main() -> None:
    parser = timing.argument_parser(__doc__, rounds=3)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--orders", nargs="+", help="else all")
    parser.add_argument("--memory", action="store_true", help="only memory")
    evaluations = ("occlusion", "faithfulness")
    parser.add_argument("--evaluations", nargs="+", default=evaluations, help="with --memory")
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        timing.begin(options)
        print(json.dumps(memory_growth(options.evaluations[0], options.grow)))
        return
    if options.memory:
        for name, count in itertools.product(options.evaluations, SIZES):
            arguments = ["--evaluations", name, "--grow", str(count)]
            grown, rows = timing.in_own_process("occlusion", arguments)
            print(f"{name}, {count} samples: {grown:.0f} MiB for {rows} rows", flush=True)
        return
    clock = timing.begin(options)
    for name in options.models:
        compare(name, options, clock)


if __name__ == "__main__":
    main()
