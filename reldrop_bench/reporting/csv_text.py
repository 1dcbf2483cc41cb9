"""CSV that a spreadsheet reads as text and numbers, and never as a formula.

A text that begins with =, +, -, @, a tab or a line break (or a full-width form of these) gets an
apostrophe in front, as OWASP advises ("CSV Injection", owasp.org/www-community/attacks/CSV_Injection).
Numbers, and numbers with their interval, stay as they are.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
"""How a text begins that gets an apostrophe; one that already has some gets another, so that each
can be taken off again."""
_N = r"(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|inf)"
NUMBERS = re.compile(
    rf"[+-]?{_N}(?: ± {_N})?(?: \[[+-]?{_N}, [+-]?{_N}\]| \[no interval\])?(?: \(n=\d+/\d+\))?"
)
"""A number as it is, or as tables compose it: "+0.031 [-0.010, +0.072] (n=2/3)"."""


def defused(value: Any) -> Any:
    """Return a cell's value with an apostrophe in front where it would be a formula."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBERS.fullmatch(value):
        return f"'{value}"
    return value


def restored(value: Any) -> Any:
    """Return what `defused` was given."""
    if isinstance(value, str) and value[:1] == "'" and FORMULA.match(value):
        return value[1:]
    return value


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV, names of columns included; the index is left out."""
    return _each(frame, defused).to_csv(index=False, lineterminator="\n")


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Return a table that `csv_text` wrote, its texts as they were; options: of pandas.read_csv."""
    return _each(pd.read_csv(path, **options), restored)


def _each(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    """Return the table with every text and every column's name changed; the rest stays as it is."""
    changed = frame.copy(deep=False)
    for place, (_, column) in enumerate(frame.items()):
        if pd.api.types.is_numeric_dtype(column.dtype):  # booleans are, too
            continue
        values = [change(value) for value in column]
        if any(new is not old for new, old in zip(values, column, strict=True)):
            changed.isetitem(place, values)
    changed.columns = pd.Index([change(name) for name in frame.columns])
    return changed
