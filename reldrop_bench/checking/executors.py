"""The contract of an executor: every job once and in order, and each end told, whatever a job does."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from reldrop_bench.checking.rules import Broken, NotConcerned, checks_in, example, require
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.executor import MEMORY_EXIT, Executor, Job, Resources

LIMIT = 1.0
"""Seconds that the time limit of a job that goes over it has at least."""
IN_CALLER = "would have ended the calling process"
"""What is noted in place of doing so."""


@dataclass(frozen=True)
class NotedJob:
    """A job that writes down what becomes of it, a line for each event of all jobs in one file."""

    key: str
    file: Path
    does: Literal["nothing", "raise", "exit", "leave", "kill", "sleep"] = "nothing"
    seconds: float = 0.0
    """How long it sleeps where nobody stops it."""
    status: str = "done"
    """What it returns."""
    sources: frozenset[str] = frozenset()
    spoils: bool = False
    """Whether its process must run no other job."""
    after: frozenset[str] = frozenset()
    memory_limit: int | None = None
    caller: int = field(default_factory=os.getpid)
    """The process that the executor was called in, which no job ends."""

    def on_device(self, index: int) -> NotedJob:
        return replace(self)

    def run(self, worker: bool = True) -> str:
        self._note(f"began in {os.getpid()}")
        if self.does == "raise":
            raise RuntimeError("what a job raises")
        if self.does in ("exit", "leave", "kill"):
            if os.getpid() == self.caller:
                self._note(IN_CALLER)
            elif self.does in ("exit", "leave"):
                os._exit(MEMORY_EXIT if self.does == "exit" else 0)
            else:
                os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        if self.does == "sleep":
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                time.sleep(0.05)
                self._note("goes on")
        self._note("ended")
        return self.status

    def spoiled(self) -> bool:
        return self.spoils

    def is_running(self) -> bool:
        events = [event.split()[0] for key, event in _lines(self.file) if key == self.key]
        return "began" in events and not {"ended", "stopped"} & set(events)

    def note_stopped(self, status: str, reason: str) -> None:
        self._note(f"stopped {status}")

    def _note(self, event: str) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{self.key}: {event}\n")


def _lines(file: Path) -> list[tuple[str, str]]:
    """Return all events in their order, each behind the key of its job."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [(key, event) for key, _, event in (line.partition(": ") for line in lines)]


@dataclass(frozen=True)
class Run:
    """What was seen of a run."""

    jobs: dict[str, NotedJob]
    lines: list[tuple[str, str]]
    told: list[tuple[str, str]]
    """Key and status of each call of `finished`, in the calling process."""
    seconds: float
    interrupted: bool

    def events(self, key: str) -> list[str]:
        return [event.partition(" in ")[0] for job, event in self._of(key)]

    def process(self, key: str) -> str:
        """Return the process that ran a job, "" where none did."""
        return "".join(event.partition(" in ")[2] for job, event in self._of(key))

    def place(self, key: str, event: str) -> int:
        """Return where an event stands among those of all jobs."""
        return [(job, told.partition(" in ")[0]) for job, told in self.lines].index((key, event))

    def _of(self, key: str) -> list[tuple[str, str]]:
        return [(job, event) for job, event in self.lines if job == key and event != "goes on"]

    def statuses(self, key: str) -> list[str]:
        return [status for job, status in self.told if job == key]


def _run(
    cls: type[Executor], jobs: Sequence[NotedJob], workers: int = 2, limit: float = 3600.0
) -> Run:
    executor, told = example(cls), []

    def finished(job: Job, status: str) -> None:
        told.append((job.key, status))

    start, interrupted = time.monotonic(), False
    try:
        executor.run(jobs, finished, Resources(workers=workers, seconds=limit))
    except UserError as error:
        raise NotConcerned(f"it cannot be used here: {error}") from None
    except KeyboardInterrupt:
        interrupted = True
    seconds, lines = time.monotonic() - start, _lines(jobs[0].file) if jobs else []
    return Run({job.key: job for job in jobs}, lines, told, seconds, interrupted)


