"""What an explanation costs in time and memory, as ratios to a training step of the same model.

    python benchmarks/speed/relevance.py [--quick] [--models resnet18] [--methods 'lrp-*']

The training step and all methods take turns within a round, so that a busy machine slows them alike;
a ratio is taken within a round and the median over rounds is printed. On a machine that others use
as well, take `--clock cpu --threads 1`: processor time does not count waiting. Peak memory is that of
tensors, above what was held before, in a pass of its own. Error (norm of the difference over the
norm), rank agreement (Spearman's, mean over samples) and the overlap of the most relevant tenth are
to zennit's computation of the same rules, `…@zennit`. A "!" marks a ratio above its limit.
"""

import argparse
import gc
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from reldrop_bench.data import Facts
from reldrop_bench.kinds.attributor import explain_with
from reldrop_bench.plugins.registry import create, names
from reldrop_bench.seeding import global_seed, torch_generator

STEP = "training step"
REFERENCE = "@zennit"
CONTROL = "random"
LONG = ("integrated-gradients", "smoothgrad")
"""Methods of many passes, left out unless they are asked for."""
COMPILED = "gradient-x-input"
"""The method that is tried on a compiled model."""
TIME_LIMITS = {
    ("resnet18", 128, "gradient-x-input"): 0.70,
    ("resnet18", 128, "lrp-epsilon-flat"): 0.75,
    ("resnet18", 128, "lrp-epsilon-plus-flat"): 1.00,
    ("resnet18", 128, "lrp-epsilon-gamma-box"): 1.60,
    ("pointnet", 32, "lrp-epsilon-plus-flat"): 1.10,
}
"""What a method may take at most, on a CPU with two threads, by model, batch and method."""
MEMORY_LIMIT = 1.20
"""What a method of ours may hold at most."""

COLUMNS = (
    ("time", "time", 8, ".2f"), ("time_limit", "limit", 7, ".2f"), ("milliseconds", "ms", 10, ".1f"),
    ("memory", "memory", 9, ".2f"), ("memory_limit", "limit", 7, ".2f"), ("mebibytes", "MiB", 9, ".1f"),
    ("error", "error", 10, ".1e"), ("rank", "rank", 9, ".4f"), ("top_tenth", "top 10 %", 10, ".1%"),
)  # fmt: skip
"""Key, heading, width and form of what is printed of a row."""

AGREEMENT = ("error", "rank", "top_tenth")

Row = dict[str, Any]


def images(side: int) -> Facts:
    return Facts("image", tuple("0123456789"), (3, side, side), (0.5,) * 3, (0.25,) * 3)


CLOUDS = Facts("cloud", tuple(map(str, range(40))), (3, 1024), (0.0,) * 3, (1.0,) * 3)
SETTINGS: dict[str, tuple[str, dict[str, Any], Facts]] = {
    "small-cnn": ("small-cnn", {}, images(24)),
    "resnet18": ("resnet18", {}, images(32)),
    "resnet50": ("resnet50", {}, images(64)),
    "pointnet": ("pointnet", {}, CLOUDS),
    "pointnet-transforms": ("pointnet", {"transforms": True}, CLOUDS),
}
"""The networks, their parameters and the data that they are timed on."""


@dataclass
class Contender:
    """What takes its turn in every round, and what was measured of it."""

    name: str
    run: Callable[[], Tensor | None]
    seconds: list[float] = field(default_factory=list)
    peak: float = math.nan
    failure: str = ""

    def attempt(self, action: Callable[..., Any], *given: Any) -> Any:
        """Return what the action does; once something failed, keep the reason and return nan."""
        if not self.failure:
            try:
                return action(*given)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                self.failure = reason(error)
        return math.nan


def reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}"


