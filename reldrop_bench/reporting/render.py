"""From sections to files: the page, the tables and the figures of a report."""

import re
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from reldrop_bench.errors import UserError, one_line, what_next
from reldrop_bench.files import write_atomically
from reldrop_bench.kinds.section import Figure, Prose, ReportSection, Table
from reldrop_bench.reporting import data_files, latex, markdown
from reldrop_bench.reporting.csv_text import csv_text
from reldrop_bench.reporting.figures import METADATA, render
from reldrop_bench.reporting.page import BuiltSection, Choice, TakenName, kind_of, page
from reldrop_bench.reporting.parallel import cores, in_processes
from reldrop_bench.reporting.rows import labels
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results
from reldrop_bench.statistics.wording import by_number, counted

Format = Literal["html", "markdown", "latex", "csv", "parquet"]
PAGES: dict[Format, str] = {
    "html": "report.html",
    "markdown": "report.md",
    "latex": "report.tex",
    "csv": "data/cells.csv",
    "parquet": "data/cells.parquet",
}
"""By format, the file that a reader opens first."""


def write_report(
    results: Results,
    folder: str | Path,
    sections: Iterable[ReportSection],
    format: Format | Sequence[Format] = "html",
    broken: Sequence[BuiltSection] = (),
    workers: int | None = None,
) -> Path:
    """Write the report into `folder`, in one or several formats; returns the path of the first page.

    Beside report.html, report.md or report.tex come tables/*.csv (LaTeX: tables/*.tex as well) and
    figures/*.{svg,pdf,png}. The formats csv and parquet write all results as data/*, and no section.
    The same results give the same bytes. A section that raises does not end the report: its place
    shows the error. `broken`: sections that could not even be made. `workers`: see `build_sections`.

    Raises
    ------
    UserError
        An unknown format, or a folder that cannot be written.
    """
    formats: Sequence[Format] = [format] if isinstance(format, str) else list(format)
    for name in formats:
        if name not in PAGES:
            raise UserError(f"format {name!r} is unknown; allowed: {', '.join(PAGES)}")
    folder = Path(folder)
    built: list[BuiltSection] = []
    try:
        for wanted in formats:
            path = folder / PAGES[wanted]
            if wanted in ("csv", "parquet"):
                for file, content in data_files.contents(results, wanted):
                    write_atomically(path.parent / file, content)
                continue
            built = built or [*build_sections(results, sections, folder, workers), *broken]
            _write_parts(folder, built, wanted)
            write_atomically(path, _page(results, built, wanted).encode("utf-8", "replace"))
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.strerror}; {what_next(error)}"
        ) from None
    return folder / PAGES[formats[0]]


def build_sections(
    results: Results, sections: Iterable[ReportSection], folder: Path, workers: int | None = None
) -> list[BuiltSection]:
    """Build all sections in their order; names of tables and figures come out unique.

    folder: where an earlier report may lie, whose figures are used again where nothing changed.
    workers: processes, as many as there are cores by default; the bytes are the same with any.
    """
    style = Style(tuple(labels(results)), results.baseline, marked=True)
    ordered = sorted(sections, key=lambda section: (section.order, section.name))

    def build(number: int, taken: frozenset[TakenName] = frozenset()) -> BuiltSection:
        return _build(ordered[number], results, style, set(taken), folder / "figures")

    def lost(number: int) -> BuiltSection:
        section, error = ordered[number], "its process died: out of memory, or ended by the system"
        return BuiltSection(file_name(section.name), section.title, error=error, traceback=error)

    built: list[BuiltSection] = []
    taken: set[TakenName] = set()
    with style.theme():
        parts = in_processes(build, len(ordered), cores() if workers is None else workers, lost)
        for number, part in enumerate(parts):
            # Rare: two sections that give a table or a figure the same name.
            built.append(build(number, frozenset(taken)) if part.names & taken else part)
            taken |= built[-1].names
    return built


