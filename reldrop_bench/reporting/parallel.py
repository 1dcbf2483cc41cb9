"""Do the parts of a report in several processes, where the system can copy this one."""

import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Callable, MutableSequence, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

import psutil
from pebble import ProcessPool

Part = TypeVar("Part")


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
    cost; only what it returns is sent. Where the system cannot copy, this process may have no
    children, or one worker is asked for, this process does the work, as it does for a part that
    raised or cannot be sent. `lost` gives what stands for a part whose process died. An interrupt
    ends the processes at once.
    """
    workers = min(workers, count)
    if workers < 2 or sys.platform != "linux" or multiprocessing.current_process().daemon:
        return [work(number) for number in range(count)]
    fork = multiprocessing.get_context("fork")
    takers = fork.RawArray("l", count)
    pool = ProcessPool(workers, initializer=_begin, initargs=[work, takers], context=fork)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; those of the libraries here are idle, or started again.
            warnings.simplefilter("ignore", DeprecationWarning)
            futures = [pool.schedule(_do, [number]) for number in range(count)]
            # pebble takes an exit code of 0 for an orderly end, and a part with it for unfinished.
            while waiting := [
                future
                for future, taker in zip(futures, takers, strict=True)
                if not future.done() and (taker == 0 or psutil.pid_exists(taker))
            ]:
                wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
    finally:
        pool.stop()
        pool.join()
    return [
        _received(future, work, number)
        if future.done() and not future.exception()
        else lost(number)
        for number, future in enumerate(futures)
    ]


_task: tuple[Callable[[int], Any], MutableSequence[int]]
"""What a copied process is to do, and where it says which part it has taken."""


def _begin(*task: Any) -> None:
    global _task
    _task = task


def _do(number: int) -> bytes | None:
    """Return a part as bytes, or None where there is none that can be sent.

    An object, or an exception, that cannot be read again would break the pool where it arrives.
    """
    work, takers = _task
    takers[number] = os.getpid()
    try:
        return pickle.dumps(work(number))
    except (Exception, SystemExit):  # noqa: BLE001 - done again, and raised, where it was asked for
        return None


def _received(future: Future[bytes | None], work: Callable[[int], Part], number: int) -> Part:
    sent = future.result()
    if sent is not None:
        try:
            return pickle.loads(sent)
        except Exception:  # noqa: BLE001 - reading runs code of whoever wrote the section
            pass
    return work(number)
