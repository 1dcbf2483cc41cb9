"""What the metrics of Quantus take on ResNet-18, as seconds and as ratios to bare predictions.

    python -m benchmarks.speed.quantus [--size fast|standard|full] [--samples 64] [--clock cpu]

A metric's seconds are those after what it shares with metrics above it: explanations under the same
noise, or of the same weights, are made once. Importing Quantus is not counted.
"""

import statistics
from itertools import pairwise

import quantus

from benchmarks.speed import _timing as timing
from benchmarks.speed._networks import NETWORKS, build, context_of
from reldrop_bench.evaluations.quantus import QuantusMetrics
from reldrop_bench.kinds.attributor import DEFAULT_RELEVANCE
from reldrop_bench.kinds.record import Record

MODEL = "resnet18"


def main() -> None:
    parser = timing.argument_parser(__doc__)
    parser.add_argument("--size", default="fast", choices=tuple(QuantusMetrics.presets))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--only", nargs="+", metavar="CLASS", help="metrics by Quantus' class name")
    options = parser.parse_args()
    clock = timing.begin(options)
    model, _, _ = build(MODEL, 1)
    marks: list[tuple[str, float]] = []
    facts = NETWORKS[MODEL].facts
    context = context_of(
        model,
        facts,
        options.samples,
        DEFAULT_RELEVANCE,
        lambda stage: marks.append((stage, clock())),
    )

    def predict() -> None:
        for batch in context.batches(context.test):
            context.predict(batch.inputs)

    forward = statistics.median(timing.in_turn({"": predict}, 3, clock)[""])
    evaluation = QuantusMetrics(
        size=options.size,
        only=tuple(options.only) if options.only else None,
        max_samples=options.samples,
    )
    record, begun = Record(), clock()
    evaluation.evaluate(context, record)
    marks.append(("", clock()))

    taken: dict[str, float] = {}
    for (stage, at), (_, until) in pairwise(marks):
        words = stage.split()
        name = words[1] if len(words) > 1 and not words[1][0].isdigit() else "the maps"
        taken[name] = taken.get(name, 0.0) + until - at
    lines = sorted(taken.items(), key=lambda pair: -pair[1])
    lines += [("everything", marks[-1][1] - begun), ("bare predictions", forward)]
    print(f"quantus {quantus.__version__}, {options.samples} samples, size {options.size}")
    timing.print_table(
        [{"metric": name, "seconds": own, "forwards": own / forward} for name, own in lines],
        {"metric": "", "seconds": ".2f", "forwards": ".1f"},
    )
    for note in record.notes:
        print(f"{note['metric']}: {note['reason']}")


if __name__ == "__main__":
    main()
