"""Compute cells one after another in this process: for debuggers; no limits, no isolation."""

from __future__ import annotations

from collections.abc import Sequence

from reldrop_bench.cell import Job, note_stopped, run_job
from reldrop_bench.execution.contract import Finished


class InlineExecutor:
    """`--workers 0`."""

    def run(self, jobs: Sequence[Job], finished: Finished) -> None:
        for job in jobs:
            try:
                status = run_job(job, worker=False)
            except KeyboardInterrupt:
                note_stopped(job, "interrupted", "interrupted")
                raise
            finished(job, status)
