"""How a value is written, in whatever format."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from reldrop_bench.errors import printable
from reldrop_bench.kinds.section import Table

ROWS = 400
"""Rows of a table that a page or document shows; its CSV has all."""


def left_out(table: Table) -> str:
    """Say which rows are not shown; "" where all are."""
    count = len(table.frame)
    if count <= ROWS:
        return ""
    return f"The first {ROWS} of {count:,} rows; all are in tables/{table.name}.csv."


def headed(text: str) -> tuple[str, str]:
    """Split a headline "Test accuracy: …" into what it is about, with the colon, and the rest."""
    about, _, rest = text.partition(": ")
    return (f"{about}:", rest) if rest and len(about) < 70 else ("", text)


def texts_of(value: Any) -> list[str]:
    """Return the one-line texts of a cell's list; a hole is an empty list."""
    if isinstance(value, str):
        return [value] if value else []
    return [str(text) for text in value] if isinstance(value, Iterable) else []


def is_number(value: Any) -> bool:
    """Whether a value is shown as a number (right-aligned)."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def text_of(table: Table, column: str, value: Any) -> str:
    """Write a value with the column's format; a hole is a dash."""
    if value is None or (is_number(value) and math.isnan(value)):
        return "–"
    template = (table.formats or {}).get(column)
    if template is not None and is_number(value):
        return template.format(value).replace("-", "−")
    if is_number(value) and not float(value).is_integer():
        return f"{value:.4g}".replace("-", "−")
    return printable(value)


class Cell(NamedTuple):
    """What is shown of one value."""

    text: str
    is_number: bool
    tone: str
    is_best: bool
    brief: str
    """The text of a paper's table: with a sign in place of its first word, where the table has any."""


def rows_of(table: Table) -> tuple[list[str], list[list[Cell]]]:
    """Return the column names, and the first `ROWS` rows."""
    columns = [printable(column) for column in table.frame.columns]
    tones, best = table.tones or {}, table.best or {}
    rows = []
    for record in table.frame.head(ROWS).itertuples(index=False, name=None):
        by_name = dict(zip(table.frame.columns, record, strict=True))
        key = tuple(str(by_name.get(name)) for name in table.keys)
        cells = []
        for column, value in by_name.items():
            text = text_of(table, column, value)
            facts = (is_number(value), tones.get(text, ""), key in best.get(column, ()))
            cells.append(Cell(text, *facts, _brief(table, text)))
        rows.append(cells)
    return columns, rows


def _brief(table: Table, text: str) -> str:
    """Return "better* +0.031 …" as "+0.031↑* …"."""
    word, _, rest = text.partition(" ")
    plain = word.rstrip("*")
    if not rest or plain not in (table.signs or {}):
        return text
    number, space, interval = rest.replace("\n", " ").partition(" ")
    return f"{number}{(table.signs or {})[plain]}{word[len(plain) :]}{space}{interval}"


def legend_of(table: Table) -> str:
    """Say what the signs of a paper's table stand for; "" where it has none."""
    begun = {
        str(value).partition(" ")[0].rstrip("*")
        for name in table.frame
        for value in table.frame[name]
    }
    signs = {word: sign for word, sign in (table.signs or {}).items() if word in begun}
    told = [f"{sign} {word}" for word, sign in signs.items() if sign]
    silent = [word for word, sign in signs.items() if not sign]
    return ", ".join([*told, *(f"no sign: {word}" for word in silent)]) + "." if signs else ""
