"""The command line."""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from reldrop_bench.errors import UserError, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from reldrop_bench.checkpoints import Checkpoint
    from reldrop_bench.contract import CheckResult

INTERRUPTED = 130

app = typer.Typer(
    name="reldrop-bench",
    help="Benchmark explanation-guided regularizers: register one, run the matrix, read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugins", metavar="DIR", help="A folder with plugins; may be given several times."
    ),
]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of local data sets (else RELDROP_DATA)."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Folder of the results [results/NAME]."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the spec, such as recipe.epochs=3."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", metavar="COLUMN=PATTERN", help="Compute these cells alone, such as task=digits."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        "-w",
        metavar="N",
        help="Processes [GPUs, else cores / threads a cell]; 0: this process.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
SpecArgument = Annotated[str, typer.Argument(metavar="SPEC", help="A shipped name or a YAML file.")]


FolderArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="Folder of the results.", show_default=False)
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="FILE.py:FUNCTION", help="A network of your own, instead of DIR."
    ),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Its weights, as safetensors.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="The task that it solves.")
]


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def _add_plugins(plugins: Sequence[Path] | None) -> None:
    from reldrop_bench.plugins import add_folder

    for folder in plugins or []:
        add_folder(folder)


def _print_checks(results: Sequence[CheckResult], console: Console) -> None:
    colours = {"passed": "green", "failed": "red", "skipped": "yellow"}
    for result in results:
        console.print(f"[{colours[result.status]}]{result.status:8}[/] {result.check}")
        if result.message:
            console.print(f"         {result.message}", markup=False)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1))


@app.command(name="list", epilog="Example: reldrop-bench list regularizers --json")
def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="regularizers, tasks, models, …; all by default.")
    ] = None,
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """List the plugins that are installed, broken ones included."""
    from reldrop_bench.listing import listing, print_listing

    _add_plugins(plugins)
    rows = listing(kind)
    if as_json:
        _print_json(rows)
    else:
        print_listing(rows, _console())


@app.command(epilog="Example: reldrop-bench show reldrop-block")
def show(
    name: Annotated[str, typer.Argument(help="Name of a plugin.")],
    plugins: Plugins = None,
    as_json: Json = False,
) -> None:
    """Show one plugin: what it does, its parameters and presets, and its file."""
    from reldrop_bench.listing import details, print_details

    _add_plugins(plugins)
    found = details(name)
    if as_json:
        _print_json(found)
        return
    for each in found:
        print_details(each, _console())


@app.command(epilog="Example: reldrop-bench new regularizer my-drop --folder my-plugins")
def new(
    kind: Annotated[str, typer.Argument(help="regularizer, task, section or evaluation.")],
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my-drop.")],
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Plugin folder to write to.")
    ] = Path(),
) -> None:
    """Write a working, commented plugin file to start from."""
    from reldrop_bench.scaffold import create_plugin

    path = create_plugin(kind, name, folder)
    typer.echo(f"wrote {path}")
    typer.echo(f"next: reldrop-bench check {name} --plugins {folder}")


@app.command(epilog="Example: reldrop-bench check my-drop --plugins my-plugins")
def check(
    name: Annotated[
        str, typer.Argument(help="Name of a regularizer, task, evaluation or section.")
    ],
    plugins: Plugins = None,
) -> None:
    """Check that a plugin keeps its contract; says what is broken and how to mend it."""
    from reldrop_bench.contract import kinds_of, run_checks

    _add_plugins(plugins)
    console = _console()
    failed = 0
    for kind in kinds_of(name):
        results = run_checks(kind, name)
        _print_checks(results, console)
        counts = Counter(result.status for result in results)
        failed += counts["failed"]
        typer.echo(
            f"{name} ({kind}): {counts['passed']} passed, {counts['failed']} failed, "
            f"{counts['skipped']} skipped"
        )
    if failed:
        raise typer.Exit(1)


@app.command(epilog="Example: reldrop-bench plan quickstart --set recipe.epochs=3")
def plan(
    spec: SpecArgument,
    output: Output = None,
    workers: Workers = None,
    plugins: Plugins = None,
    data: Data = None,
    settings: Settings = None,
    only: Only = None,
    as_json: Json = False,
) -> None:
    """Say what `run` would do: cells, why one would run again, time and disk. Writes nothing."""
    from reldrop_bench.progress import plan_data, print_plan
    from reldrop_bench.runner import prepare

    benchmark = prepare(spec, output, workers, plugins or [], data, settings or [], only or [])
    made = benchmark.plan(measure=True)
    if as_json:
        _print_json(plan_data(made, benchmark))
    else:
        print_plan(made, benchmark, _console())


