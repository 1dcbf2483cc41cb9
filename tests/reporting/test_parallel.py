"""Sections built in several processes: the same bytes, unique names, and no section lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reldrop_bench.kinds.section import Block, Prose, ReportSection, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.parallel import in_processes
from reldrop_bench.reporting.render import build_sections, write_report
from reldrop_bench.results import Results

copies = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")


class Named(ReportSection):
    """Gives its table a name that another section may have as well."""

    name = "named"
    title = "Named"
    order = 1
    row: int = 0

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        return [Table("same", "A table.", pd.DataFrame({"row": [self.row]}))]


class Dying(Named):
    """Ends its process, unless that is the one that tests run in."""

    title = "Dying"
    tests: int = 0
    code: int = 3

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        if os.getpid() != self.tests:
            os._exit(self.code)
        return [Prose("survived")]


class Unsendable(Named):
    """Returns what no other process can read."""

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        return [Table("odd", "A table.", pd.DataFrame({"value": [lambda: None]}))]


def _refuse(*_: Any) -> Any:
    raise ValueError("cannot be read")


class Unreadable:
    """Can be sent, and not be received."""

    def __reduce__(self) -> Any:
        return _refuse, (1,)


class UnreadableError(Exception):
    """Can be raised, and not be received: reading it calls it with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Exiting(Named):
    """Ends the program, as a command line tool that is called as a function may."""

    title = "Exiting"

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        raise SystemExit(2)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_bytes_do_not_depend_on_the_processes(complete: Results, tmp_path: Path) -> None:
    names = ("verdict", "accuracy")
    for workers in (1, 2):
        sections = [registry.create("sections", name, {}) for name in names]
        write_report(complete, tmp_path / str(workers), sections, workers=workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_names_are_unique_over_processes(complete: Results, tmp_path: Path) -> None:
    sections = [Named(row=1), Named(row=2), Named(row=3)]
    built = build_sections(complete, sections, tmp_path, workers=2)
    names = [block.name for section in built for block in section.blocks]
    assert names == ["same", "same-2", "same-3"]


@copies
@pytest.mark.parametrize("code", [3, 0])
def test_a_process_that_dies_costs_its_section_alone(
    complete: Results, tmp_path: Path, code: int
) -> None:
    sections = [Named(row=1), Dying(row=2, tests=os.getpid(), code=code), Named(row=3)]
    built = {section.title: section for section in build_sections(complete, sections, tmp_path, 2)}
    assert "its process died" in built["Dying"].error
    assert built["Named"].blocks
    page = write_report(complete, tmp_path, sections, workers=2).read_text(encoding="utf-8")
    assert page.count("This section failed") == 1


def test_what_cannot_be_sent_is_made_here(complete: Results, tmp_path: Path) -> None:
    built = build_sections(complete, [Unsendable(), Named()], tmp_path, workers=2)
    assert [section.error for section in built] == ["", ""]


def test_parts_come_in_their_order() -> None:
    assert in_processes(lambda number: number**2, 7, 3, lambda number: -1) == [
        number**2 for number in range(7)
    ]


@copies
def test_what_cannot_be_received_is_made_here() -> None:
    here = os.getpid()

    def work(number: int) -> Any:
        return Unreadable() if number == 1 else (number, os.getpid())

    found = in_processes(work, 3, 2, lambda number: "lost")
    assert isinstance(found[1], Unreadable)
    assert [found[0][0], found[2][0]] == [0, 2]
    assert here not in (found[0][1], found[2][1]), "the others were made by the pool"


@copies
def test_an_error_that_cannot_be_received_is_raised_here() -> None:
    def work(number: int) -> int:
        if number == 1:
            raise UnreadableError("very", "wrong")
        return number

    with pytest.raises(UnreadableError, match="very wrong"):
        in_processes(work, 3, 2, lambda number: -1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_section_that_exits_is_shown_as_failed(
    complete: Results, tmp_path: Path, workers: int
) -> None:
    built = build_sections(complete, [Named(row=1), Exiting(), Named(row=3)], tmp_path, workers)
    errors = {section.title: section.error for section in built}
    assert errors == {"Named": "", "Exiting": "SystemExit: 2"}


def _parts_of_a_daemon(sender: Any) -> None:
    sender.send(list(in_processes(lambda number: (number, os.getpid()), 3, 2, lambda _: (-1, -1))))


@copies
def test_a_process_that_may_have_no_children_works_alone() -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_parts_of_a_daemon, args=(sender,), daemon=True)
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == [(number, process.pid) for number in range(3)]
    process.join()


SLOW = """
import os, time
from pathlib import Path
import pandas as pd
from reldrop_bench.reporting.render import build_sections
from reldrop_bench.results import CELL_COLUMNS, Results
from reldrop_bench.kinds.section import ReportSection

class Slow(ReportSection):
    name, title, order = "slow", "Slow", 1

    def build(self, results, style):
        os.write(1, b"started\\n")
        time.sleep(300)
        return []

results = Results("slow", "none", ("none",), pd.DataFrame(columns=list(CELL_COLUMNS)))
build_sections(results, [Slow() for _ in range(5)], Path("."), workers=2)
"""


def _some_are_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@copies
@pytest.mark.parametrize("whole", [False, True], ids=["parent", "group"])
def test_an_interrupt_ends_the_report_and_all_its_processes(whole: bool, tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SLOW]
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == process.stdout.readline() == "started\n"
            (os.killpg if whole else os.kill)(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == -signal.SIGINT
            assert errors.count("Traceback") == 1
            assert errors.rstrip().endswith("KeyboardInterrupt")
            end = time.monotonic() + 10
            while _some_are_alive(process.pid):
                assert time.monotonic() < end, "processes are left"
                time.sleep(0.05)
        finally:
            if _some_are_alive(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
