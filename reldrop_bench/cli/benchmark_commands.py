"""Commands about benchmarks: plan, run, look, report."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from reldrop_bench.cli import options
from reldrop_bench.cli.application import app
from reldrop_bench.cli.output import (
    add_plugins,
    conclude,
    make_console,
    names_of,
    print_json,
    print_verdict,
    report_is_current,
    write_report,
)


@app.command(epilog="Example: reldrop-bench plan quickstart --set seeds=10 --power")
def plan(
    spec: options.Spec,
    output: options.Output = None,
    workers: options.Workers = None,
    plugins: options.Plugins = None,
    data: options.Data = None,
    settings: options.Settings = None,
    only: options.Only = None,
    executor: options.Executor = None,
    no_time: Annotated[
        bool, Option("--no-time", help="Time no steps: say of the time what is known already.")
    ] = False,
    power: Annotated[
        bool, Option("--power", help="Say instead what its comparisons can show; trains nothing.")
    ] = False,
    effect: Annotated[
        float | None,
        Option(metavar="D", help="With --power: a difference to be found (else 0.01)."),
    ] = None,
    earlier: Annotated[
        Path | None,
        Option(
            "--from",
            metavar="DIR",
            help="With --power: results that tell how much seeds scatter (else those of --output).",
        ),
    ] = None,
    metric: Annotated[
        str | None, Option(metavar="METRIC", help="With --power: what differs (else accuracy).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say what `run` would do: cells, why one would run again, time and disk. Writes nothing."""
    from reldrop_bench.cli.progress import plan_data, print_plan
    from reldrop_bench.errors import UserError
    from reldrop_bench.running.benchmark import Options, prepare

    only_with_power = {"--effect": effect, "--from": earlier, "--metric": metric}
    for option, value in only_with_power.items():
        if value is not None and not power:
            raise UserError(f"{option} is about power; add --power")
    options = Options(output, workers, plugins or (), data, settings or (), only or (), executor)
    benchmark = prepare(spec, options)
    if power:
        from reldrop_bench.cli.power_table import print_power
        from reldrop_bench.running.power import plan_power

        planned = plan_power(benchmark, effect, earlier, metric)
        if as_json:
            print_json(planned.data())
        else:
            print_power(planned, make_console())
        return
    made = benchmark.plan(measure=not no_time)
    if as_json:
        print_json(plan_data(made, benchmark))
    else:
        print_plan(made, benchmark, make_console())


@app.command(
    epilog="Example: reldrop-bench run quickstart --workers 2 --set recipe.epochs=3 --only task=digits"
)
def run(
    spec: options.Spec,
    output: options.Output = None,
    workers: options.Workers = None,
    plugins: options.Plugins = None,
    data: options.Data = None,
    settings: options.Settings = None,
    only: options.Only = None,
    executor: options.Executor = None,
    report: options.WithReport = True,
) -> None:
    """Run a benchmark and write its report; what exists already is not computed again."""
    from reldrop_bench.cli.progress import ProgressDisplay
    from reldrop_bench.running.benchmark import Options, prepare
    from reldrop_bench.running.runner import execute
    from reldrop_bench.store.load import load_results

    console = make_console()
    options = Options(output, workers, plugins or (), data, settings or (), only or (), executor)
    benchmark = prepare(spec, options)
    with ProgressDisplay(console, benchmark) as display:
        execute(benchmark, display)
    folder = benchmark.store.folder
    if display.done == 0 and report and report_is_current(folder):
        print_verdict(folder, console)  # every cell was complete already, and the page shows them
        return
    results = load_results(folder)
    asked = results.cells[results.cells.key.isin([cell.key for cell in benchmark.chosen])]
    conclude(results, asked, folder, report, console, verdict=True)


@app.command(epilog="Example: reldrop-bench status results/quickstart")
def status(
    folder: options.Folder,
    as_json: options.Json = False,
) -> None:
    """Show how far a benchmark is: finished, running, failed and missing cells."""
    from reldrop_bench.cli.progress import print_failures, print_status, running_cells
    from reldrop_bench.store.load import load_results

    results = load_results(folder)
    running = running_cells(folder)
    if as_json:
        counts = {
            str(name): int(count) for name, count in results.cells.status.value_counts().items()
        }
        print_json({"name": results.name, "cells": counts, "running": running})
        return
    console = make_console()
    print_status(results, running, console)
    print_failures(results, console)


@app.command(epilog="Example: reldrop-bench schema cell")
def schema(
    document: Annotated[
        str | None,
        typer.Argument(metavar="[benchmark|cell|running]", help="One kind of file; all else."),
    ] = None,
) -> None:
    """Print the JSON schema of benchmark.json, cell.json and running/*.json."""
    from reldrop_bench.errors import UserError, suggest
    from reldrop_bench.store.documents import DOCUMENTS, json_schema

    if document is None:
        print_json({name: json_schema(name) for name in DOCUMENTS})
    elif document in DOCUMENTS:
        print_json(json_schema(document))
    else:
        raise UserError(f"no file is called {document!r}; {suggest(document, DOCUMENTS)}")


@app.command(
    epilog="Example: reldrop-bench report results/quickstart --format latex --sections verdict,cost"
)
def report(
    folder: options.Folder,
    formats: options.Formats = None,
    sections: options.Sections = None,
    baseline: options.Baseline = None,
    metric: options.Metric = None,
    margin: options.Margin = None,
    output: options.ReportOutput = None,
    plugins: options.Plugins = None,
) -> None:
    """Write the comparison report of a results folder."""
    from reldrop_bench.cli.progress import print_unfinished
    from reldrop_bench.reporting.question import asked
    from reldrop_bench.store.load import load_results

    add_plugins(plugins)
    results = asked(load_results(folder), baseline, metric, margin)
    print_unfinished(results, make_console())
    usual = (sections, baseline, metric, margin, output) == (None,) * 5
    write_report(results, folder, formats or ["html"], names_of(sections), usual, output)
    raise typer.Exit(results.exit_code)