def _build(
    section: ReportSection, results: Results, style: Style, taken: set[TakenName], earlier: Path
) -> BuiltSection:
    name, title = file_name(section.name), section.title
    try:
        blocks, figures, narrows = [], {}, {}
        for block in section.build(results, style):
            if not isinstance(block, Prose):
                block = _with_free_name(block, taken)
            if isinstance(block, Figure):
                files = _existing(earlier, block.name)
                figures[block.name] = render(block.figure, block.name, block.raster, files, style)
                # All that is left of it is its files: they can be sent, and need little memory.
                if block.narrow is not None:
                    narrow = f"{block.name}-narrow"
                    drawn = render(block.narrow, narrow, style=style, suffixes=("svg",))
                    narrows[block.name] = drawn["svg"]
                block = replace(block, figure=None, narrow=None)  # type: ignore[arg-type]
            blocks.append(block)
        return BuiltSection(name, title, tuple(blocks), figures, narrows)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it may be anyone's; the others must appear
        message = one_line(f"{type(error).__name__}: {error}")
        return BuiltSection(name, title, error=message, traceback=traceback.format_exc())


def _existing(folder: Path, name: str) -> dict[str, bytes] | None:
    try:
        return {suffix: (folder / f"{name}.{suffix}").read_bytes() for suffix in METADATA}
    except OSError:
        return None


def file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "unnamed"


def _with_free_name(block: Table | Figure, taken: set[TakenName]) -> Table | Figure:
    """Return the block with a name that is safe as a file name and that no other block has."""
    base = name = file_name(block.name)
    number = 1
    while (kind_of(block), name.lower()) in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add((kind_of(block), name.lower()))
    return replace(block, name=name)


def _write_parts(folder: Path, built: list[BuiltSection], format: Format) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for section in built:
        for block in section.blocks:
            if isinstance(block, Table):
                frame = block.frame if block.data is None else block.data
                text = csv_text(frame)
                write_atomically(
                    folder / "tables" / f"{block.name}.csv", text.encode("utf-8", "replace")
                )
                if format == "latex":
                    content = latex.table(block).encode("utf-8", "replace")
                    write_atomically(folder / "tables" / f"{block.name}.tex", content)
        for name, files in section.figures.items():
            for suffix, content in files.items():
                write_atomically(folder / "figures" / f"{name}.{suffix}", content)


def _title(results: Results) -> str:
    return f"Comparison report: {results.name}"


def _lead(results: Results) -> str:
    cells = results.cells
    done = int((cells["status"] == "done").sum())
    sizes = " × ".join(counted(cells[name].nunique(), name) for name in ("label", "task", "seed"))
    return (
        f"{counted(done, 'cell', total=len(cells))} {by_number(done, 'is', 'are')} done: {sizes}, "
        f"compared with the baseline “{results.baseline}”."
    )


def _page(results: Results, built: list[BuiltSection], format: Format) -> str:
    if format == "html":
        return _html(results, built)
    if format == "markdown":
        return _markdown(results, built)
    return _latex(results, built)


def _html(results: Results, built: list[BuiltSection]) -> str:
    return page(
        built,
        Choice.of(results),
        title=_title(results),
        lead=_lead(results),
        complete=bool((results.cells["status"] == "done").all()),
    )


def _markdown(results: Results, built: list[BuiltSection]) -> str:
    parts = [f"# {markdown.escaped(_title(results))}", markdown.escaped(_lead(results))]
    for section in built:
        parts.append(f"## {markdown.escaped(section.title)}")
        if section.error:
            parts.append(f"> This section failed: {markdown.escaped(section.error)}")
            parts.append(markdown.fenced(section.traceback))
        for block in section.blocks:
            if isinstance(block, Prose):
                parts.append(markdown.prose(block))
            elif isinstance(block, Table):
                parts.append(markdown.table(block))
            else:
                parts.append(markdown.figure(block))
    return "\n\n".join(parts) + "\n"


def _latex(results: Results, built: list[BuiltSection]) -> str:
    parts = [
        latex.PREAMBLE + rf"\title{{{latex.escaped(_title(results))}}}" + "\n\\date{}",
        "\\begin{document}\n\\maketitle",
        latex.escaped(_lead(results)),
    ]
    for section in built:
        parts.append(rf"\section{{{latex.escaped(section.title)}}}")
        if section.error:
            parts.append(rf"\textbf{{This section failed:}} {latex.escaped(section.error)}")
            parts.append(latex.prose(Prose(section.traceback, "code")))
        for block in section.blocks:
            if isinstance(block, Prose):
                parts.append(latex.prose(block))
            elif isinstance(block, Table):
                parts.append(rf"\input{{tables/{block.name}.tex}}")
            else:
                parts.append(latex.figure(block))
        parts.append(r"\clearpage")
    return "\n\n".join([*parts, r"\end{document}"]) + "\n"
