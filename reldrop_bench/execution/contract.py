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
        """Compute all jobs and call `finished` for each as it ends.

        On KeyboardInterrupt it stops its workers, notes the cells that were running as interrupted
        and raises it again.
        """
        ...
