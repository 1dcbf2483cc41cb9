"""What a training step costs with each regularizer, as a ratio to the step without any.

    python benchmarks/speed/regularizers.py [--quick] [--only reldrop-block none]

All variants take turns within a round, so that a busy machine slows them alike; a ratio is taken
within a round and the median over rounds is printed. On a machine that others use as well, take
`--clock cpu --threads 1`: processor time does not count waiting. Peak memory is the process's (CPU, Linux) or
the allocator's (CUDA) over the step.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.data import Batch, Facts
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.kinds.regularizer import Regularizer, Step
from reldrop_bench.plugins.registry import create, names
from reldrop_bench.seeding import global_seed, torch_generator

METHODS = (
    "gradient-x-input",
    "lrp-epsilon-plus-flat",
    "lrp-epsilon-flat",
    "loss-gradient-x-input",
)
LIMITS = {
    ("reldrop-block", "gradient-x-input"): 1.36,
    ("reldrop-block", "lrp-epsilon-plus-flat"): 1.55,
}
"""The ratio that a variant may cost at most, on ResNet-18."""


@dataclass(frozen=True)
class Setting:
    """A network and the data that it is timed on."""

    model: str
    facts: Facts
    batch: int


SETTINGS = (
    Setting(
        "resnet18",
        Facts("image", tuple(map(str, range(10))), (3, 32, 32), (0.5,) * 3, (0.25,) * 3),
        128,
    ),
    Setting(
        "pointnet",
        Facts("cloud", tuple(map(str, range(40))), (3, 1024), (0.0,) * 3, (1.0,) * 3),
        32,
    ),
)


@dataclass
class Variant:
    """A regularizer with a relevance method, and what was measured of it."""

    regularizer: Regularizer
    method: str
    step: Step
    seconds: list[float] = field(default_factory=list)
    peak: float = 0.0


def variants(facts: Facts, model: nn.Module, only: list[str]) -> Iterator[Variant]:
    for name in sorted(names("regularizers"), key=lambda name: (name != "none", name)):
        regularizer: Regularizer = create("regularizers", name)
        if facts.modality not in regularizer.modalities or regularizer.requires:
            continue
        if only and name not in {*only, "none"}:
            continue
        guided = regularizer.uses_relevance
        for method in METHODS if guided else ("random",):
            generator = torch_generator("speed", name)
            step = Step(model, facts, generator, create("attributors", method))
            yield Variant(regularizer, method if guided else "", step)


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed: the column is then the peak so far
        return


def read_peak(device: torch.device) -> float:
    """Return the peak memory since `reset_peak` in MiB, nan where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if "VmHWM" in line), float("nan"))


def training_step(
    variant: Variant, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch
) -> None:
    model.train()
    seen = variant.regularizer.transform(batch, variant.step)
    if variant.step.memory is not None:
        seen = seen.replace(inputs=seen.inputs.detach().requires_grad_())
    logits = model(seen.inputs)
    loss = F.cross_entropy(logits, seen.targets)
    penalty = variant.regularizer.penalty(logits, seen, variant.step)
    (loss if penalty is None else loss + penalty).backward()
    optimizer.step()
    optimizer.zero_grad()
    if variant.step.memory is not None:
        variant.step.learn(seen)


def measure(
    setting: Setting,
    rounds: int,
    batch_size: int,
    device: torch.device,
    only: list[str],
    clock: Callable[[], float],
) -> list[Variant]:
    with global_seed("speed"):
        model = create("models", setting.model).build(setting.facts).to(device)
        inputs: Tensor = torch.randn(batch_size, *setting.facts.input_shape)
        targets = torch.randint(len(setting.facts.classes), (batch_size,))
    batch = Batch(inputs, targets, samples=torch.arange(batch_size)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    measured = list(variants(setting.facts, model, only))
    for variant in measured:
        if variant.method and variant.step.attributor.from_training:
            shape = setting.facts.element_shape
            variant.step.memory = RelevanceMemory(batch_size, shape, device)
    for turn in range(rounds + 1):
        for variant in measured:
            reset_peak(device)
            started = clock()
            training_step(variant, model, optimizer, batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first round warms up
                variant.seconds.append(clock() - started)
                variant.peak = max(variant.peak, read_peak(device))
    return measured


def print_table(setting: Setting, measured: list[Variant], rounds: int, batch_size: int) -> None:
    shape = "x".join(map(str, setting.facts.input_shape))
    print(f"\n{setting.model}, {shape}, batch {batch_size}, {rounds} rounds")
    print(
        f"{'regularizer':22}{'relevance':24}{'ratio':>7}{'limit':>7}"
        f"{'ms':>9}{'explained':>11}{'peak MiB':>10}"
    )
    plain = measured[0]
    for variant in measured:
        pairs = zip(variant.seconds, plain.seconds, strict=True)
        ratio = statistics.median(own / other for own, other in pairs)
        key = (variant.regularizer.name, variant.method)
        limit = f"{LIMITS[key]:.2f}" if key in LIMITS and setting.model == "resnet18" else ""
        share = variant.step.explained / ((rounds + 1) * batch_size)
        print(
            f"{key[0]:22}{key[1]:24}{ratio:7.2f}{limit:>7}"
            f"{1000 * statistics.median(variant.seconds):9.0f}{share:11.0%}{variant.peak:10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, default=7, help="timed rounds (7)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--quick", action="store_true", help="3 rounds with an eighth of the batch")
    parser.add_argument("--only", nargs="*", default=[], metavar="REGULARIZER")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    rounds = min(options.batches, 3) if options.quick else options.batches
    print(
        f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {options.clock} time"
    )
    for setting in SETTINGS:
        batch_size = setting.batch // 8 if options.quick else setting.batch
        measured = measure(setting, rounds, batch_size, device, options.only, clock)
        print_table(setting, measured, rounds, batch_size)


if __name__ == "__main__":
    main()
