"""The interface of an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from reldrop_bench.cell import Job

Finished = Callable[[Job, str], None]
"""Called in the calling process with each finished job and its status."""


class Executor(Protocol):
    """Computes jobs; a job's failure of any kind costs that job alone."""

    def run(self, jobs: Sequence[Job], finished: Finished) -> None:
        """Compute all jobs, each behind those that it waits for, and tell `finished` as each ends.

        On KeyboardInterrupt it stops its workers, notes the cells that were running as interrupted
        and raises it again.
        """
        ...


class Queue:
    """Jobs in their order, each held back until those that it waits for have ended."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._open = {job.cell.key for job in jobs}

    def take(self) -> Job | None:
        """Return the first job that waits for nothing, or None where every one left has to wait."""
        for place, job in enumerate(self._waiting):
            if not job.after & self._open:
                return self._waiting.pop(place)
        return None

    def end(self, job: Job) -> None:
        """Note that a job has ended, in whatever way."""
        self._open.discard(job.cell.key)
