"""Executors that break their contract are caught, each with advice."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.executor import (
    MEMORY_EXIT,
    Executor,
    Finished,
    Job,
    Queue,
    Resources,
)

Verdicts = Callable[[str, type[Any]], dict[str, str]]
FORK = multiprocessing.get_context("fork")
STOPPED = "a process of one job ended without a status"


class InTurn(Executor):
    """One job after another in this process, as it should be done; what may be broken is a method."""

    name = "in-turn"
    isolates = False

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        queue = Queue(jobs)
        while (job := queue.take()) is not None:
            try:
                status = self.compute(job)
            except KeyboardInterrupt:
                self.interrupt(job)
                raise
            queue.end(job)
            self.tell(finished, job, status)

    def compute(self, job: Job) -> str:
        return job.run(worker=False)

    def tell(self, finished: Finished, job: Job, status: str) -> None:
        finished(job, status)

    def interrupt(self, job: Job) -> None:
        job.note_stopped("interrupted", "interrupted")


class Forgets(InTurn):
    """It leaves out the last job."""

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        super().run(jobs[1:], finished, resources)


class Repeats(InTurn):
    """It tries a job again that says that it failed."""

    def compute(self, job: Job) -> str:
        return job.run(worker=False).replace("failed", job.run(worker=False))


class FirstComeFirstServed(InTurn):
    """It runs jobs as they are given."""

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        for job in jobs:
            finished(job, job.run(worker=False))


class AllAtOnce(InTurn):
    """It starts all jobs in a good order, and does not wait."""

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        threads = [threading.Thread(target=job.run) for job in reversed(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class ReturnsEarly(InTurn):
    """It returns when all jobs are started."""

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        arguments = (jobs, finished, resources)
        threading.Thread(target=super().run, args=arguments, daemon=True).start()


class Silent(InTurn):
    """It tells of no end."""

    def tell(self, finished: Finished, job: Job, status: str) -> None:
        pass


class Optimist(InTurn):
    """It says of each job that it is done."""

    def tell(self, finished: Finished, job: Job, status: str) -> None:
        finished(job, "done")


class TellsTwice(InTurn):
    """It tells of each end twice."""

    def tell(self, finished: Finished, job: Job, status: str) -> None:
        finished(job, status)
        finished(job, status)


class ForgetsInterrupted(InTurn):
    """It does not note what was running when it was interrupted."""

    def interrupt(self, job: Job) -> None:
        pass


class SwallowsInterrupts(InTurn):
    """It goes on after an interrupt."""

    def compute(self, job: Job) -> str:
        try:
            return job.run(worker=False)
        except KeyboardInterrupt:
            job.note_stopped("interrupted", "interrupted")
            return "interrupted"


class ClaimsToIsolate(InTurn):
    """It says that jobs are isolated, and runs them in the calling process."""

    isolates = True


def send_status(job: Job, pipe: Any) -> None:
    pipe.send(job.run())


@dataclass
class Process:
    """A process of one job."""

    job: Job
    since: float
    process: Any
    pipe: Any

    def status(self) -> str | None:
        """Return what the job returned, or None where its process has ended without."""
        return self.pipe.recv() if self.pipe.poll() else None


class Forked(Executor):
    """A process a job, which costs no imports; it promises all that there is to promise."""

    name = "forked"

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        queue, running = Queue(jobs), list[Process]()
        try:
            while True:
                while len(running) < resources.workers and (job := queue.take()) is not None:
                    self.start(job, running)
                if not running:
                    return
                time.sleep(0.01)
                for each in list(running):
                    if self.over(each, resources.seconds):
                        status = self.conclude(each)
                        running.remove(each)
                        queue.end(each.job)
                        finished(each.job, status)
        except KeyboardInterrupt:
            for each in running:
                self.stop(each)
                each.job.note_stopped("interrupted", "interrupted")
            raise

    def start(self, job: Job, running: list[Process]) -> None:
        here, there = FORK.Pipe(duplex=False)
        process = FORK.Process(target=send_status, args=(job, there))
        # Before it starts: an interrupt may come as soon as the job runs.
        running.append(Process(job, time.monotonic(), process, here))
        process.start()
        there.close()

    def over(self, each: Process, limit: float) -> bool:
        return not each.process.is_alive() or time.monotonic() - each.since > limit

    def conclude(self, each: Process) -> str:
        if each.process.is_alive():
            self.stop(each)
            return self.note(each.job, "timeout")
        try:
            return str(each.status())
        except EOFError:
            return self.note(each.job, "oom" if each.process.exitcode == MEMORY_EXIT else "failed")

    def note(self, job: Job, status: str) -> str:
        job.note_stopped(status, STOPPED)
        return status

    def stop(self, each: Process) -> None:
        each.process.kill()
        each.process.join()


class NoLimit(Forked):
    """It lets jobs take as long as they like."""

    def over(self, each: Process, limit: float) -> bool:
        return not each.process.is_alive()


class NotesNothing(Forked):
    """It leaves jobs whose process ended without a record."""

    def note(self, job: Job, status: str) -> str:
        return status


class AnyFailure(Forked):
    """It does not tell what went over its memory from what failed."""

    def note(self, job: Job, status: str) -> str:
        return super().note(job, "failed")


class LeavesWorkers(Forked):
    """It leaves its processes running when it is interrupted."""

    def stop(self, each: Process) -> None:
        if time.monotonic() - each.since < 1.0:  # long before a limit
            return
        super().stop(each)


class Unreachable(InTurn):
    """It needs what is not here."""

    def run(self, jobs: Sequence[Job], finished: Finished, resources: Resources) -> None:
        raise UserError("no cluster is to be reached from here")


BAD_EXECUTORS = [
    (Forgets, "every_job_runs_once", "nothing"),
    (Repeats, "every_job_runs_once", "began, ended, began, ended"),
    (FirstComeFirstServed, "jobs_wait_for_others", "Queue"),
    (AllAtOnce, "jobs_wait_for_others", "Queue"),
    (ReturnsEarly, "every_job_runs_once", "return when all have ended"),
    (Silent, "every_end_is_told", "finished(job, status)"),
    (Optimist, "every_end_is_told", "'middle' returned 'failed'"),
    (TellsTwice, "every_end_is_told", "once for each job"),
    (ForgetsInterrupted, "an_interrupt_leaves_no_job_unnoted", "note_stopped"),
    (SwallowsInterrupts, "an_interrupt_leaves_no_job_unnoted", "raise it again"),
    (ClaimsToIsolate, "a_failure_costs_one_job", "isolates = False"),
    (NoLimit, "a_failure_costs_one_job", "resources.seconds"),
    (NotesNothing, "a_failure_costs_one_job", "job.note_stopped('oom', reason)"),
    (AnyFailure, "a_failure_costs_one_job", "not ['oom']"),
    (LeavesWorkers, "an_interrupt_leaves_no_job_unnoted", "stop the workers"),
]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    # Who returns early goes on when the check has removed its files.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.mark.parametrize("cls", [InTurn, Forked])
def test_a_good_executor_passes(failures: Verdicts, skips: Verdicts, cls: type[Executor]) -> None:
    assert failures("executors", cls) == {}
    isolation = ["a_failure_costs_one_job", "jobs_of_other_code_have_other_processes"]
    assert list(skips("executors", cls)) == ([] if cls.isolates else isolation)


@pytest.mark.parametrize(
    ("cls", "check", "advice"), BAD_EXECUTORS, ids=[cls.__name__ for cls, *_ in BAD_EXECUTORS]
)
def test_a_bad_executor_is_caught(
    failures: Verdicts, cls: type[Executor], check: str, advice: str
) -> None:
    assert advice in failures("executors", cls)[check]


def test_an_executor_that_cannot_work_here_is_skipped_with_its_reason(
    failures: Verdicts, skips: Verdicts
) -> None:
    assert failures("executors", Unreachable) == {}
    assert "no cluster" in skips("executors", Unreachable)["every_job_runs_once"]
