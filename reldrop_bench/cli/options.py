"""Options that several commands share, and how they talk."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

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
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder of the results (else results/NAME)."
    ),
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
        help="Processes (else GPUs, or cores / threads a cell); 0: this process.",
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
    from reldrop_bench.report import stamp

    page = folder / "report" / "report.html"
    current = page.is_file() and stamp.is_current(folder, page.parent)
    if current:
        typer.echo(f"report: {page} (unchanged)")
    return current


def write_report(results: Any, folder: Path, format: str) -> None:
    from reldrop_bench.report import Report, stamp

    path = Report(results).write(folder / "report", cast(Any, format))  # checked there
    if format == "html":
        stamp.put(folder, path.parent)
    typer.echo(f"report: {path}")
