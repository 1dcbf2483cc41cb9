"""Examine the installation and say what to mend."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import torch
from rich.console import Console

from reldrop_bench.cli.listing import listing
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.running.environment import describe
from reldrop_bench.running.runner import data_root

LOW_DISK = 2 * 2**30


def _data_sets(root: Path | None) -> list[tuple[bool, str]]:
    """Say of every task whether its data can be read."""
    found = []
    for name in registry.names("tasks"):
        try:
            registry.create("tasks", name).facts(root)
        except UserError as error:
            found.append((False, f"task {name}: {error}"))
        else:
            found.append((True, f"task {name}: ready"))
    return found


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
    for ready, text in _data_sets(data_root(data)):
        console.print(
            ("[green]ok[/] " if ready else "[yellow]absent[/] ") + text.replace("[", r"\[")
        )
    console.print("[green]nothing is broken[/]" if healthy else "[red]see the problems above[/]")
    return healthy
