"""Compute cells one after another in this process: for debuggers; no limits, no isolation."""

from collections.abc import Sequence

from reldrop_bench import Executor, Finished, Job, Queue, Resources


class InlineExecutor(Executor):
    """This process, one cell after another, without limits of time or memory (`--workers 0`)."""

    name = "inline"
    isolates = False

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        queue = Queue(jobs)
        while (job := queue.take()) is not None:
            try:
                status = job.run(worker=False)
            except KeyboardInterrupt:
                job.note_stopped("interrupted", "interrupted")
                raise
            queue.end(job)
            finished(job, status)
