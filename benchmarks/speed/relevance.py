"""What an explanation costs in time and memory, as ratios to a training step of the same model.

    python -m benchmarks.speed.relevance [--models resnet18] [--batches 16] [--methods 'lrp-*']

The training step and all methods take turns within a round; a ratio is taken within a round and the
median over rounds is printed. Peak memory is that of tensors, above what was held before, in a pass
of its own. Error (norm of the difference over the norm), rank agreement (Spearman's, mean over
samples) and the overlap of the most relevant tenth are to zennit's computation of the same rules,
`…@zennit`. A "!" marks a ratio above its limit.
"""

import argparse
import math
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed import _timing as timing
from benchmarks.speed._networks import NETWORKS, build
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.attributor import explain_with
from reldrop_bench.plugins.registry import create, names
from reldrop_bench.seeding import torch_generator

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
FORMS = {
    "method": "", "time": ".2f", "time limit": ".2f", "ms": ".1f", "memory": ".2f", "memory limit": ".2f",
    "MiB": ".1f", "error": ".1e", "rank": ".4f", "top tenth": ".1%", "failure": "",
}  # fmt: skip

Row = dict[str, Any]


@dataclass
class Contender:
    """What takes its turn in every round, until it fails: the others go on."""

    name: str
    action: Callable[[], Any]
    failure: str = ""

    def run(self) -> Any:
        """Return what the action does, None once it has failed."""
        if not self.failure:
            try:
                return self.action()
            except Exception as error:  # noqa: BLE001 - whatever it is
                self.failure = f"{type(error).__name__}: {one_line(error)}"
        return None


def agreement(relevance: Tensor, reference: Tensor) -> Row:
    """Return how far maps (B, …) agree with the reference's; rank is nan where one is constant."""
    own, other = (each.flatten(1).cpu().double().numpy() for each in (relevance, reference))
    count = math.ceil(own.shape[1] / 10)
    most = [np.argsort(-each, axis=1, kind="stable")[:, :count] for each in (own, other)]
    ranks = pd.DataFrame(own).corrwith(pd.DataFrame(other), axis=1, method="spearman")
    shared = np.mean([np.isin(*pair).mean() for pair in zip(*most, strict=True)])
    return {
        "error": float(np.linalg.norm(own - other) / np.linalg.norm(other)),
        "rank": float(ranks.mean(skipna=False)),
        "top tenth": float(shared),
    }


def measure(
    name: str, batch: int, methods: list[str], options: argparse.Namespace, clock: timing.Clock
) -> list[Row]:
    """Return a row a contender, the training step first; that one alone where it fails."""
    device = torch.device(options.device)
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

    contenders = [Contender(STEP, partial(train, model))]
    contenders += [Contender(each, partial(explain, each, model)) for each in methods]
    if options.compile:
        torch._dynamo.reset()  # what earlier models left counts towards its limits
        fast = torch.compile(model)
        contenders.append(Contender(f"{STEP}, compiled", partial(train, fast)))
        contenders.append(Contender(f"{COMPILED}, compiled", partial(explain, COMPILED, fast)))
    contenders[0].run()
    if contenders[0].failure:
        del contenders[1:]
    taken = timing.in_turn({each.name: each.run for each in contenders}, options.rounds, clock)
    peaks = {each.name: timing.tensor_peak(each.run, device) for each in contenders}
    limited = device.type == "cpu" and options.threads == 2
    rows: list[Row] = []
    for each in contenders:
        row: Row = {
            "model": name,
            "batch": batch,
            "method": each.name,
            "failure": each.failure or None,
        }
        rows.append(row)
        if each.failure:
            continue
        ours = each.name in methods and not each.name.endswith(REFERENCE)
        row |= {
            "time": timing.ratio(taken[each.name], taken[STEP]),
            "time limit": TIME_LIMITS.get((name, batch, each.name)) if limited else None,
            "ms": 1000 * statistics.median(taken[each.name]),
            "memory": peaks[each.name] / peaks[STEP],
            "memory limit": MEMORY_LIMIT if ours else None,
            "MiB": peaks[each.name],
        }
        if each.name + REFERENCE in names("attributors"):
            twin = Contender(REFERENCE, partial(explain, each.name + REFERENCE, model)).run()
            row |= {} if twin is None else agreement(each.run(), twin)
    return rows


def main() -> None:
    parser = timing.argument_parser(__doc__, threads=2, rounds=5)
    parser.add_argument("--models", nargs="+", default=[*NETWORKS], choices=NETWORKS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    parser.add_argument(
        "--methods", nargs="+", metavar="PATTERN", help=f"'*' for all; by default without {LONG}"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="try torch.compile as well")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all rows as CSV")
    options = parser.parse_args()
    known = [each for each in names("attributors") if each != CONTROL]
    patterns = options.methods or [each for each in known if each not in LONG]
    methods = [each for each in known if any(fnmatch(each, pattern) for pattern in patterns)]
    if not methods:
        parser.error(f"no method fits {patterns}; there are {', '.join(known)}")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports every start and stop
    clock = timing.begin(options)
    rows: list[Row] = []
    for name in options.models:
        for batch in options.batches:
            print(f"\n{name}, {NETWORKS[name].shape}, batch {batch}", flush=True)
            found = measure(name, batch, methods, options, clock)
            timing.print_table(found, FORMS)
            rows += found
            if options.output is not None:  # at once: a long run may be ended
                pd.DataFrame(rows).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
