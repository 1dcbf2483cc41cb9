"""Examine the installation and say what to mend."""

import shutil
from pathlib import Path

import psutil
import torch
from rich.console import Console
from rich.markup import escape

from reldrop_bench.cli.listing import listing
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.running.benchmark import data_root
from reldrop_bench.running.environment import describe

LOW_DISK = 2 * 2**30


def examine(data: Path | None, console: Console) -> bool:
    """Print what was found; returns whether nothing is broken (a data set that is not there is no fault)."""
    healthy = True
    cuda = torch.cuda.is_available()
    environment = describe(torch.device("cuda" if cuda else "cpu"), torch.get_num_threads())
    for key, value in environment.items():
        console.print(f"{key}: {value}", markup=False)
    console.print(f"memory: {psutil.virtual_memory().total / 2**30:.0f} GiB")
    free = shutil.disk_usage(Path.cwd()).free
    console.print(f"free disk here: {free / 2**30:.0f} GiB")
    if free < LOW_DISK:
        console.print("[red]problem[/] less than 2 GiB of disk is free: choose another --output")
        healthy = False
    for row in listing():
        if row["status"] == "broken":
            console.print(
                f"[red]problem[/] {row['kind']} {row['name']} is broken: see reldrop-bench list"
            )
            healthy = False
    for name in registry.names("tasks"):
        try:
            registry.create("tasks", name).facts(data_root(data))
        except UserError as error:
            console.print(f"[yellow]absent[/] task {name}: {escape(str(error))}")
        else:
            console.print(f"[green]ok[/] task {name}: ready")
    console.print("[green]nothing is broken[/]" if healthy else "[red]see the problems above[/]")
    return healthy
