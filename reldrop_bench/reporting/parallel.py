"""Do the parts of a report in several processes, where the system can copy this one."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
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
    cost; only what it returns is sent. Where the system cannot copy, this process may have no
    children, or one worker is asked for, this process does the work, as it does for a part that
    raised or cannot be sent. `lost` gives what stands for a part whose process died, also when it
    was tried again alone. An interrupt ends the processes at once.
    """
    global _work
    workers = min(workers, count)
    alone = workers < 2 or sys.platform != "linux" or multiprocessing.current_process().daemon
    if alone or _work is not None:
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
        lost(number)
        if isinstance(future.exception(), BrokenProcessPool)
        else _received(future.result(), work, number)
        for number, future in futures.items()
    ]


def _run(numbers: Sequence[int], workers: int) -> dict[int, Future[bytes | None]]:
    context = multiprocessing.get_context("fork")
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of threads; those of the libraries here are idle, or started again.
            warnings.simplefilter("ignore", DeprecationWarning)
            futures = {number: pool.submit(_do, number) for number in numbers}
        wait(futures.values())
    except BaseException:
        # Python does not exit before the processes have, however long their work would take.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise
    pool.shutdown()
    return futures


def _begin() -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _do(number: int) -> bytes | None:
    """Return a part as bytes, or None where there is none that can be sent.

    An object, or an exception, that cannot be read again would break the pool where it arrives.
    """
    assert _work is not None
    try:
        return pickle.dumps(_work(number))
    except (Exception, SystemExit):  # noqa: BLE001 - done again, and raised, where it was asked for
        return None


def _received(sent: bytes | None, work: Callable[[int], Part], number: int) -> Part:
    if sent is not None:
        try:
            return pickle.loads(sent)
        except Exception:  # noqa: BLE001 - reading runs code of whoever wrote the section
            pass
    return work(number)
