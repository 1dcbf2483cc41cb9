"""Commands about several result sets: compare, merge, list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from reldrop_bench.cli import options
from reldrop_bench.cli.application import app
from reldrop_bench.cli.output import make_console, names_of, write_report
from reldrop_bench.errors import UserError
from reldrop_bench.statistics.wording import by_number, counted

Folders = Annotated[list[Path], Argument(metavar="DIR…", help="Folders of results.")]
NewFolder = Annotated[Path, Option("--output", "-o", metavar="DIR", help="Folder to be written.")]


@app.command(epilog="Example: reldrop-bench compare results/laptop results/server")
def compare(
    folders: Folders,
    output: Annotated[
        Path, Option("--output", "-o", metavar="DIR", help="Folder of the report.")
    ] = Path("results/comparison"),
    formats: options.Formats = None,
    sections: options.Sections = None,
    baseline: options.Baseline = None,
    metric: options.Metric = None,
    margin: options.Margin = None,
    strict: Annotated[
        bool, Option("--strict", help="Refuse where anything cannot be compared.")
    ] = False,
    plugins: options.Plugins = None,
) -> None:
    """Show several result sets in one report; what only has the same name is told apart."""
    from reldrop_bench.cli.progress import print_unfinished
    from reldrop_bench.comparing.compare import compare as compare_sets
    from reldrop_bench.store.folder import BENCHMARK_FILE

    if (output / BENCHMARK_FILE).exists():
        raise UserError(f"{output} holds results; choose another --output for the report")
    results = compare_sets(folders, baseline, metric, margin, strict, plugins or [])
    _print_notes(results.remarks)
    print_unfinished(results, make_console())
    write_report(
        results, output, formats or ["html"], names_of(sections), usual=False, output=output
    )
    raise typer.Exit(results.exit_code)


@app.command(epilog="Example: reldrop-bench merge results/first results/second -o results/both")
def merge(
    folders: Folders,
    output: NewFolder,
    skip_damaged: Annotated[
        bool, Option("--skip-damaged", help="Leave out damaged cells instead of refusing.")
    ] = False,
    plugins: options.Plugins = None,
) -> None:
    """Put result sets of one protocol (other seeds, tasks or methods) into one new folder."""
    from reldrop_bench.comparing.merge import merge as merge_sets

    notes: list[str] = []
    results = merge_sets(folders, output, skip_damaged, plugins or [], notes.append)
    _print_notes(notes)
    done = int((results.cells["status"] == "done").sum())
    cells = counted(done, "cell", total=len(results.cells))
    typer.echo(f"merged: {output}, {cells} {by_number(done, 'is', 'are')} done")
    raise typer.Exit(results.exit_code)


@app.command(epilog="Example: reldrop-bench leaderboard results/laptop results/server -o board")
def leaderboard(
    folders: Folders,
    output: NewFolder = Path("results/leaderboard"),
    metric: Annotated[
        str, Option("--metric", metavar="METRIC", help="What to list, such as calibration/ece.")
    ] = "accuracy/test/accuracy",
    plugins: options.Plugins = None,
) -> None:
    """List what every method of every result set has reached, as static pages."""
    from reldrop_bench.comparing.leaderboard.pages import leaderboard as write_leaderboard

    typer.echo(f"leaderboard: {write_leaderboard(folders, output, metric, plugins or [])}")


def _print_notes(notes: Sequence[str]) -> None:
    console = make_console()
    for note in notes:
        console.print(f"note: {note}", markup=False)
