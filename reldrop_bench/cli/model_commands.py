"""Commands about trained models: measure more, and see what they find relevant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reldrop_bench.cli.application import app
from reldrop_bench.cli.options import (
    Data,
    ExecutorOption,
    FolderArgument,
    ModelFile,
    Only,
    Output,
    Plugins,
    TaskOption,
    Weights,
    Workers,
    add_plugins,
    make_console,
    report_is_current,
    write_report,
)
from reldrop_bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from reldrop_bench.running.checkpoints import Checkpoint


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
    model: ModelFile = None,
    weights: Weights = None,
    task: TaskOption = None,
    relevance: Annotated[
        str | None,
        typer.Option("--relevance", metavar="NAME", help="With --model: how to explain."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", help="With --model: its name in tables (else the weights' file)."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="With --model: models of one seed are paired (else 0)."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="With --model: CPU threads (else 1).")
    ] = None,
    output: Output = None,
    workers: Workers = None,
    plugins: Plugins = None,
    data: Data = None,
    only: Only = None,
    executor: ExecutorOption = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the report at the end.")
    ] = True,
) -> None:
    """Measure more on trained cells (nothing is trained), or on a checkpoint of your own."""
    own = {"label": label, "seed": seed, "relevance": relevance, "threads": threads}
    checkpoint = _checkpoint(folder, model, weights, task, own)
    if checkpoint is not None:
        if executor is not None:
            raise UserError("--executor is for DIR: a checkpoint is evaluated in this process")
        from reldrop_bench.running.checkpoints import NAME, evaluate_checkpoint

        place = output or Path("results") / NAME
        console = make_console()
        results = evaluate_checkpoint(
            checkpoint,
            place,
            evaluations,
            plugins or [],
            data,
            lambda text: _tell_stage(console, text),
        )
        _conclude_evaluation(results, place, console, report)
    from reldrop_bench.cli.progress import ProgressDisplay
    from reldrop_bench.running.evaluate import prepare_evaluation
    from reldrop_bench.running.runner import execute
    from reldrop_bench.store.load import load_results

    assert folder is not None
    if output is not None:
        raise UserError("--output is for --model: evaluations of a folder stay in that folder")
    if not evaluations:
        raise UserError("say what to measure, such as --evaluations quantus:standard")
    console = make_console()
    benchmark = prepare_evaluation(
        folder, evaluations, workers, plugins or [], data, only or [], executor
    )
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
    results = load_results(folder)
    asked = {each.key for each in benchmark.chosen} - {each.cell.key for each in untrained}
    _conclude_evaluation(results, folder, console, report, asked)


@app.command(
    epilog="Example: reldrop-bench explain results/quickstart --items 0,5 --only task=digits"
)
def explain(
    folder: FolderArgument = None,
    items: Annotated[
        str | None,
        typer.Option(
            "--items", metavar="N,N,…", help="Positions in the test split (else four of them)."
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "-m", metavar="NAME", help="Attribution method; may be given several times."
        ),
    ] = None,
    model: ModelFile = None,
    weights: Weights = None,
    task: TaskOption = None,
    output: Output = None,
    plugins: Plugins = None,
    data: Data = None,
    only: Only = None,
) -> None:
    """Save relevance maps and pictures of chosen test items (maps.safetensors and maps.png)."""
    from reldrop_bench.running.explanations import save_checkpoint_explanations, save_explanations

    try:
        chosen = None if items is None else list(dict.fromkeys(map(int, items.split(","))))
    except ValueError:
        raise UserError(f"--items {items!r} is not a list of positions such as 0,5,7") from None
    checkpoint = _checkpoint(folder, model, weights, task, {})
    if checkpoint is not None:
        add_plugins(plugins)
        place = output or Path("explanations")
        written = save_checkpoint_explanations(checkpoint, chosen, methods or [], place, data)
        typer.echo(f"wrote {written}")
        return
    assert folder is not None
    save_explanations(
        folder, chosen, methods or [], output, plugins or [], data, only or [],
        lambda path: typer.echo(f"wrote {path}"),
    )  # fmt: skip


def _checkpoint(
    folder: Path | None,
    model: str | None,
    weights: Path | None,
    task: str | None,
    own: Mapping[str, Any],
) -> Checkpoint | None:
    """Return the checkpoint that the options name, or None where a folder was given.

    own: options that a checkpoint alone has, None where they were not given.

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
        idle = [name for name, value in own.items() if value is not None]
        if idle:
            raise UserError(f"--{idle[0]} is for --model: a benchmark has its own in its spec")
        return None
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        raise UserError("give a folder of results, or --model, --weights and --task")
    if missing:
        raise UserError(f"{missing[0]} is missing: a checkpoint needs {', '.join(given)}")
    from reldrop_bench.running.checkpoints import Checkpoint

    assert model is not None
    assert weights is not None
    assert task is not None
    chosen = {name: value for name, value in own.items() if value is not None}
    return Checkpoint(model, weights, task, **chosen)


def _tell_stage(console: Console, text: str) -> None:
    """Show what is measured, on a terminal alone and on one line."""
    if console.is_terminal:
        console.print(f"{text}\033[K", end="\r", markup=False)


def _conclude_evaluation(
    results: Any, folder: Path, console: Console, report: bool, asked: Collection[str] | None = None
) -> None:
    """Tell of failures and of what was left out, write the report and end the program.

    asked: keys of the cells that the exit code is about; None: all.
    """
    from reldrop_bench.cli.progress import print_failures

    print_failures(results, console)
    if len(results.notes):
        typer.echo(f"{len(results.notes)} values were left out; the report says why")
    if report and not report_is_current(folder):
        write_report(results, folder)
    cells = results.cells if asked is None else results.cells[results.cells["key"].isin(asked)]
    raise typer.Exit(0 if (cells["status"] == "done").all() else 1)
