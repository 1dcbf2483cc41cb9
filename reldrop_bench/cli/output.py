"""How commands talk, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from reldrop_bench.results import Results


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
    results: Results,
    cells: pd.DataFrame,
    folder: Path,
    report: bool,
    console: Console,
    complete: bool = True,
) -> NoReturn:
    """Tell of failures, write the report where it is wanted, and end as `cells` did.

    complete: whether everything was done that was asked for, as far as their statuses do not tell.
    """
    from reldrop_bench.cli.progress import print_failures

    print_failures(results, console)
    if report and not report_is_current(folder):
        write_report(results, folder)
    raise typer.Exit(0 if complete and (cells["status"] == "done").all() else 1)


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
