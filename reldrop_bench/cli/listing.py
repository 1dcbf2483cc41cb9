"""What `list` and `show` tell of plugins."""

import inspect
import itertools
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reldrop_bench.cli.listing_cache import only_built_in, with_cache
from reldrop_bench.plugins import broken_entry_points, registry, shipped_specs
from reldrop_bench.plugins.base import Plugin, docstrings_of, parameters_of

ALIASES = {"relevance": "attributors"}
"""Other names of kinds, such as the key of a spec."""
SPECS = "specs"
WIDE = 110
"""Columns of a terminal that a table of metrics needs."""


def listing(kind: str | None = None) -> list[dict[str, Any]]:
    """Return one row a plugin: kind, name, modalities, description, file, status, error.

    The rows of evaluations also hold `metrics` and what is `refused`. The specs that `run` knows by
    name are the kind "specs".

    Raises
    ------
    UserError
        An unknown kind.
    """
    if kind == SPECS:
        return _spec_rows()
    name = None if kind is None else ALIASES.get(kind, kind)
    if name is not None and name not in registry.KINDS:
        registry.entries(name)  # says so
    if only_built_in():  # all kinds, which are kept together
        rows = [row for row in with_cache(_rows) if name in (None, row["kind"])]
    else:
        rows = _rows(registry.KINDS if name is None else [name])
    if kind is None:
        rows += _spec_rows()
        rows += [
            _broken("entry point", point, "", reason)
            for point, reason in broken_entry_points.items()
        ]
    return rows


def _spec_rows() -> list[dict[str, Any]]:
    """Return a row a shipped spec, described by the first sentence of the comment that it begins with."""
    rows = []
    for name, path in shipped_specs().items():
        lines = itertools.takewhile(lambda line: line.startswith("#"), path.open(encoding="utf-8"))
        text = " ".join(line.strip("# \n") for line in lines)
        first = re.split(r"(?<=[.?:])\s", text, maxsplit=1)[0].rstrip(":")
        row = _broken(SPECS, name, str(path), "")
        rows.append(row | {"description": first, "status": "ok"})
    return rows


def _rows(kinds: Iterable[str] = registry.KINDS) -> list[dict[str, Any]]:
    return [_row(entry) for kind in kinds for entry in registry.entries(kind)]


def _broken(kind: str, name: str, file: str, error: str) -> dict[str, Any]:
    facts = {"kind": kind, "name": name, "modalities": [], "description": "", "file": file}
    return facts | {"status": "broken", "error": error}


def _row(entry: registry.Entry) -> dict[str, Any]:
    row, cls = _broken(entry.kind, entry.name, str(entry.file), entry.error), entry.cls
    if cls is None:
        return row
    modalities = sorted(cls.modalities) if registry.KINDS[entry.kind].has_inputs else []
    row |= {"modalities": modalities, "description": cls.description(), "status": "ok"}
    return row | _measures(cls) if entry.kind == "evaluations" else row


def _measures(cls: Any) -> dict[str, Any]:
    """Return what an evaluation says of its metrics, and what it refuses to measure."""
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
    refused = []
    for name, reasons in cls.refused.items():
        for reason in dict.fromkeys(reasons.values()):
            inputs = [modality for modality in reasons if reasons[modality] == reason]
            refused.append({"metric": name, "inputs": inputs, "reason": reason})
    return {"metrics": metrics, "refused": refused}


def details(name: str) -> list[dict[str, Any]]:
    """Return all that is known of the plugins of a name: one, or one of several kinds.

    Raises
    ------
    UserError
        No plugin has that name.
    """
    return [_row(entry) | _parameters(entry.cls) for entry in registry.find_all(name)]


def _parameters(cls: type[Plugin] | None) -> dict[str, Any]:
    if cls is None:
        return {}
    texts = docstrings_of(cls)
    parameters = [
        {
            "name": name,
            "type": _type_name(parameter.annotation),
            "default": "required" if parameter.required else parameter.default,
            "help": texts.get(name, ""),
        }
        for name, parameter in parameters_of(cls).items()
    ]
    presets = {preset: dict(values) for preset, values in cls.presets.items()}
    whole = inspect.getdoc(cls) or ""
    return {"description": whole, "parameters": parameters, "presets": presets}


