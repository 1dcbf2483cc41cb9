"""How a value is written, in whatever format."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from reldrop_bench.kinds.section import Table
from reldrop_bench.reporting.style import printable

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


def rows_of(table: Table) -> tuple[list[str], list[list[tuple[str, bool, str]]]]:
    """Return the column names, and the first `ROWS` rows as (text, is a number, tone)."""
    columns = [printable(column) for column in table.frame.columns]
    tones = table.tones or {}
    rows = []
    for record in table.frame.head(ROWS).itertuples(index=False, name=None):
        cells = []
        for column, value in zip(table.frame.columns, record, strict=True):
            text = text_of(table, column, value)
            cells.append((text, is_number(value), tones.get(text, "")))
        rows.append(cells)
    return columns, rows
