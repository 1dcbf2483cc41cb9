"""A way to compute cells of one's own: the processes of Python's standard library."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from reldrop_bench import Executor, Finished, Job, Queue, Resources


class Futures(Executor):
    """Spawned processes without limits: one that dies ends the run."""

    name = "futures"
    isolates = False

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        queue, running = Queue(jobs), dict[Future[str], Job]()
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(resources.workers, spawn)
        try:
            while True:
                while len(running) < resources.workers and (job := queue.take()) is not None:
                    running[pool.submit(job.run)] = job
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    queue.end(job)
                    finished(job, future.result())
        except KeyboardInterrupt:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(cancel_futures=True)
            for job in running.values():
                job.note_stopped("interrupted", "interrupted")
            raise
        pool.shutdown()