def _type_name(annotation: Any) -> str:
    """Return an annotation as a reader would write it, with its bounds."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        bounds = [
            f"{sign} {getattr(part, attribute)}"
            for note in inner[1:]
            for part in getattr(note, "metadata", [])
            for attribute, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<"))
            if hasattr(part, attribute)
        ]
        return " ".join([_type_name(inner[0]), *bounds])
    if origin is typing.Literal:
        return " | ".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_type_name, inner))
    if origin is tuple:
        return f"list of {_type_name(inner[0])}"
    if annotation is type(None):
        return "null"
    return annotation.__name__ if isinstance(annotation, type) and not inner else str(annotation)


def print_listing(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print a table a kind, then the tracebacks of what is broken."""
    kinds = dict.fromkeys(row["kind"] for row in rows)
    for kind in kinds:
        here = [row for row in rows if row["kind"] == kind]
        columns = {"name": "name", "modalities": "inputs", "description": "what it is"}
        if not any(row["modalities"] for row in here):
            del columns["modalities"]
        console.print(f"[bold]{kind}[/]")
        console.print(_table(columns, here), soft_wrap=False)
        console.print()
    if list(kinds) == ["evaluations"]:  # asked for alone: tell everything
        for row in rows:
            if row.get("metrics"):
                console.print(f"[bold]{escape(row['name'])}[/]")
                _print_measures(row, console)
                console.print()
    for row in rows:
        if row["status"] == "broken":
            console.print(f"[red]broken[/] {escape(row['name'])} ({escape(row['file'])})")
            console.print(row["error"].rstrip(), markup=False)


def print_details(found: Mapping[str, Any], console: Console) -> None:
    """Print what `details` returns of one plugin."""
    console.print(f"[bold]{escape(found['name'])}[/] ({found['kind']})")
    console.print(found["file"], markup=False)
    if found["error"]:
        console.print(found["error"], markup=False)
        return
    console.print()
    console.print(found["description"], markup=False)
    if found["modalities"]:
        console.print(f"\ninputs: {', '.join(found['modalities'])}")
    if found["parameters"]:
        columns = {"name": "parameter", "type": "type", "default": "default", "help": "what it is"}
        console.print()
        console.print(_table(columns, found["parameters"]), soft_wrap=False)
    for preset, values in found["presets"].items():
        text = ", ".join(f"{key}={value}" for key, value in values.items())
        console.print(f"preset {preset}: {text or 'the defaults'}", markup=False)
    if "metrics" in found:
        console.print()
        _print_measures(found, console)


def _print_measures(row: Mapping[str, Any], console: Console) -> None:
    """Print what is to be known of an evaluation's metrics, and what it refuses to measure."""
    metrics = {"metric": "metric", "measures": "measures", "better": "better"}
    metrics |= {"cost": "cost a sample", "random": "random", "inputs": "inputs"}
    refused = {"metric": "not offered", "inputs": "inputs", "reason": "because"}
    for columns, lines in ((metrics, row["metrics"]), (refused, row["refused"])):
        if lines and columns is refused:
            console.print()
        if lines and console.width >= WIDE:
            console.print(_table(columns, lines), soft_wrap=False)
            continue
        for line in lines:
            console.print(f"[bold]{escape(line['metric'])}[/]")
            for key, title in list(columns.items())[1:]:
                console.print(f"  {title}: {_shown(line[key])}")


def _table(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of some keys of the rows under their titles."""
    table = Table(box=None, pad_edge=False)
    for title in columns.values():
        table.add_column(title, overflow="fold")
    for row in rows:
        broken = row.get("status") == "broken"
        told = {**row, "description": "broken, see below"} if broken else row
        table.add_row(*(_shown(told[key]) for key in columns), style="red" if broken else None)
    return table


def _shown(value: Any) -> str:
    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))
