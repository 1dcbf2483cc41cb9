"""Sections built in several processes: the same bytes, unique names, and no section lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from reldrop_bench import registry
from reldrop_bench.report.parallel import in_processes
from reldrop_bench.report.render import build_sections, write_report
from reldrop_bench.results import Results
from reldrop_bench.section import Block, Prose, ReportSection, Table

copies = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")


@dataclass(frozen=True)
class Named(ReportSection):
    """Gives its table a name that another section may have as well."""

    name: ClassVar[str] = "named"
    title: ClassVar[str] = "Named"
    order: ClassVar[int] = 1
    row: int = 0

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        return [Table("same", "A table.", pd.DataFrame({"row": [self.row]}))]


@dataclass(frozen=True)
class Dying(Named):
    """Ends its process, unless that is the one that tests run in."""

    title: ClassVar[str] = "Dying"
    tests: int = 0

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        if os.getpid() != self.tests:
            os._exit(3)
        return [Prose("survived")]


@dataclass(frozen=True)
class Unsendable(Named):
    """Returns what no other process can read."""

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        return [Table("odd", "A table.", pd.DataFrame({"value": [lambda: None]}))]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_bytes_do_not_depend_on_the_processes(complete: Results, tmp_path: Path) -> None:
    names = ("verdict", "accuracy", "cost", "significance")
    for workers in (1, 2):
        sections = [registry.create("sections", name, {}) for name in names]
        write_report(complete, tmp_path / str(workers), sections, workers=workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_names_are_unique_over_processes(complete: Results, tmp_path: Path) -> None:
    sections = [Named(1), Named(2), Named(3)]
    built = build_sections(complete, sections, tmp_path, workers=2)
    names = [block.name for section in built for block in section.blocks]
    assert names == ["same", "same-2", "same-3"]


@copies
def test_a_process_that_dies_costs_its_section_alone(complete: Results, tmp_path: Path) -> None:
    sections = [Named(1), Dying(2, os.getpid()), Named(3)]
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
