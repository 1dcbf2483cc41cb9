"""Compute cells in local processes with a hard time limit each."""

from __future__ import annotations

import importlib
import math
import multiprocessing
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from reldrop_bench import Executor, Finished, Job, Queue, Resources
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.executor import MEMORY_EXIT
from reldrop_bench.results import Status

_LOOK = 0.5
"""Seconds after which a process that has ended is noticed, even where something keeps its pipe open."""
_GRACE = 5.0
"""Seconds that a process has to end by itself."""


class _Ready(NamedTuple):
    """What a worker sends when it has imported what is slow."""


class _Ended(NamedTuple):
    """How a job has ended; a worker that has run one sends it."""

    status: Status
    reason: str = ""
    """Why, where the job could not write its own record."""
    spoiled: bool = True
    """Whether its process must not run any other job."""


def _serve(connection: Connection) -> None:
    """Run jobs as they come, until nobody sends any more."""
    # Ctrl-C reaches the whole process group: the parent alone decides what becomes of the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # The slow imports come before the first cell, so that its time limit does not pay for them.
    importlib.import_module("lightning_fabric")
    with suppress(EOFError, OSError):  # the parent has ended, or needs no more
        connection.send(_Ready())
        while True:
            connection.send(_run(connection))


def _run(connection: Connection) -> _Ended:
    try:
        job: Job = connection.recv()
        return _Ended(job.run(), spoiled=job.spoiled())
    except (EOFError, OSError):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the job's end
        return _Ended("failed", one_line(f"{type(error).__name__}: {error}"))


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started inside, until they ignore it themselves.

    They inherit the mask. Without it, Ctrl-C in the seconds of their imports prints their tracebacks.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hear no further Ctrl-C inside: it would leave workers running and cells unnoted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """A process that runs jobs of the same `sources`, one after another."""

    def __init__(self, sources: frozenset[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.sources = sources
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), name="reldrop-bench worker")
        self.job: Job | None = None
        """What it runs, or will run as soon as it is ready."""
        self.device = 0
        self._deadline: float | None = None
        """When time is up; None before the job has begun."""
        self._ready = False
        with _without_ctrl_c():
            self.process.start()
        theirs.close()  # so that its end is noticed

    def take_job(self) -> Job:
        """Return its job, which has ended, and be free for another."""
        assert self.job is not None
        job, self.job, self._deadline = self.job, None, None
        return job

    @property
    def seconds_left(self) -> float:
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    def look(self, seconds: float) -> _Ended | None:
        """Return how its job has ended, or None while it runs; begins it where that can be done."""
        assert self.job is not None
        try:
            if not self._ready and self.connection.poll():
                self._ready = isinstance(self.connection.recv(), _Ready)
            if self._ready and self._deadline is None:
                self._deadline = time.monotonic() + seconds
                self.connection.send(self.job.on_device(self.device))
            if self.connection.poll():
                ended: _Ended = self.connection.recv()
                return ended
        except (EOFError, OSError):
            self.process.join(_GRACE)
            return _death(self.process.exitcode, self.job.memory_limit)
        except Exception as error:  # noqa: BLE001 - a job that cannot be sent to another process
            return _Ended("failed", one_line(f"{type(error).__name__}: {error}"))
        if self.process.exitcode is not None:
            return _death(self.process.exitcode, self.job.memory_limit)
        if self.seconds_left < 0:
            return _Ended("timeout", f"took longer than the limit of {seconds:g} s")
        return None

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def retire(self) -> None:
        """Let it end by itself, or end it."""
        self.connection.close()
        self.process.join(_GRACE)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _death(code: int | None, memory_limit: int | None) -> _Ended:
    """Return how the job of a worker that died has ended, by its exit code."""
    if code is None:
        return _Ended("failed", "the process no longer answers")
    if code == MEMORY_EXIT and memory_limit is not None:
        return _Ended("oom", f"used more memory than the limit of {memory_limit / 2**30:.1f} GiB")
    if code >= 0:
        return _Ended("failed", f"the process ended itself with exit code {code}")
    name = signal.Signals(-code).name
    if name == "SIGTERM":  # schedulers send it to all processes of a run
        return _Ended("interrupted", "the process was asked to end (SIGTERM)")
    hint = " (out of memory, or killed from outside)" if name == "SIGKILL" else ""
    return _Ended("failed", f"the process was ended by {name}{hint}")


class LocalPool(Executor):
    """Spawned processes on this machine, each computing one cell at a time, killed when time is up.

    Where there are GPUs, a job gets the one that the fewest others use. A process that has run code
    that is not built in runs no job that has other code, nor any job after something was left changed.
    """

    name = "local"

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        queue, workers = Queue(jobs), list[_Worker]()
        try:
            while True:
                while _occupy(workers, queue, resources):
                    pass
                busy = [worker for worker in workers if worker.job is not None]
                if not busy:
                    break
                looks = [(worker, worker.look(resources.seconds)) for worker in busy]
                for worker, ended in looks:
                    if ended is None:
                        continue
                    if ended.spoiled:
                        worker.kill()
                        workers.remove(worker)
                    job = worker.take_job()
                    if ended.reason:
                        job.note_stopped(ended.status, ended.reason)
                    queue.end(job)
                    finished(job, ended.status)
                if all(ended is None for _, ended in looks):
                    left = max(0.0, min(_LOOK, *(worker.seconds_left for worker in busy)))
                    wait([worker.connection for worker in busy], timeout=left)
        except BaseException:
            with _undisturbed():
                for worker in workers:
                    worker.kill()
                for worker in workers:
                    if worker.job is not None and worker.job.is_running():
                        worker.job.note_stopped("interrupted", "interrupted")
            raise
        for worker in workers:
            worker.retire()


def _occupy(workers: list[_Worker], queue: Queue, resources: Resources) -> bool:
    """Give a job to a worker, a new one where none may run it; returns whether there was one."""
    idle = [worker for worker in workers if worker.job is None]
    for worker in idle:
        if worker.process.exitcode is None and (job := queue.take(worker.sources)) is not None:
            break
    else:
        if len(workers) - len(idle) >= resources.workers or (job := queue.take()) is None:
            return False
        if len(workers) >= resources.workers:
            idle[0].retire()
            workers.remove(idle[0])
        worker = _Worker(job.sources)
        workers.append(worker)
    used = Counter(other.device for other in workers if other.job is not None)
    worker.device = min(range(max(1, resources.devices)), key=lambda index: used[index])
    worker.job = job
    return True
