"""What the speed scripts share: clocks, rounds in turn, ratios, peak memory, tables."""

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Clock = Callable[[], float]
Run = Callable[[], Any]


def wall_seconds() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


CLOCKS: dict[str, Clock] = {"wall": wall_seconds, "cpu": processor_seconds}


def argument_parser(
    text: str | None, threads: int = 1, rounds: int | None = None
) -> argparse.ArgumentParser:
    """Return a parser with the options that scripts share; `text` is the script's docstring."""
    parser = argparse.ArgumentParser(
        description=(text or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--threads", type=int, default=threads, help="of torch")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu does not count waiting: for busy machines, with 1 thread",
    )
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="timed rounds")
    return parser


def begin(options: argparse.Namespace) -> Clock:
    """Set the threads and print what was chosen; returns the clock."""
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, {options.clock} time", flush=True)
    return CLOCKS[options.clock]


def seconds(run: Run, clock: Clock) -> float:
    started = clock()
    run()
    return clock() - started


def in_turn(
    runs: Mapping[str, Run], rounds: int, clock: Clock, warm_up: bool = True
) -> dict[str, list[float]]:
    """Return the seconds of each round by name.

    All take turns within a round, so that a busy machine slows them alike; `torch.utils.benchmark`
    measures one after the other.
    """
    for run in runs.values() if warm_up else ():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(seconds(run, clock))
    return taken


def ratio(own: Sequence[float], reference: Sequence[float]) -> float:
    """Return the median over rounds of the ratio within a round."""
    return statistics.median(one / other for one, other in zip(own, reference, strict=True))


def tensor_peak(run: Run, device: torch.device) -> float:
    """Return the most MiB that tensors held at once, above those held before."""
    gc.collect()
    if device.type == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    # Every allocation of torch's, those for autograd and within operations included.
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["ts"])
    return max(accumulate((event["args"]["Bytes"] for event in changes), initial=0)) / 2**20


def process_peak() -> float:
    """Return the most MiB that this process has used."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where getrusage counts the process that started this one as well
        lines = (line.split() for line in status.read_text().splitlines())
        return next(int(words[1]) for words in lines if words[0] == "VmHWM:") / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(script: str, arguments: Sequence[str]) -> Any:
    """Run a speed script in a process of its own, whose peak of memory is no other's.

    Returns the last line that it prints, read as JSON.
    """
    command = [sys.executable, "-m", f"{__package__}.{script}", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def print_table(rows: Sequence[Mapping[str, Any]], forms: Mapping[str, str]) -> None:
    """Print a column for each key of `forms`, formatted so; text has the form "".

    A column without values is left out.
    A value above the one under the same key with " limit" is marked by "!".
    """

    def text(row: Mapping[str, Any], key: str) -> str:
        value, limit = row.get(key), row.get(f"{key} limit")
        if value is None:
            return ""
        return format(value, forms[key]) + "!" * (limit is not None and value > limit)

    shown = [key for key in forms if any(row.get(key) is not None for row in rows)]
    lines = [shown, *([text(row, key) for key in shown] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [">" if forms[key] else "<" for key in shown]
    for line in lines:
        cells = zip(line, sides, widths, strict=True)
        print(
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip(), flush=True
        )
