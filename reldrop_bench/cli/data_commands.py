"""The command about data sets: what is there, what is missing, and where it is to be had."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from reldrop_bench.cli import options
from reldrop_bench.cli.application import app
from reldrop_bench.cli.output import add_plugins, make_console, plugin_parameters, print_json
from reldrop_bench.errors import UserError, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from reldrop_bench.kinds.task import Task

STATES = {"ready": "green", "made": "green", "absent": "yellow", "yours": "cyan", "broken": "red"}
"""Made: by a program, or part of a library. Yours: it takes a folder of yours."""


@app.command(name="data", epilog="Example: reldrop-bench data cifar10 --data my-data --verify")
def data_command(
    task: Annotated[str | None, typer.Argument(help="A task; all of them by default.")] = None,
    data: options.Data = None,
    settings: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=VALUE", help="A parameter of the task, such as folder=pets."),
    ] = None,
    prepare: Annotated[
        bool, Option("--prepare", help="Read what is kept between runs now, and not in a cell.")
    ] = False,
    download: Annotated[
        bool, Option("--download", help="Fetch it, where the task's library can.")
    ] = False,
    verify: Annotated[
        bool, Option("--verify", help="Read all of it: counts, and checksums where they are known.")
    ] = False,
    plugins: options.Plugins = None,
    as_json: options.Json = False,
) -> None:
    """Say what data the tasks need, what is there, and where the rest is to be had."""
    from reldrop_bench.plugins import registry
    from reldrop_bench.running.benchmark import data_root

    add_plugins(plugins)
    root = data_root(data)
    if task is None:
        given = {
            "--set": settings,
            "--prepare": prepare,
            "--download": download,
            "--verify": verify,
        }
        for option, value in given.items():
            if value:
                raise UserError(
                    f"{option} is about one task; name it, such as reldrop-bench data cifar10"
                )
        rows = [_row(name, root) for name in registry.names("tasks")]
        print_json(rows) if as_json else _print_table(rows, make_console())
        return
    plugin: Task = registry.create("tasks", task, plugin_parameters(settings or ()))
    if download:
        if root is None:
            raise UserError(f"{task}: nowhere to put it; pass --data DIR or set RELDROP_DATA")
        plugin.fetch(root)
    try:
        found = _facts(plugin) | {"state": "ready"} | _counts(plugin, root, prepare, verify)
    except UserError as error:
        if download or prepare or verify:
            raise
        found = _facts(plugin) | {"state": "absent", "to do": str(error)}
    print_json(found) if as_json else _print_facts(found, make_console())


def _row(name: str, root: Path | None) -> dict[str, Any]:
    """Return what is known of a task without its parameters."""
    from reldrop_bench.plugins import registry
    from reldrop_bench.plugins.base import parameters_of

    cls = registry.find("tasks", name).cls
    try:
        task: Task = registry.create("tasks", name)
    except UserError as error:
        # A folder of the user's has no default; what else cannot be made is a broken plugin.
        yours = cls is not None and "folder" in parameters_of(cls)
        state = "yours" if yours else "broken"
        return {"task": name, "state": state, "data": one_line(error, 160)}
    facts = _facts(task)
    try:
        task.facts(root)
        task.data_files(root)
        state = "ready" if task.origin is not None else "made"
    except UserError as error:
        state = "absent"
        facts["missing"] = one_line(error, 400)
    return facts | {"state": state}


def _facts(task: Task) -> dict[str, Any]:
    origin, summary = task.origin, inspect.getdoc(type(task)) or ""
    if origin is None:
        return {"task": task.name, "data": summary.partition("\n")[0]}
    known = {"data": origin.what, "page": origin.page, "licence": origin.licence}
    return {"task": task.name, **known, **({"bytes": origin.size} if origin.size else {})}


def _counts(task: Task, root: Path | None, prepare: bool, verify: bool) -> dict[str, Any]:
    """Return how many samples there are, and of what; raises UserError where something is not right."""
    from reldrop_bench.kinds.content import content_of
    from reldrop_bench.kinds.labels import check_split

    facts = task.facts(root)
    files = task.data_files(root)
    found: dict[str, Any] = {"modality": facts.modality, "input": list(facts.input_shape)}
    found["classes"] = len(facts.classes)
    if waiting := task.unprepared(root):
        found["to prepare"] = waiting
    if not (prepare or verify):
        return found
    started = time.perf_counter()
    train, validation = task.splits(root, 0)
    splits = {"train": train, "validation": validation, "test": task.test(root)}
    for part, split in splits.items():
        check_split(f"task {task.name}, {part}", split, len(facts.classes))
        found[part] = len(split)
    found.pop("to prepare", None)
    if prepare:
        found["prepared in"] = f"{time.perf_counter() - started:.0f} s"
    if verify:
        expected = task.published(root)
        there = {"train": len(train) + len(validation), "test": found["test"]}
        for part, count in expected.items():
            if there[part] != count:
                raise UserError(
                    f"{task.name}: {part} has {there[part]:,} samples, and {count:,} were published; unpack it again"
                )
        if files is not None:
            content = content_of(files)
            found |= {"files": content.files, "size": content.bytes, "digest": content.digest}
    return found


def _print_table(rows: list[dict[str, Any]], console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from reldrop_bench.cli.progress import size

    table = Table(box=None, pad_edge=False)
    for title in ("task", "state", "size", "licence", "data"):
        table.add_column(title, overflow="fold", no_wrap=title in ("task", "state", "size"))
    for row in rows:
        shown = size(row["bytes"]) if row.get("bytes") else ""
        state = f"[{STATES[row['state']]}]{row['state']}[/]"
        cells = (escape(str(row.get(name, ""))) for name in ("licence", "data"))
        table.add_row(escape(row["task"]), state, shown, *cells)
    console.print(table)
    console.print(
        "what a task needs, and where it is to be had: reldrop-bench data TASK", markup=False
    )


def _print_facts(found: dict[str, Any], console: Console) -> None:
    from reldrop_bench.cli.progress import size

    for name, value in found.items():
        text = size(value) if name in ("bytes", "size") else value
        shown = " × ".join(map(str, value)) if isinstance(value, list) else text
        console.print(f"{name}: {shown}", markup=False)
