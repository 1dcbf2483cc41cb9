"""Commands about plugins and the installation."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reldrop_bench.cli import options
from reldrop_bench.cli.application import app
from reldrop_bench.cli.output import add_plugins, make_console, plugin_parameters, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from reldrop_bench.checking import CheckResult


COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


def _print_checks(results: Sequence[CheckResult], console: Console) -> None:
    for result in results:
        console.print(f"[{COLOURS[result.status]}]{result.status:8}[/] {result.check}")
        if result.message:
            console.print(f"         {result.message}", markup=False)


@app.command(name="list", epilog="Example: reldrop-bench list regularizers --json")
def list_command(
    kind: Annotated[
        str | None, typer.Argument(help="regularizers, tasks, models, … or specs; all by default.")
    ] = None,
    plugins: options.Plugins = None,
    as_json: options.Json = False,
) -> None:
    """List the plugins that are installed, broken ones included, and the specs that come along."""
    gc.disable()  # next to nothing of what is imported is garbage; looking for it takes a tenth
    try:
        from reldrop_bench.cli.listing import listing, print_listing

        add_plugins(plugins)
        rows = listing(kind)
    finally:
        gc.enable()
    if as_json:
        print_json(rows)
    else:
        print_listing(rows, make_console())


@app.command(epilog="Example: reldrop-bench show reldrop-block")
def show(
    name: Annotated[str, typer.Argument(help="Name of a plugin.")],
    plugins: options.Plugins = None,
    as_json: options.Json = False,
) -> None:
    """Show one plugin: what it does, its parameters and presets, and its file."""
    from reldrop_bench.cli.listing import details, print_details

    add_plugins(plugins)
    plugins_named = details(name)
    if as_json:
        print_json(plugins_named)
        return
    for plugin in plugins_named:
        print_details(plugin, make_console())


@app.command(epilog="Example: reldrop-bench new regularizer my-drop --folder my-plugins")
def new(
    kind: Annotated[
        str,
        typer.Argument(
            help="regularizer, task, model, attributor, evaluation, section or executor."
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name of the plugin, such as my-drop.")],
    folder: Annotated[
        Path, typer.Option("--folder", metavar="DIR", help="Plugin folder to write to.")
    ] = Path(),
    form: Annotated[
        str, typer.Option("--form", metavar="FORM", help="Another template: penalty (regularizer).")
    ] = "",
) -> None:
    """Write a working, commented plugin file to start from."""
    from reldrop_bench.plugins.scaffold import create_plugin

    path = create_plugin(kind, name, folder, form)
    typer.echo(f"wrote {path}")
    typer.echo(f"next: reldrop-bench check {name} --plugins {folder}")


@app.command(epilog="Example: reldrop-bench check my-drop --plugins my-plugins")
def check(
    name: Annotated[str, typer.Argument(help="Name of a plugin of any kind.")],
    data: options.Data = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A parameter of the plugin, such as folder=pets."
        ),
    ] = None,
    plugins: options.Plugins = None,
) -> None:
    """Check that a plugin keeps its contract; says what is broken and how to mend it."""
    from reldrop_bench.checking import run_checks
    from reldrop_bench.plugins import registry
    from reldrop_bench.running.benchmark import DATA_VARIABLE, data_root

    add_plugins(plugins)
    parameters = plugin_parameters(settings or ())
    if data is not None:  # for whatever a check opens
        os.environ[DATA_VARIABLE] = str(data_root(data))
    console = make_console()
    failed = 0
    for entry in registry.find_all(name):
        results = run_checks(entry.kind, name, parameters)
        _print_checks(results, console)
        counts = Counter[str](result.status for result in results)
        failed += counts["failed"]
        told = ", ".join(f"{counts[status]} {status}" for status in COLOURS)
        typer.echo(f"{name} ({entry.kind}): {told}")
    if failed:
        raise typer.Exit(1)


@app.command(epilog="Example: reldrop-bench doctor --data my-data")
def doctor(data: options.Data = None, plugins: options.Plugins = None) -> None:
    """Check the installation: versions, accelerator, plugins, data folder, free disk."""
    from reldrop_bench.cli.doctor import examine

    add_plugins(plugins)
    if not examine(data, make_console()):
        raise typer.Exit(1)