@app.command(
    epilog="Example: reldrop-bench run quickstart --workers 2 --set recipe.epochs=3 --only task=digits"
)
def run(
    spec: SpecArgument,
    output: Output = None,
    workers: Workers = None,
    plugins: Plugins = None,
    data: Data = None,
    settings: Settings = None,
    only: Only = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
) -> None:
    """Run a benchmark and write its report; what exists already is not computed again."""
    from reldrop_bench.loading import load_results
    from reldrop_bench.progress import ProgressDisplay, print_failures
    from reldrop_bench.runner import execute, prepare

    console = _console()
    benchmark = prepare(spec, output, workers, plugins or [], data, settings or [], only or [])
    with ProgressDisplay(console, benchmark) as display:
        try:
            execute(benchmark, display)
        except KeyboardInterrupt:
            display.interrupted()
            raise
    folder = benchmark.store.folder
    if display.done == 0 and (not report or _report_is_current(folder)):
        return  # every cell was complete already, and the page shows them
    results = load_results(folder)
    print_failures(results, console)
    if report and not _report_is_current(folder):
        _write_report(results, folder, "html")
    asked = results.cells[results.cells.key.isin([cell.key for cell in benchmark.chosen])]
    raise typer.Exit(0 if (asked.status == "done").all() else 1)


@app.command(
    epilog="Example: reldrop-bench evaluate results/quickstart --evaluations quantus:standard"
)
def evaluate(
    folder: FolderArgument = None,
    evaluations: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluations",
            "-e",
            metavar="NAME[:PRESET]",
            help="What to measure, such as quantus:standard or '{occlusion: {max_samples: 100}}'; "
            "may be given several times.",
        ),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    task: TaskOption = None,
    relevance: Annotated[
        str | None,
        typer.Option("--relevance", metavar="NAME", help="With --model: how to explain."),
    ] = None,
    label: Annotated[
        str, typer.Option("--label", help="With --model: its name in tables [the weights' file].")
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", help="With --model: models of one seed are paired.")
    ] = 0,
    output: Output = None,
    workers: Workers = None,
    plugins: Plugins = None,
    data: Data = None,
    only: Only = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
) -> None:
    """Measure more on trained cells (nothing is trained), or on a checkpoint of your own."""
    checkpoint = _checkpoint(folder, model, weights, task, label, seed, relevance)
    if checkpoint is not None:
        from reldrop_bench.checkpoints import NAME, evaluate_checkpoint

        place = output or Path("results") / NAME
        console = _console()
        results = evaluate_checkpoint(
            checkpoint,
            place,
            evaluations,
            plugins or [],
            data,
            lambda text: _tell_stage(console, text),
        )
        _conclude_evaluation(results, place, console, report)
    from reldrop_bench.loading import load_results
    from reldrop_bench.progress import ProgressDisplay
    from reldrop_bench.runner import execute, prepare_evaluation

    assert folder is not None
    if output is not None:
        raise UserError("--output is for --model: evaluations of a folder stay in that folder")
    if not evaluations:
        raise UserError("say what to measure, such as --evaluations quantus:standard")
    console = _console()
    benchmark = prepare_evaluation(folder, evaluations, workers, plugins or [], data, only or [])
    untrained = [each for each in benchmark.plan().cells if each.action == "train"]
    if untrained:
        console.print(
            f"{len(untrained)} cells are left out, as they are not trained ({untrained[0].reason}); "
            "run the spec to train them",
            markup=False,
        )
    with ProgressDisplay(console, benchmark) as display:
        try:
            execute(benchmark, display, train=False)
        except KeyboardInterrupt:
            display.interrupted()
            raise
    _conclude_evaluation(load_results(folder), folder, console, report)


@app.command(
    epilog="Example: reldrop-bench explain results/quickstart --items 0,5 --only task=digits"
)
def explain(
    folder: FolderArgument = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items", metavar="N,N,…", help="Positions in the test split [four of them]."
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", metavar="NAME", help="Attribution method; may be given several times."
        ),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    task: TaskOption = None,
    output: Output = None,
    plugins: Plugins = None,
    data: Data = None,
    only: Only = None,
) -> None:
    """Save relevance maps and pictures of chosen test items (maps.safetensors and maps.png)."""
    from reldrop_bench.explanations import save_checkpoint_explanations, save_explanations

    try:
        chosen = None if items is None else [int(each) for each in items.split(",")]
    except ValueError:
        raise UserError(f"--items {items!r} is not a list of positions such as 0,5,7") from None
    checkpoint = _checkpoint(folder, model, weights, task, "", 0, None)
    if checkpoint is not None:
        _add_plugins(plugins)
        place = output or Path("explanations")
        written = save_checkpoint_explanations(checkpoint, chosen, methods or [], place, data)
        typer.echo(f"wrote {written}")
        return
    assert folder is not None
    save_explanations(
        folder, chosen, methods or [], output, plugins or [], data, only or [],
        lambda path: typer.echo(f"wrote {path}"),
    )  # fmt: skip


