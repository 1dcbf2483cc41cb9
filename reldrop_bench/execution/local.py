"""Compute cells in a pool of local processes with a hard time limit each."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Any

from pebble import ProcessExpired, ProcessPool

from reldrop_bench.cell import Job, note_stopped, run_job
from reldrop_bench.execution.contract import Finished, Queue
from reldrop_bench.watch import MEMORY_EXIT


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group: the parent alone decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The slow imports come before the first cell, so that its time limit does not pay for them.
    importlib.import_module("lightning_fabric")


def _death(error: ProcessExpired, job: Job) -> tuple[str, str]:
    """Return the status and the reason of a worker that died."""
    code = error.exitcode or 0
    if code == MEMORY_EXIT and job.memory_limit is not None:
        return "oom", f"used more memory than the limit of {job.memory_limit / 2**30:.1f} GiB"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
        return "failed", f"the process was ended by {name}{hint}"
    return "failed", f"the process ended itself with exit code {code}"


class LocalPool:
    """Spawned worker processes, each computing one cell at a time.

    `seconds`: wall time after which a cell's process is killed. `devices`: number of GPUs, of which
    a job gets the one that the fewest others use; 0 for none.
    """

    def __init__(self, workers: int, seconds: float, devices: int = 0) -> None:
        self.workers = workers
        self.seconds = seconds
        self.devices = devices

    def _finish(self, job: Job, future: Future[Any]) -> str:
        """Return the status of a finished job; the parent writes the record of a worker that died."""
        try:
            error = future.exception()
        except CancelledError as cancelled:
            error = cancelled
        if error is None:
            return str(future.result())
        if isinstance(error, FutureTimeout):
            status, reason = "timeout", f"took longer than the limit of {self.seconds:g} s"
        elif isinstance(error, ProcessExpired):
            status, reason = _death(error, job)
        elif isinstance(error, CancelledError):
            status, reason = "interrupted", "interrupted"
        else:  # such as a result that cannot be sent back
            status, reason = "failed", f"{type(error).__name__}: {error}"
        note_stopped(job, status, reason)
        return status

    def _placed(self, job: Job, running: Iterable[Job]) -> Job:
        """Return the job with the GPU that it is to use."""
        if not self.devices:
            return job
        used = Counter(other.device_index for other in running)
        return replace(job, device_index=min(range(self.devices), key=lambda each: used[each]))

    def run(self, jobs: Sequence[Job], finished: Finished) -> None:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(max_workers=self.workers, initializer=_start_worker, context=context)
        running: dict[Future[Any], Job] = {}
        try:
            queue = Queue(jobs)
            while True:
                while len(running) < self.workers and (job := queue.take()) is not None:
                    job = self._placed(job, running.values())
                    future: Future[Any] = pool.schedule(run_job, args=[job], timeout=self.seconds)
                    running[future] = job
                if not running:
                    break
                ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in ended:
                    job = running.pop(future)
                    status = self._finish(job, future)
                    queue.end(job)
                    finished(job, status)
        except BaseException:
            pool.stop()
            pool.join()
            for job in running.values():
                if job.heartbeat.exists():
                    note_stopped(job, "interrupted", "interrupted")
            raise
        pool.close()
        pool.join()


def default_workers(threads: int) -> int:
    """Return how many cells fit on this machine at a time: cores that may be used / threads a cell."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, cores // threads)
