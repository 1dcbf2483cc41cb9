"""Do the parts of a report in several processes, where the system can copy this one."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

Part = TypeVar("Part")

_work: Callable[[int], Any] | None = None
"""What a copied process is to do: it holds the results, which are never sent."""


def cores() -> int:
    """Return the number of processors that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_processes(
    work: Callable[[int], Part], count: int, workers: int, lost: Callable[[int], Part]
) -> Sequence[Part]:
    """Return work(0), …, work(count - 1), done by several processes.

    The processes are copies of this one (fork), so that whatever `work` refers to is there at no
    cost; only what it returns is sent. Where the system cannot copy, or one worker is asked for,
    this process does the work, as it does for a part that cannot be sent. `lost` gives what stands
    for a part whose process died, also when it was tried again alone.
    """
    global _work
    workers = min(workers, count)
    if workers < 2 or sys.platform != "linux" or _work is not None:
        return [work(number) for number in range(count)]
    _work = work
    try:
        futures = _run(range(count), workers)
        # A process that dies takes the unfinished parts of the others with it.
        for number, future in futures.items():
            if isinstance(future.exception(), BrokenProcessPool):
                futures[number] = _run([number], 1)[number]
    finally:
        _work = None
    return [
        future.result()
        if future.exception() is None
        else (lost if isinstance(future.exception(), BrokenProcessPool) else work)(number)
        for number, future in futures.items()
    ]


def _run(numbers: Sequence[int], workers: int) -> dict[int, Future[Any]]:
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; those of the libraries here are idle, or started again.
        warnings.simplefilter("ignore", DeprecationWarning)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            return {number: pool.submit(_do, number) for number in numbers}


def _do(number: int) -> Any:
    assert _work is not None
    return _work(number)
