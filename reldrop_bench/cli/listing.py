"""What `list` and `show` tell of plugins."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.plugins import broken_entry_points, registry
from reldrop_bench.plugins.base import Plugin, parameters_of


def listing(kind: str | None = None) -> list[dict[str, Any]]:
    """Return one row a plugin: kind, name, modalities, description, file, error.

    Raises
    ------
    UserError
        An unknown kind.
    """
    rows: list[dict[str, Any]] = []
    for name in [kind] if kind else registry.KINDS:
        for entry in registry.entries(name):
            cls = entry.cls
            rows.append(
                {
                    "kind": name,
                    "name": entry.name,
                    "modalities": sorted(cls.modalities) if cls else [],
                    "description": cls.description() if cls else "",
                    "file": str(entry.file),
                    "status": "ok" if cls else "broken",
                    "error": entry.error,
                    **_measures(cls),
                }
            )
    if kind is None:
        for point, reason in broken_entry_points.items():
            rows.append(
                {
                    "kind": "entry point",
                    "name": point,
                    "modalities": [],
                    "description": "",
                    "file": "",
                    "status": "broken",
                    "error": reason,
                }
            )
    return rows


def _measures(cls: type[Plugin] | None) -> dict[str, Any]:
    """Return what an evaluation says of its metrics; nothing for other kinds."""
    if cls is None or not issubclass(cls, Evaluation):
        return {}
    metrics = [
        {
            "metric": name,
            "measures": metric.measures,
            "better": metric.direction,
            "cost": metric.cost,
            "random": "seeded" if metric.seeded else "deterministic",
            "inputs": sorted(metric.modalities & cls.modalities),
        }
        for name, metric in cls.metrics.items()
    ]
    refused = [
        {"metric": name, "inputs": [modality], "reason": reason}
        for name, reasons in cls.refused.items()
        for modality, reason in reasons.items()
    ]
    return {"metrics": metrics, "refused": _joined(refused)}


def _joined(refused: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row for the modalities that one reason holds for."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in refused:
        known = found.setdefault((row["metric"], row["reason"]), row | {"inputs": []})
        known["inputs"] += row["inputs"]
    return list(found.values())


WIDE = 110
"""Columns of a terminal that a table of metrics needs."""


def print_measures(row: dict[str, Any], console: Console) -> None:
    """Print what is to be known of an evaluation's metrics, and what it refuses to measure."""
    known = {
        "metric": [each["metric"] for each in row["metrics"]],
        "measures": [each["measures"] for each in row["metrics"]],
        "better": [each["better"] for each in row["metrics"]],
        "cost a sample": [each["cost"] for each in row["metrics"]],
        "random": [each["random"] for each in row["metrics"]],
        "inputs": [", ".join(each["inputs"]) for each in row["metrics"]],
    }
    refused = {
        "not offered": [each["metric"] for each in row["refused"]],
        "inputs": [", ".join(each["inputs"]) for each in row["refused"]],
        "because": [each["reason"] for each in row["refused"]],
    }
    for number, columns in enumerate((known, refused)):
        lines = list(zip(*columns.values(), strict=True))
        if lines and number:
            console.print()
        if lines and console.width >= WIDE:
            table = Table(*columns, box=None, pad_edge=False)
            for line in lines:
                table.add_row(*map(escape, line))
            console.print(table)
            continue
        for name, *rest in lines:
            console.print(f"[bold]{escape(name)}[/]")
            for title, text in zip(list(columns)[1:], rest, strict=True):
                console.print(f"  {title}: {escape(text)}")


def print_listing(rows: list[dict[str, Any]], console: Console) -> None:
    """Print a table a kind, then the tracebacks of what is broken."""
    for kind in dict.fromkeys(row["kind"] for row in rows):
        table = Table(
            title=kind, title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        for column in ("name", "inputs", "what it is"):
            table.add_column(column, overflow="fold")
        for row in rows:
            if row["kind"] != kind:
                continue
            broken = row["status"] == "broken"
            what = "[red]broken[/], see below" if broken else escape(row["description"])
            table.add_row(escape(row["name"]), ", ".join(row["modalities"]), what)
        console.print(table)
        console.print()
        if {row["kind"] for row in rows} == {"evaluations"}:  # asked for alone: tell everything
            for row in rows:
                if row.get("metrics"):
                    console.print(f"[bold]{escape(row['name'])}[/]")
                    print_measures(row, console)
                    console.print()
    for row in rows:
        if row["status"] == "broken":
            console.print(f"[red]broken[/] {escape(row['name'])} ({escape(row['file'])})")
            console.print(row["error"].rstrip(), markup=False)


def _type_name(annotation: Any) -> str:
    """Return an annotation as a reader would write it, with its bounds."""
    if typing.get_origin(annotation) is typing.Annotated:
        base, *notes = typing.get_args(annotation)
        bounds = [
            f"{sign} {getattr(part, attribute)}"
            for note in notes
            for part in getattr(note, "metadata", [])
            for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
            if hasattr(part, attribute)
        ]
        return " ".join([_type_name(base), *bounds])
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(str(value) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join(map(_type_name, typing.get_args(annotation)))
    if typing.get_origin(annotation) is tuple:
        first = typing.get_args(annotation)[0]
        return f"list of {_type_name(first)}"
    if annotation is type(None):
        return "null"
    return (
        annotation.__name__
        if isinstance(annotation, type) and not typing.get_args(annotation)
        else str(annotation)
    )


def details(name: str) -> list[dict[str, Any]]:
    """Return all that is known of the plugins of a name: one, or one of several kinds.

    Raises
    ------
    UserError
        No plugin has that name.
    """
    kinds = {kind: [entry.name for entry in registry.entries(kind)] for kind in registry.KINDS}
    found = [_details(kind, name) for kind, names in kinds.items() if name in names]
    if not found:
        raise UserError(
            f"no plugin is called {name!r}; {suggest(name, set().union(*kinds.values()))}"
        )
    return found


def _details(kind: str, name: str) -> dict[str, Any]:
    entry = registry.find(kind, name)
    found: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "file": str(entry.file),
        "error": entry.error,
    }
    if entry.cls is None:
        return found
    parameters = [
        {
            "name": parameter.name,
            "type": _type_name(parameter.annotation),
            "default": "required" if parameter.required else parameter.default,
            "help": parameter.help,
        }
        for parameter in parameters_of(entry.cls).values()
    ]
    return found | {
        "description": inspect.getdoc(entry.cls) or "",
        "modalities": sorted(entry.cls.modalities),
        "parameters": parameters,
        "presets": {preset: dict(values) for preset, values in entry.cls.presets.items()},
        **_measures(entry.cls),
    }


def print_details(found: dict[str, Any], console: Console) -> None:
    """Print what `details` returns."""
    console.print(f"[bold]{escape(found['name'])}[/] ({found['kind']})")
    console.print(found["file"], markup=False)
    if found["error"]:
        console.print(found["error"], markup=False)
        return
    console.print()
    console.print(found["description"], markup=False)
    console.print(f"\ninputs: {', '.join(found['modalities'])}")
    if found["parameters"]:
        table = Table("parameter", "type", "default", "what it is", box=None, pad_edge=False)
        for row in found["parameters"]:
            cells = (row["name"], row["type"], str(row["default"]), row["help"])
            table.add_row(*map(escape, cells))
        console.print()
        console.print(table)
    for preset, values in found["presets"].items():
        text = ", ".join(f"{key}={value}" for key, value in values.items())
        console.print(f"preset {preset}: {text or 'the defaults'}", markup=False)
    if "metrics" in found:
        console.print()
        print_measures(found, console)
