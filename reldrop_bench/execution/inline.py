"""Compute cells one after another in this process: for debuggers; no limits, no isolation."""

from __future__ import annotations

from collections.abc import Sequence

from reldrop_bench.cell import Job, failed_record, run_job
from reldrop_bench.execution.contract import Finished
from reldrop_bench.store import Store


class InlineExecutor:
    """`--workers 0`."""

    def run(self, jobs: Sequence[Job], finished: Finished) -> None:
        for job in jobs:
            try:
                status = run_job(job, worker=False)
            except KeyboardInterrupt:
                store = Store(job.folder)
                record = store.read_cell(job.cell.key)
                store.write_cell(failed_record(record, job.cell, "interrupted", "interrupted"))
                raise
            finished(job, status)
