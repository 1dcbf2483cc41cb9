"""An executor: what computes the cells of a benchmark, and what it is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from reldrop_bench.plugins.base import Plugin
from reldrop_bench.results import Status

DEFAULT_EXECUTOR = "local"
INLINE_EXECUTOR = "inline"
"""What computes without workers."""
MEMORY_EXIT = 77
"""Exit code of a worker that went over its job's memory limit."""


class Job(Protocol):
    """A cell to compute, as executors see it; picklable under spawn."""

    @property
    def key(self) -> str:
        """What names it among the jobs."""
        ...

    @property
    def after(self) -> frozenset[str]:
        """Keys of the jobs that have to end first."""
        ...

    @property
    def sources(self) -> frozenset[str]:
        """Plugin modules that it runs and that did not come with this package.

        What one of them does to its process may change what others compute there: jobs of different
        `sources` do not share a process.
        """
        ...

    @property
    def memory_limit(self) -> int | None:
        """Bytes; above it the job ends its own process with MEMORY_EXIT."""
        ...

    def on_device(self, index: int) -> Self:
        """Return the job for a GPU."""
        ...

    def run(self, worker: bool = True) -> Status:
        """Compute it, write its record and return its status; whatever Python can catch is a status.

        worker: this process serves nothing else, and ends when the one that started it has died.
        """
        ...

    def spoiled(self) -> bool:
        """Return, in the process that ran it, whether that must not run any other job."""
        ...

    def is_running(self) -> bool:
        """Return whether some process has begun and has not ended it."""
        ...

    def note_stopped(self, status: Status, reason: str) -> None:
        """Write the record of a job whose process can no longer do so itself."""
        ...


Finished = Callable[[Job, Status], None]
"""Called in the calling process with each finished job and its status."""


@dataclass(frozen=True)
class Resources:
    """What an executor may use."""

    workers: int
    """Jobs at a time."""
    seconds: float
    """Wall time after which a job is stopped."""
    devices: int = 0
    """GPUs that the jobs are spread over."""


class Executor(Plugin, ABC):
    """A way to compute jobs, in a plugin folder's `executors/`."""

    isolates: ClassVar[bool] = True
    """Whether a job that ends its process or takes too long costs itself alone.

    Without, nothing is promised of jobs that do so: such an executor is for debuggers and for cells
    that are known to behave.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        """Compute all jobs, each behind those that it waits for, and tell `finished` as each ends.

        `finished` is called in the calling process, with the status that the job returned. Where a job
        could not return, because its process ended, time was up or it raised, the executor writes its
        record by `note_stopped` with the status "failed", "timeout" or (exit code MEMORY_EXIT) "oom".
        On KeyboardInterrupt it stops its workers, notes the jobs that were running as "interrupted"
        and raises it again.

        Raises
        ------
        UserError
            It cannot be used here, such as where a cluster is not to be reached.
        """


class Queue:
    """Jobs in their order, each held back until those that it waits for have ended."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._waiting = list(jobs)
        self._open = {job.key for job in jobs}

    def take(self, sources: frozenset[str] | None = None) -> Job | None:
        """Return the first job that waits for nothing, or None where there is none.

        sources: only a job of these, which a process that has run such a one may run as well.
        """
        for position, job in enumerate(self._waiting):
            if not job.after & self._open and sources in (None, job.sources):
                return self._waiting.pop(position)
        return None

    def end(self, job: Job) -> None:
        """Note that a job has ended, in whatever way."""
        self._open.discard(job.key)
