"""Options that several commands share, and how they talk."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer
from typer import Argument, Option

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from reldrop_bench.results import Results

Plugins = Annotated[
    list[Path] | None,
    Option("--plugins", metavar="DIR", help="A folder with plugins; may be given several times."),
]
Data = Annotated[
    Path | None,
    Option("--data", metavar="DIR", help="Folder of local data sets (else RELDROP_DATA)."),
]
Output = Annotated[
    Path | None,
    Option("--output", "-o", metavar="DIR", help="Folder of the results (else results/NAME)."),
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the spec, such as recipe.epochs=3."
    ),
]
Only = Annotated[
    list[str] | None,
    Option(
        "--only", metavar="COLUMN=PATTERN", help="Compute these cells alone, such as task=digits."
    ),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        "-w",
        metavar="N",
        help="Processes (else GPUs, or cores / threads a cell); 0: this process.",
    ),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="What computes the cells, or '{NAME: {…}}' (else processes of this machine).",
    ),
]
Formats = Annotated[
    list[str] | None,
    Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="html (the default), latex, markdown, csv or parquet; may be given several times.",
    ),
]
Baseline = Annotated[
    str | None, Option("--baseline", metavar="LABEL", help="Compare with this label instead.")
]
Metric = Annotated[
    str | None,
    Option(
        "--metric",
        metavar="METRIC",
        help="Judge by this metric alone, such as calibration/ece or shifts/noise/1/accuracy.",
    ),
]
Margin = Annotated[
    float | None,
    Option("--margin", metavar="X", help="Differences within ±X do not matter (else 0.01)."),
]
Sections = Annotated[
    str | None,
    Option(
        "--sections", metavar="NAME,NAME,…", help="Show these sections alone, such as verdict,cost."
    ),
]
ReportOutput = Annotated[
    Path | None,
    Option("--output", "-o", metavar="DIR", help="Folder of the report (else DIR/report)."),
]
Json = Annotated[bool, Option("--json", help="Print JSON instead of tables.")]
WithReport = Annotated[bool, Option("--report/--no-report", help="Write the report at the end.")]
SpecArgument = Annotated[str, Argument(metavar="SPEC", help="A shipped name or a YAML file.")]
Folder = Annotated[Path, Argument(metavar="DIR", help="Folder of the results.")]
OptionalFolder = Annotated[
    Path | None, Argument(metavar="[DIR]", help="Folder of the results.", show_default=False)
]
ModelFile = Annotated[
    str | None,
    Option("--model", metavar="FILE.py:FUNCTION", help="A network of your own, instead of DIR."),
]
Weights = Annotated[
    Path | None, Option("--weights", metavar="FILE", help="Its weights, as safetensors.")
]
TaskOption = Annotated[
    str | None, Option("--task", metavar="NAME", help="The task that it solves.")
]


def names_of(text: str | None) -> list[str] | None:
    """Return the names of an option such as ``verdict,cost``; None where it was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def make_console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def add_plugins(plugins: Sequence[Path] | None) -> None:
    from reldrop_bench.plugins import add_folder

    for folder in plugins or []:
        add_folder(folder)


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


def report_is_current(folder: Path) -> bool:
    """Return whether the page that is there is made of the same results and code; says so."""
    from reldrop_bench.reporting import stamp

    page = folder / "report" / "report.html"
    current = page.is_file() and stamp.is_current(folder, page.parent)
    if current:
        typer.echo(f"report: {page} (unchanged)")
    return current


def conclude(
    results: Results, cells: pd.DataFrame, folder: Path, report: bool, console: Console
) -> NoReturn:
    """Tell of failures, write the report where it is wanted, and end as `cells` did."""
    from reldrop_bench.cli.progress import print_failures

    print_failures(results, console)
    if report and not report_is_current(folder):
        write_report(results, folder)
    raise typer.Exit(0 if (cells["status"] == "done").all() else 1)


def write_report(
    results: Results,
    folder: Path,
    formats: Sequence[str] = ("html",),
    sections: Sequence[str] | None = None,
    usual: bool = True,
    output: Path | None = None,
) -> None:
    """Write a report, into `folder`/report by default; `usual`: it is the one that `run` writes."""
    from reldrop_bench.reporting import Report, stamp
    from reldrop_bench.reporting.render import PAGES

    target = output or folder / "report"
    if not usual:
        stamp.remove(target)  # so that the next `run` writes its own page again
    Report(results, sections).write(target, cast(Any, formats))  # checked there
    if usual and "html" in formats:
        stamp.put(folder, target)
    for format in formats:
        typer.echo(f"report: {target / PAGES[cast(Any, format)]}")