@functools.lru_cache(maxsize=1)
def _plain_run(cls: type[Executor]) -> Run:
    """Run four jobs, listed such that none may begin when it is its turn."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        last = NotedJob("last", file, after=frozenset({"first", "middle"}))
        middle = NotedJob("middle", file, status="failed", after=frozenset({"first"}))
        first = NotedJob("first", file, "sleep", 0.3)
        return _run(cls, [last, middle, first, NotedJob("free", file)])


def no_jobs_are_no_error(cls: type[Executor]) -> None:
    """Without jobs it returns, and tells of nothing."""
    told = _run(cls, []).told
    require(not told, f"without jobs, finished is told of {told}")


def every_job_runs_once(cls: type[Executor]) -> None:
    """When run() returns, every job has run, and none twice."""
    run = _plain_run(cls)
    for key in run.jobs:
        events = run.events(key)
        require(
            events == ["began", "ended"],
            f"of the job {key!r} was seen: {', '.join(events) or 'nothing'}; call run() of each job once, "
            "and return when all have ended",
        )


def jobs_wait_for_others(cls: type[Executor]) -> None:
    """A job begins when those that its `after` names have ended, in whatever order jobs are given."""
    run = _plain_run(cls)
    for key, job in run.jobs.items():
        for other in job.after:
            require(
                run.place(other, "ended") < run.place(key, "began"),
                f"the job {key!r} began before {other!r} had ended, which its `after` names; take jobs "
                "from reldrop_bench.kinds.executor.Queue, which holds them back",
            )


def every_end_is_told(cls: type[Executor]) -> None:
    """finished(job, status) is called once a job, in the calling process, with what the job returned."""
    run = _plain_run(cls)
    for key, job in run.jobs.items():
        statuses = run.statuses(key)
        require(
            statuses == [job.status],
            f"the job {key!r} returned {job.status!r}; finished was told {statuses or 'nothing'}; call "
            "finished(job, status) once for each job, in the process that called run()",
        )


def a_failure_costs_one_job(cls: type[Executor]) -> None:
    """A job that raises, ends its process, is killed or takes too long is noted; all others run."""
    if not cls.isolates:
        raise NotConcerned("isolates = False: what a job does to its process may end all of them")
    # Where the clock runs from a process's start, it must not be up before the job begins.
    limit = max(LIMIT, 1.5 * _plain_run(cls).seconds)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        wanted = {"exit": "oom", "leave": "failed", "kill": "failed", "raise": "failed"}
        wanted["sleep"] = "timeout"
        jobs = [
            NotedJob(does, file, does, 3 * limit, memory_limit=2**40)  # type: ignore[arg-type]
            for does in wanted
        ]
        jobs.append(NotedJob("behind", file, after=frozenset({"kill", "sleep"})))
        try:
            run = _run(cls, jobs, limit=limit)
        finally:
            require(
                all(event != IN_CALLER for _, event in _lines(file)),
                "jobs are run in the process that called run(), which they can end; use processes, or "
                "say isolates = False",
            )
    for key, status in (wanted | {"behind": "done"}).items():
        events = run.events(key)
        what = {"exit": f"exits with {MEMORY_EXIT}, the code of too much memory,"}
        what["leave"] = "exits with 0"
        what |= {"sleep": f"takes longer than resources.seconds = {limit:.3g}"}
        require(
            run.statuses(key) == [status],
            f"of a job that {what.get(key, key + 's')} finished was told {run.statuses(key) or 'nothing'}, "
            f"not [{status!r}]; its failure costs it alone, and finished is called once",
        )
        stopped = [event for event in events if event.startswith("stopped")]
        require(
            stopped == ([] if key == "behind" else [f"stopped {status}"]),
            f"a job that {what.get(key, key + 's')} cannot write its own record; "
            f"call job.note_stopped({status!r}, reason) once (seen: {stopped or 'nothing'})",
        )


def jobs_of_other_code_have_other_processes(cls: type[Executor]) -> None:
    """Jobs of different `sources` share no process, and none follows on one that has spoiled its own."""
    if not cls.isolates:
        raise NotConcerned("isolates = False: what a job does to its process may reach the others")
    mine, yours = frozenset({"mine"}), frozenset({"mine", "yours"})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        jobs = [
            NotedJob("first", file),
            NotedJob("second", file, sources=mine),
            NotedJob("third", file),
            NotedJob("fourth", file, sources=yours, spoils=True),
            NotedJob("fifth", file, sources=yours),
        ]
        run = _run(cls, jobs, workers=1)
    for one, other in itertools.combinations(jobs, 2):
        if run.process(one.key) != run.process(other.key):
            continue
        require(
            one.sources == other.sources,
            f"jobs of sources {sorted(one.sources)} and {sorted(other.sources)} are run by one process, so "
            "that what the code of one changes in it reaches the other; start another process: "
            "queue.take(sources) returns a job that a process may run",
        )
        require(
            not one.spoils and not other.spoils,
            "a process runs another job after one for which job.spoiled() is True there; end it",
        )


def an_interrupt_leaves_no_job_unnoted(cls: type[Executor]) -> None:
    """On KeyboardInterrupt running jobs are stopped and noted, no other begins, and it is raised again."""
    if threading.current_thread() is not threading.main_thread():
        raise NotConcerned("only the main thread can be interrupted")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log"
        jobs = [NotedJob("running", file, "sleep", 60)]
        jobs.append(NotedJob("waiting", file, after=frozenset({"running"})))
        run = _interrupted_run(cls, jobs)
        time.sleep(0.3)
        later = _lines(file)
    require(
        run.interrupted,
        "KeyboardInterrupt does not come out of run(); raise it again when all is noted",
    )
    require(
        "stopped interrupted" in run.events("running"),
        'the job that was running is not noted; call job.note_stopped("interrupted", "interrupted")',
    )
    require(not run.events("waiting"), "a job begins after the interrupt; start none any more")
    require(
        later == run.lines,
        "a job still runs when KeyboardInterrupt has come out of run(); stop the workers and wait",
    )


def _interrupted_run(cls: type[Executor], jobs: Sequence[NotedJob]) -> Run:
    """Run jobs as if Ctrl-C were pressed when the first one has begun."""
    first, over = jobs[0], threading.Event()

    def interrupt() -> None:
        while not over.wait(0.05):
            if first.is_running():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return

    # Where a shell runs this in the background, Ctrl-C would be ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher = threading.Thread(target=interrupt, daemon=True)
    watcher.start()
    try:
        run = _run(cls, jobs, workers=1)
        over.set()
        watcher.join()  # an interrupt that comes late comes here
        return run
    except KeyboardInterrupt:
        raise Broken("KeyboardInterrupt comes when run() has returned; wait for all jobs") from None
    finally:
        over.set()
        watcher.join()
        signal.signal(signal.SIGINT, before)


CHECKS = checks_in(vars())
