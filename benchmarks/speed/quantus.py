"""What the metrics of Quantus take on a small ResNet, as seconds and as ratios to bare predictions.

    python benchmarks/speed/quantus.py [--size fast|standard|full] [--samples 64] [--clock cpu]

One thread, 3 x 32 x 32 inputs of ten classes with masks, the default attribution method. A metric's
seconds are those after what it shares with metrics above it: explanations under the same noise, or of
the same weights, are made once. Importing Quantus is not counted. On a machine that others use as
well, take `--clock cpu`: processor time does not count waiting.
"""

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from reldrop_bench.data import Facts, Shifts, TensorSplit, TrainingSplits
from reldrop_bench.evaluations.quantus import QuantusMetrics
from reldrop_bench.kinds.attributor import DEFAULT_RELEVANCE
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.registry import create
from reldrop_bench.seeding import global_seed

SIDE, CLASSES = 32, 10


class Noise(Task):
    """Random images, the middle of each its mask."""

    name = "speed-noise"
    modalities = {"image"}
    default_model = "resnet18"
    recipe = Recipe()

    count: int = 64

    def facts(self, root: Path | None) -> Facts:
        classes = tuple(map(str, range(CLASSES)))
        return Facts("image", classes, (3, SIDE, SIDE), (0.0,) * 3, (1.0,) * 3, masks=True)

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        raise AssertionError("nothing is trained here")

    def test(self, root: Path | None) -> TensorSplit:
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(self.count, 3, SIDE, SIDE, generator=generator)
        masks = torch.zeros(self.count, SIDE, SIDE, dtype=torch.uint8)
        masks[:, 8:24, 8:24] = 1
        return TensorSplit(images, torch.arange(self.count) % CLASSES, masks)

    def shifts(self, root: Path | None) -> Shifts:
        return {}


def build(task: Noise) -> nn.Module:
    facts = task.facts(None)
    with global_seed("speed"), torch.no_grad():
        model: nn.Module = create("models", task.default_model, {}).build(facts)
        for _ in range(20):  # batch norm's statistics as of a network in training
            model.train()(torch.randn(16, *facts.input_shape))
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", default="fast", choices=tuple(QuantusMetrics.presets))
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--only", nargs="+", metavar="CLASS", help="metrics by Quantus' class name")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.perf_counter if options.clock == "wall" else time.process_time

    folder = str(Path(__file__).parent)  # where Python looks first, and finds this very file
    sys.path[:] = [each for each in sys.path if each != folder]
    started = clock()
    import quantus

    imported = clock() - started
    task = Noise(options.samples)
    model = build(task)
    marks: list[tuple[str, float]] = []
    context = Context(
        model=model,
        task=task,
        facts=task.facts(None),
        root=None,
        regularizer=create("regularizers", "none"),
        attributor=create("attributors", DEFAULT_RELEVANCE),
        training_attributor=create("attributors", DEFAULT_RELEVANCE),
        seed=0,
        progress=lambda stage: marks.append((stage, clock())),
    )
    forwards: list[float] = []
    for _ in range(4):  # the first warms up
        begun = clock()
        for batch in context.batches(context.test):
            context.predict(batch.inputs)
        forwards.append(clock() - begun)
    forward = sorted(forwards[1:])[1]
    evaluation = QuantusMetrics(
        options.size, None if options.only is None else tuple(options.only), options.samples
    )
    begun = clock()
    record = Record()
    evaluation.evaluate(context, record)
    whole = clock() - begun
    marks.append(("", begun + whole))

    seconds: dict[str, float] = {}
    for (stage, at), (_, until) in pairwise(marks):
        words = stage.split()
        name = words[1] if len(words) > 1 and not words[1][0].isdigit() else "the maps"
        seconds[name] = seconds.get(name, 0.0) + until - at
    print(
        f"quantus {quantus.__version__}, torch {torch.__version__}, {options.threads} threads, ",
        end="",
    )
    print(f"{options.clock} time, {options.samples} samples, importing Quantus {imported:.1f} s")
    print(f"{'metric':34}{'seconds':>9}{'forwards':>10}")
    for name, taken in sorted(seconds.items(), key=lambda pair: -pair[1]):
        print(f"{name:34}{taken:9.2f}{taken / forward:10.1f}")
    print(f"{'everything, size ' + options.size:34}{whole:9.2f}{whole / forward:10.1f}")
    print(f"{'bare predictions':34}{forward:9.2f}{1:10.1f}")
    for note in record.notes:
        print(f"{note['metric']}: {note['reason']}")


if __name__ == "__main__":
    main()
