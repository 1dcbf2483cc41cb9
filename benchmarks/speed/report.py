"""What the report of many cells takes: seconds, memory and page size, and a ratio to that of 100 cells.

    python -m benchmarks.speed.report [--cells 1000] [--folder DIR] [--format html] [--workers 1]

A few small cells are run; their records and tables, with varied metrics and curves, are written as a
results folder of many cells. Then a process of its own reads it and writes the report with all its
files. The ratio is the time a cell, over the same of the 100 cells that are measured in the same run: 1 or less
where the report grows no faster than its cells. Written folders are kept with `--folder`, and taken as
they are the next time. A floor for reading is given as well: the bytes of all tables and records, read
once and checksummed. With one worker, the seconds of each section are shown.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed import _timing as timing
from benchmarks.speed._made_results import SHAPES, write_results
from reldrop_bench import load_results
from reldrop_bench.kinds.section import Block
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.render import write_report
from reldrop_bench.results import Results

REFERENCE = 100
FORMS = {"": "", "seconds": ".2f", f"s a cell / that of {REFERENCE}": ".2f"}
SECTION_FORMS = {"section": "", "build s": ".2f", "draw s": ".2f", "blocks": "d", "MB": ".2f"}


@dataclass
class Timed:
    """A section with the seconds that it takes to build, and that its blocks take to draw."""

    section: Any
    clock: timing.Clock
    build_seconds: float = 0.0
    draw_seconds: float = 0.0
    blocks: int = 0

    def __post_init__(self) -> None:
        self.name, self.title, self.order = (
            getattr(self.section, fact) for fact in ("name", "title", "order")
        )

    def build(self, results: Results, style: Any) -> Iterator[Block]:
        started = self.clock()
        blocks = self.section.build(results, style)
        self.build_seconds += self.clock() - started
        for block in blocks:  # what comes between two of them is the drawing of the one before
            self.blocks += 1
            started = self.clock()
            yield block
            self.draw_seconds += self.clock() - started


def read_all(folder: Path) -> int:
    """Read and checksum all records and tables; returns their bytes."""
    size = 0
    for path in folder.glob("cells/*/*"):
        if path.suffix in (".json", ".parquet"):
            content = path.read_bytes()
            hashlib.sha256(content).digest()
            size += len(content)
    return size


def section_sizes(page: str) -> dict[str, int]:
    """Return the characters of each section of an HTML page."""
    parts = page.split('<section id="')[1:]
    return {part.partition('"')[0]: len(part) for part in parts}


def measure(options: argparse.Namespace, clock: timing.Clock) -> dict[str, Any]:
    """Read a folder and write its report; returns what that took."""
    folder = options.measure
    size = read_all(folder)
    floor = timing.seconds(lambda: read_all(folder), clock)
    peaks = [timing.process_peak()]
    started = clock()
    results = load_results(folder)
    loaded = clock()
    peaks.append(timing.process_peak())
    names = [entry.name for entry in registry.entries("sections") if entry.cls is not None]
    sections: list[Any] = [
        Timed(registry.create("sections", name, {}), clock)
        for name in names
        if not options.only or name in options.only
    ]
    with tempfile.TemporaryDirectory() as place:
        written = clock()
        page = write_report(results, place, sections, options.format, workers=options.workers)
        report = clock() - written
        peaks.append(timing.process_peak())
        text = page.read_text(encoding="utf-8")
        sizes = [path.stat().st_size for path in Path(place).rglob("*") if path.is_file()]
    parts = section_sizes(text)
    return {
        "cells": len(results.cells),
        "metrics": len(results.metrics) / len(results.cells),
        "bytes": size,
        "seconds": {
            "reading bytes, checksums": floor,
            "load_results": loaded - started,
            "write_report": report,
            "load and report": loaded - started + report,
        },
        "sections": [
            {
                "section": each.name,
                "build s": each.build_seconds,
                "draw s": each.draw_seconds,
                "blocks": each.blocks,
                "MB": parts.get(each.name, 0) / 1e6,
            }
            for each in sorted(sections, key=lambda section: (section.order, section.name))
            if each.blocks  # built in this process
        ],
        "page": len(text.encode()),
        "files": len(sizes),
        "written": sum(sizes),
        "failed": text.count("<b>This section failed"),
        "peaks": peaks,
    }


def show(found: dict[str, Any], reference: dict[str, Any]) -> None:
    print(f"\n{found['cells']} cells, {found['metrics']:.0f} metrics each", end="")
    print(f" ({found['bytes'] / 1e6:.0f} MB in tables and records)")
    cells = found["cells"] / reference["cells"]
    rows = [
        {"": text, "seconds": own, [*FORMS][2]: own / reference["seconds"][text] / cells}
        for text, own in found["seconds"].items()
    ]
    timing.print_table(rows, FORMS)
    if found["sections"]:
        timing.print_table(found["sections"], SECTION_FORMS)
    before, loaded, peak = found["peaks"]
    print(
        f"page {found['page'] / 1e6:.1f} MB; {found['files']} files, "
        f"{found['written'] / 1e6:.0f} MB; peak memory {peak:.0f} MiB "
        f"({loaded:.0f} after reading, {before:.0f} before)"
    )
    if found["failed"]:
        print(f"{found['failed']} sections failed")


def main() -> None:
    parser = timing.argument_parser(__doc__)
    parser.add_argument("--cells", type=int, default=1000, choices=tuple(SHAPES))
    parser.add_argument("--folder", type=Path, help="where results are written, and kept")
    parser.add_argument("--format", default="html", choices=("html", "markdown", "latex"))
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="these sections alone")
    parser.add_argument("--workers", type=int, help="processes, else the cores")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    clock = timing.begin(options)
    if options.measure:
        print(json.dumps(measure(options, clock)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        reference = None
        for count in dict.fromkeys((REFERENCE, options.cells)):
            results = folder / f"speed-{count}"
            write_results(count, results)
            found = timing.in_own_process("report", [*sys.argv[1:], "--measure", str(results)])
            reference = reference or found
            show(found, reference)


if __name__ == "__main__":
    main()
