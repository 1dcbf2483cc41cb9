"""Commands about trained models: measure more, and see what they find relevant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from reldrop_bench.cli import options
from reldrop_bench.cli.application import app
from reldrop_bench.cli.output import add_plugins, conclude, make_console
from reldrop_bench.errors import UserError
from reldrop_bench.statistics.wording import by_number, counted

if TYPE_CHECKING:
    from reldrop_bench.results import Results
    from reldrop_bench.running.benchmark import Benchmark
    from reldrop_bench.running.checkpoints import Checkpoint


@app.command(
    epilog="Example: reldrop-bench evaluate results/quickstart --evaluations quantus:standard"
)
def evaluate(
    folder: options.OptionalFolder = None,
    evaluations: Annotated[
        list[str] | None,
        Option(
            "--evaluations",
            "-e",
            metavar="NAME[:PRESET]",
            help="What to measure, such as quantus:standard or '{occlusion: {max_samples: 100}}'; "
            "may be given several times.",
        ),
    ] = None,
    model: options.Model = None,
    weights: options.Weights = None,
    task: options.Task = None,
    relevance: Annotated[
        str | None, Option(metavar="NAME", help="With --model: how to explain.")
    ] = None,
    label: Annotated[
        str | None, Option(help="With --model: its name in tables (else the weights' file).")
    ] = None,
    seed: Annotated[
        int | None, Option(help="With --model: models of one seed are paired (else 0).")
    ] = None,
    threads: Annotated[
        int | None, Option(min=1, help="With --model: CPU threads (else 1).")
    ] = None,
    replace: Annotated[
        bool,
        Option("--replace", help="With --model: in place of one of the same label and seed."),
    ] = False,
    output: options.Output = None,
    workers: options.Workers = None,
    plugins: options.Plugins = None,
    data: options.Data = None,
    only: options.Only = None,
    executor: options.Executor = None,
    report: options.WithReport = True,
) -> None:
    """Measure more on trained cells (nothing is trained), or on a checkpoint of your own."""
    only_checkpoint = {"label": label, "seed": seed, "relevance": relevance, "threads": threads}
    only_checkpoint["replace"] = replace or None
    source = _source(folder, model, weights, task, only_checkpoint)
    if not isinstance(source, Path):
        if executor is not None:
            raise UserError("--executor is for DIR: a checkpoint is evaluated in this process")
        _evaluate_checkpoint(source, output, evaluations, plugins or [], data, report)
    elif output is not None:
        raise UserError("--output is for --model: evaluations of a folder stay in that folder")
    elif not evaluations:
        raise UserError("say what to measure, such as --evaluations quantus:standard")
    else:
        from reldrop_bench.running.benchmark import Options
        from reldrop_bench.running.evaluate import prepare_evaluation

        options = Options(None, workers, plugins or (), data, (), only or (), executor)
        _evaluate_cells(prepare_evaluation(source, evaluations, options), report)


def _evaluate_cells(benchmark: Benchmark, report: bool) -> None:
    """Measure more on the trained cells of a results folder."""
    from reldrop_bench.cli.progress import ProgressDisplay
    from reldrop_bench.running.runner import execute
    from reldrop_bench.store.load import load_results

    console, folder = make_console(), benchmark.store.folder
    untrained = [planned for planned in benchmark.plan().cells if planned.action == "train"]
    if untrained:
        are, they = by_number(len(untrained), "is", "are"), by_number(len(untrained), "it", "they")
        console.print(
            f"{counted(len(untrained), 'cell')} {are} left out, as {they} {are} not trained "
            f"({untrained[0].reason}); run the spec to train {by_number(len(untrained), 'it', 'them')}",
            markup=False,
        )
    with ProgressDisplay(console, benchmark) as display:
        execute(benchmark, display, train=False)
    keys = {cell.key for cell in benchmark.chosen} - {planned.cell.key for planned in untrained}
    unmeasured = [
        planned
        for planned in benchmark.plan().cells
        if planned.action != "cached" and planned.cell.key in keys
    ]
    results = load_results(folder)
    _tell_notes(results)
    if unmeasured:
        was = by_number(len(unmeasured), "was", "were")
        console.print(
            f"{counted(len(unmeasured), 'cell')} {was} not measured, of {len(keys)}; run the spec again: "
            "it trains what is damaged or missing, and tries again what failed",
            markup=False,
        )
    measured = results.cells[results.cells.key.isin(keys)]
    conclude(results, measured, folder, report, console, complete=not unmeasured)


def _evaluate_checkpoint(
    checkpoint: Checkpoint,
    output: Path | None,
    evaluations: Sequence[str] | None,
    plugins: Sequence[Path],
    data: Path | None,
    report: bool,
) -> None:
    """Measure a model that was trained elsewhere."""
    from reldrop_bench.running.checkpoints import NAME, evaluate_checkpoint

    console = make_console()

    def tell(stage: str) -> None:
        if console.is_terminal and not console.is_dumb_terminal:  # on one line
            console.print(f"{stage}\033[K", end="\r", markup=False)

    folder = output or Path("results") / NAME
    results = evaluate_checkpoint(checkpoint, folder, evaluations, plugins, data, tell)
    _tell_notes(results)
    conclude(results, results.cells, folder, report, console)


def _tell_notes(results: Results) -> None:
    if count := len(results.notes):
        was = by_number(count, "was", "were")
        typer.echo(f"{counted(count, 'value')} {was} left out; the report says why")


@app.command(
    epilog="Example: reldrop-bench explain results/quickstart --items 0,5 --only task=digits"
)
def explain(
    folder: options.OptionalFolder = None,
    items: Annotated[
        str | None,
        Option("--items", metavar="N,N,…", help="Positions in the test split (else four of them)."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        Option(
            "--method", "-m", metavar="NAME", help="Attribution method; may be given several times."
        ),
    ] = None,
    model: options.Model = None,
    weights: options.Weights = None,
    task: options.Task = None,
    output: options.Output = None,
    plugins: options.Plugins = None,
    data: options.Data = None,
    only: options.Only = None,
) -> None:
    """Save relevance maps and pictures of chosen test items (maps.safetensors and maps.png)."""
    from reldrop_bench.running.explanations import save_checkpoint_explanations, save_explanations

    try:
        chosen = None if items is None else list(dict.fromkeys(map(int, items.split(","))))
    except ValueError:
        raise UserError(f"--items {items!r} is not a list of positions such as 0,5,7") from None
    source = _source(folder, model, weights, task, {})
    if isinstance(source, Path):
        save_explanations(
            source, chosen, methods or [], output, plugins or [], data, only or [],
            lambda path: typer.echo(f"wrote {path}"),
        )  # fmt: skip
        return
    add_plugins(plugins)
    target = output or Path("explanations")
    typer.echo(f"wrote {save_checkpoint_explanations(source, chosen, methods or [], target, data)}")


def _source(
    folder: Path | None,
    model: str | None,
    weights: Path | None,
    task: str | None,
    only_checkpoint: Mapping[str, Any],
) -> Path | Checkpoint:
    """Return the folder of results or the checkpoint that the options name.

    only_checkpoint: options that a checkpoint alone has, None where they were not given.

    Raises
    ------
    UserError
        Both were given, or neither, or a part is missing.
    """
    parts = {"--model": model, "--weights": weights, "--task": task}
    given = [name for name, value in parts.items() if value is not None]
    options = {name: value for name, value in only_checkpoint.items() if value is not None}
    if folder is not None:
        if given:
            raise UserError(f"give a folder of results or {given[0]}, not both")
        if options:
            raise UserError(
                f"--{next(iter(options))} is for --model: a benchmark has its own in its spec"
            )
        return folder
    if not given:
        raise UserError("give a folder of results, or --model, --weights and --task")
    if model is None or weights is None or task is None:
        missing = next(name for name in parts if name not in given)
        raise UserError(f"{missing} is missing: a checkpoint needs {', '.join(parts)}")
    from reldrop_bench.running.checkpoints import Checkpoint

    return Checkpoint(model, weights, task, **options)
