"""How commands talk, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import typer

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.files import write_atomically

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


def plugin_parameters(settings: Sequence[str]) -> dict[str, Any]:
    """Return what ``--set NAME=VALUE`` says of the parameters of a plugin."""
    from reldrop_bench.matrix.spec import read_value

    parameters = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UserError(f"--set {text!r}: write NAME=VALUE, such as folder=pets")
        parameters[name.strip()] = read_value(value, f"--set {name.strip()}")
    return parameters


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
    verdict: bool = False,
) -> NoReturn:
    """Tell of failures and, if wanted, the verdict; write the report where it is; end as `cells` did.

    complete: whether everything was done that was asked for, as far as their statuses do not tell.
    """
    from reldrop_bench.cli.progress import print_unfinished

    done = bool((cells["status"] == "done").all())
    print_unfinished(results, console)
    if report and not report_is_current(folder):
        write_report(results, folder)
    if verdict:
        print_verdict(folder, console, results)
    raise typer.Exit(0 if complete and done else 1)


SUMMARY = ".summary.json"
"""The verdict in a few lines, beside the page that says it in full."""


def print_verdict(folder: Path, console: Console, results: Results | None = None) -> None:
    """Print what the results of a folder say; without `results`, what was kept beside its page."""
    from reldrop_bench.cli.progress import print_summary
    from reldrop_bench.reporting.summary import Summary, summarize

    kept = folder / "report" / SUMMARY
    if results is None:
        try:
            print_summary(Summary(**json.loads(kept.read_text(encoding="utf-8"))), console)
            return
        except (OSError, ValueError, TypeError):
            from reldrop_bench.store.load import load_results

            results = load_results(folder)
    summary = summarize(results)
    if kept.parent.is_dir():
        with suppress(OSError):  # it can be made again
            write_atomically(kept, json.dumps(summary.plain()).encode(), durable=False)
    print_summary(summary, console)


SECTIONS = ".sections.json"
"""The names of the sections that a report was made of."""


def _tell_of_lost_sections(target: Path, sections: Sequence[str] | None) -> None:
    """Say which sections of the report that is replaced are not installed now, and note what is."""
    from reldrop_bench.plugins import registry

    if sections is not None:
        return
    kept, installed = target / SECTIONS, registry.names("sections")
    try:
        before = [str(name) for name in json.loads(kept.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        before = []
    lost = [name for name in before if name not in installed]
    if lost:
        names = one_line(", ".join(map(repr, lost)), 200)
        typer.echo(
            f"note: the report in {target} had the section {names}, which is not installed here and is "
            "left out; give its folder with --plugins DIR"
        )
    with suppress(OSError):  # the report itself says why nothing can be written
        write_atomically(kept, json.dumps(installed).encode(), durable=False)


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
    _tell_of_lost_sections(target, sections)
    if usual and "html" in formats:
        stamp.put(folder, target)
    for format in formats:
        typer.echo(f"report: {target / PAGES[cast(Any, format)]}")