def build(name: str, batch: int, device: torch.device) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network, a batch for it and targets."""
    kind, parameters, facts = SETTINGS[name]
    with global_seed("speed"), torch.no_grad():
        model: nn.Module = create("models", kind, parameters).build(facts)
        for parameter in model.parameters():  # those that start at zero would hide a part
            parameter.add_(0.01 * torch.randn_like(parameter))
        for _ in range(20):  # batch norm's statistics as of a network in training
            model.train()(torch.randn(16, *facts.input_shape))
        inputs = torch.randn(batch, *facts.input_shape)
        targets = torch.randint(len(facts.classes), (batch,))
    return model.to(device), inputs.to(device), targets.to(device)


def seconds_of(run: Callable[[], Any], device: torch.device, clock: Callable[[], float]) -> float:
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def peak_of(run: Callable[[], Any], device: torch.device) -> float:
    """Return the most bytes that tensors held at once, above those held before."""
    gc.collect()
    if device.type == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - held
    # Every allocation of torch's, those for autograd and within operations included.
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return max(accumulate((event["args"]["Bytes"] for event in changes), initial=0))


def agreement(relevance: Tensor, reference: Tensor) -> Row:
    """Return how far maps (B, …) agree with the reference's; rank is nan where one is constant."""
    own, other = (each.flatten(1).cpu().double().numpy() for each in (relevance, reference))
    count = math.ceil(own.shape[1] / 10)
    most = [np.argsort(-each, axis=1, kind="stable")[:, :count] for each in (own, other)]
    ranks = pd.DataFrame(own).corrwith(pd.DataFrame(other), axis=1, method="spearman")
    error = np.linalg.norm(own - other) / np.linalg.norm(other)
    shared = np.mean([np.isin(*pair).mean() for pair in zip(*most, strict=True)])
    return dict(zip(AGREEMENT, map(float, (error, ranks.mean(skipna=False), shared)), strict=True))


