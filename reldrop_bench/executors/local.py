"""Compute cells in a pool of local processes with a hard time limit each."""

import importlib
import multiprocessing
import signal
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pebble import ProcessExpired, ProcessPool

from reldrop_bench import Executor, Finished, Job, Queue, Resources
from reldrop_bench.kinds.executor import MEMORY_EXIT
from reldrop_bench.results import Status


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group: the parent alone decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The slow imports come before the first cell, so that its time limit does not pay for them.
    importlib.import_module("lightning_fabric")


def _death(error: ProcessExpired, job: Job) -> tuple[Status, str]:
    """Return the status and the reason of a worker that died."""
    code = error.exitcode or 0
    if code == MEMORY_EXIT and job.memory_limit is not None:
        return "oom", f"used more memory than the limit of {job.memory_limit / 2**30:.1f} GiB"
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
        return "failed", f"the process was ended by {name}{hint}"
    return "failed", f"the process ended itself with exit code {code}"


def _run(job: Job) -> Status:
    return job.run()


def _finish(job: Job, future: Future[Status], seconds: float) -> Status:
    """Return the status of a finished job; the parent writes the record of a worker that died."""
    try:
        error = future.exception()
    except CancelledError as cancelled:
        error = cancelled
    if error is None:
        return future.result()
    status: Status
    if isinstance(error, FutureTimeout):
        status, reason = "timeout", f"took longer than the limit of {seconds:g} s"
    elif isinstance(error, ProcessExpired):
        status, reason = _death(error, job)
    elif isinstance(error, CancelledError):
        status, reason = "interrupted", "interrupted"
    else:  # such as a result that cannot be sent back
        status, reason = "failed", f"{type(error).__name__}: {error}"
    job.note_stopped(status, reason)
    return status


class LocalPool(Executor):
    """Spawned processes on this machine, each computing one cell at a time, killed when time is up.

    Where there are GPUs, a job gets the one that the fewest others use.
    """

    name = "local"

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(
            max_workers=resources.workers, initializer=_start_worker, context=context
        )
        running: dict[Future[Any], tuple[Job, int]] = {}
        try:
            queue = Queue(jobs)
            while True:
                while len(running) < resources.workers and (job := queue.take()) is not None:
                    used = Counter(device for _, device in running.values())
                    devices = range(max(1, resources.devices))
                    device = min(devices, key=lambda index: used[index])
                    future: Future[Any] = pool.schedule(
                        _run, args=[job.on_device(device)], timeout=resources.seconds
                    )
                    running[future] = job, device
                if not running:
                    break
                ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in ended:
                    job, _ = running.pop(future)
                    status = _finish(job, future, resources.seconds)
                    queue.end(job)
                    finished(job, status)
        except BaseException:
            pool.stop()
            pool.join()
            for job, _ in running.values():
                if job.is_running():
                    job.note_stopped("interrupted", "interrupted")
            raise
        pool.close()
        pool.join()
