"""Compute cells one after another in this process: for debuggers; no limits, no isolation."""

from __future__ import annotations

from collections.abc import Sequence

from reldrop_bench.cell import Job, note_stopped, run_job
from reldrop_bench.execution.contract import Finished, Queue


class InlineExecutor:
    """`--workers 0`."""

    def run(self, jobs: Sequence[Job], finished: Finished) -> None:
        queue = Queue(jobs)
        while (job := queue.take()) is not None:
            try:
                status = run_job(job, worker=False)
            except KeyboardInterrupt:
                note_stopped(job, "interrupted", "interrupted")
                raise
            queue.end(job)
            finished(job, status)