def measure(name: str, batch: int, methods: list[str], options: argparse.Namespace) -> list[Row]:
    """Return a row a contender, the training step first; none where that is too slow."""
    device = torch.device(options.device)
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    model, inputs, targets = build(name, batch, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def train(model: Any) -> None:
        model.train()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    def explain(method: str, model: Any) -> Tensor:
        generator = torch_generator("speed", method)
        return explain_with(create("attributors", method), model, inputs, targets, generator)

    step = Contender(STEP, partial(train, model))
    contenders = [step, *(Contender(each, partial(explain, each, model)) for each in methods)]
    if options.compile:
        torch._dynamo.reset()  # what earlier models left counts towards its limits
        fast = torch.compile(model)
        contenders.append(Contender(f"{STEP}, compiled", partial(train, fast)))
        contenders.append(Contender(f"{COMPILED}, compiled", partial(explain, COMPILED, fast)))
    for _ in range(2):  # the first warms up
        taken = step.attempt(seconds_of, step.run, device, clock)
    if taken > options.skip_slow:
        print(f"left out: a training step takes {taken:.1f} s")
        return []
    for turn in range(options.rounds + 1):
        for each in contenders:
            taken = each.attempt(seconds_of, each.run, device, clock)
            if turn:
                each.seconds.append(taken)
    rows: list[Row] = []
    for each in contenders:
        each.peak = each.attempt(peak_of, each.run, device)
        known = device.type == "cpu" and options.threads == 2
        ours = each.name in methods and not each.name.endswith(REFERENCE)
        row = {
            "model": name,
            "batch": batch,
            "device": str(device),
            "threads": options.threads,
            "method": each.name,
            "time": float(np.median(np.divide(each.seconds, step.seconds))),
            "time_limit": TIME_LIMITS.get((name, batch, each.name)) if known else None,
            "milliseconds": 1000 * float(np.median(each.seconds)),
            "memory": each.peak / step.peak,
            "memory_limit": MEMORY_LIMIT if ours else None,
            "mebibytes": each.peak / 2**20,
        }
        if each.name + REFERENCE in names("attributors"):
            twin = Contender(REFERENCE, partial(explain, each.name + REFERENCE, model))
            maps = each.attempt(each.run), twin.attempt(twin.run)
            broken = each.failure or twin.failure
            row |= dict.fromkeys(AGREEMENT, math.nan) if broken else agreement(*maps)
        rows.append(row | {"failure": each.failure})
    return rows


def print_table(rows: list[Row]) -> None:
    print("".join([f"{'method':31}", *(f"{head:>{width}}" for _, head, width, _ in COLUMNS)]))
    for row in rows:
        line = f"{row['method']:31}"
        for key, _, width, form in COLUMNS:
            value, limit = row.get(key), row.get(f"{key}_limit")
            shown = "" if value is None else format(value, form)
            line += f"{shown + '!' * (limit is not None and row[key] > limit):>{width}}"
        print(f"{row['method']:31}  {row['failure']}" if row["failure"] else line.rstrip())


def draw(table: pd.DataFrame, file: Path) -> None:
    """Draw the time of every method, a panel a model."""
    import seaborn as sns

    table = table[table["method"] != STEP]
    methods, times = table["method"].nunique(), table["time"]
    height, width = 2 + 0.3 * methods, 2.4 + 3 / table["model"].nunique()
    sns.set_theme(style="whitegrid")
    look: Any = {"dodge": True, "jitter": False, "palette": "colorblind", "zorder": 3}
    look |= {"height": height, "aspect": width / height}
    grid = sns.catplot(table, kind="strip", x="time", y="method", hue="batch", col="model", **look)
    grid.set_titles("{col_name}").set_axis_labels("time in training steps", "")
    for axis in grid.axes.flat:
        axis.set_xscale("log", base=4)
        axis.set_xlim(min(0.2, times.min() / 1.3), max(5, times.max() * 1.3))
        axis.locator_params(axis="x", numticks=9)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.axvline(1, color="black", linestyle="--")
        for place in range(0, methods, 2):
            axis.axhspan(place - 0.5, place + 0.5, color="0.95", zorder=0)
    grid.savefig(file, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=[*SETTINGS], choices=SETTINGS)
    parser.add_argument(
        "--methods", nargs="+", metavar="PATTERN", help=f"'*' for all; by default without {LONG}"
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument(
        "--skip-slow", type=float, default=math.inf, metavar="S",
        help="leave out models and batches of which a training step takes more seconds",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="try torch.compile (on CUDA: yes)"
    )
    parser.add_argument("--quick", action="store_true", help="2 rounds with an eighth of the batch")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write relevance.csv and .png")
    options = parser.parse_args()
    known = [each for each in names("attributors") if each != CONTROL]
    patterns = options.methods or [each for each in known if each not in LONG]
    methods = [each for each in known if any(fnmatch(each, pattern) for pattern in patterns)]
    if not methods:
        parser.error(f"no method fits {patterns}; there are {', '.join(known)}")
    if options.quick:
        options.rounds = min(options.rounds, 2)
        options.batches = sorted({max(1, batch // 8) for batch in options.batches})
    if options.compile is None:
        options.compile = torch.device(options.device).type == "cuda"
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports every start and stop
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, ", end="")
    print(f"{options.clock} time, {options.rounds} rounds")
    rows: list[Row] = []
    for name in options.models:
        for batch in options.batches:
            shape = "x".join(map(str, SETTINGS[name][2].input_shape))
            print(f"\n{name}, {shape}, batch {batch}", flush=True)
            try:
                found = measure(name, batch, methods, options)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                print(f"failed: {reason(error)}")
                continue
            if found:
                print_table(found)
            rows += found
            if options.output is not None and rows:  # at once: a long run may be ended
                options.output.mkdir(parents=True, exist_ok=True)
                pd.DataFrame(rows).to_csv(options.output / "relevance.csv", index=False)
    if options.output is not None and rows:
        draw(pd.DataFrame(rows), options.output / "relevance.png")


if __name__ == "__main__":
    main()