@app.command(epilog="Example: reldrop-bench status results/quickstart")
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the results.")],
    as_json: Json = False,
) -> None:
    """Show how far a benchmark is: finished, running, failed and missing cells."""
    from reldrop_bench.loading import load_results
    from reldrop_bench.progress import print_failures, print_status, running_cells

    results = load_results(folder)
    running = running_cells(folder)
    if as_json:
        counts = {
            str(name): int(count) for name, count in results.cells.status.value_counts().items()
        }
        _print_json({"name": results.name, "cells": counts, "running": running})
        return
    console = _console()
    print_status(results, running, console)
    print_failures(results, console)


@app.command(epilog="Example: reldrop-bench report results/quickstart --format latex")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the results.")],
    format: Annotated[str, typer.Option("--format", help="html, latex or markdown.")] = "html",
    plugins: Plugins = None,
) -> None:
    """Write the comparison report of a results folder."""
    from reldrop_bench.loading import load_results
    from reldrop_bench.progress import print_failures

    _add_plugins(plugins)
    results = load_results(folder)
    print_failures(results, _console())
    _write_report(results, folder, format)
    raise typer.Exit(results.exit_code)


@app.command(epilog="Example: reldrop-bench doctor --data my-data")
def doctor(data: Data = None, plugins: Plugins = None) -> None:
    """Check the installation: versions, accelerator, plugins, data folder, free disk."""
    from reldrop_bench.doctor import examine

    _add_plugins(plugins)
    if not examine(data, _console()):
        raise typer.Exit(1)


def _checkpoint(
    folder: Path | None,
    model: str | None,
    weights: Path | None,
    task: str | None,
    label: str,
    seed: int,
    relevance: str | None,
) -> Checkpoint | None:
    """Return the checkpoint that the options name, or None where a folder was given.

    Raises
    ------
    UserError
        Both were given, or neither, or a part is missing.
    """
    given = {"--model": model, "--weights": weights, "--task": task}
    if folder is not None:
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise UserError(f"give a folder of results or {named[0]}, not both")
        return None
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        raise UserError("give a folder of results, or --model, --weights and --task")
    if missing:
        raise UserError(f"{missing[0]} is missing: a checkpoint needs {', '.join(given)}")
    from reldrop_bench.checkpoints import Checkpoint
    from reldrop_bench.relevance.default import DEFAULT_RELEVANCE

    assert model is not None
    assert weights is not None
    assert task is not None
    return Checkpoint(model, weights, task, label, seed, relevance or DEFAULT_RELEVANCE)


def _tell_stage(console: Console, text: str) -> None:
    """Show what is measured, on a terminal alone and on one line."""
    if console.is_terminal:
        console.print(f"{text}\033[K", end="\r", markup=False)


def _conclude_evaluation(results: Any, folder: Path, console: Console, report: bool) -> None:
    """Tell of failures and of what was left out, write the report and end the program."""
    from reldrop_bench.progress import print_failures

    print_failures(results, console)
    if len(results.notes):
        typer.echo(f"{len(results.notes)} values were left out; the report says why")
    if report and not _report_is_current(folder):
        _write_report(results, folder, "html")
    raise typer.Exit(results.exit_code)


def _report_is_current(folder: Path) -> bool:
    """Return whether the page that is there is made of the same results and code; says so."""
    from reldrop_bench.report import stamp

    page = folder / "report" / "report.html"
    current = page.is_file() and stamp.is_current(folder, page.parent)
    if current:
        typer.echo(f"report: {page} (unchanged)")
    return current


def _write_report(results: Any, folder: Path, format: str) -> None:
    from reldrop_bench.report import Report, stamp

    path = Report(results).write(folder / "report", cast(Any, format))  # checked there
    if format == "html":
        stamp.put(folder, path.parent)
    typer.echo(f"report: {path}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: wrong use is one line and exit code 2, Ctrl-C is exit code 130."""
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except UserError as error:
        typer.echo(f"error: {one_line(error, 2000)}", err=True)
        sys.exit(2)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        typer.echo(f"error: {one_line(f'{error.strerror}{place}')}; choose another place", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - sorted out below
        if isinstance(status := getattr(error, "exit_code", None), int):
            # The parser's own errors: a missing argument, an unknown option or command.
            message = getattr(error, "message", "") or str(error)
            typer.echo(f"error: {one_line(message)}; see --help", err=True)
            sys.exit(status)
        traceback.print_exc()  # a defect of ours: show it whole, and do not call it wrong use
        sys.exit(70)
    if code == INTERRUPTED:  # typer itself turns Ctrl-C into this code
        typer.echo("interrupted; run the same command again to go on where it stopped", err=True)
    sys.exit(code if isinstance(code, int) else 0)
