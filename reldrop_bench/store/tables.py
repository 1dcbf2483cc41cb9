"""Many small tables as few large frames: kept as Arrow reads them, put together once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

NAMES = ("table", "split", "metric")
"""Columns of an evaluation's table that hold names: few different ones, over and over."""
WIDE = pa.schema([(name, pa.dictionary(pa.int32(), pa.string())) for name in NAMES]).empty_table()
"""Put before tables with few names each, it leaves room for the names of all."""
ROWS = 1_000_000
"""Rows that are gathered before they are sorted by kind, so that what is not wanted goes early."""

CellNames = Mapping[str, Any]
"""What names a cell: a text or a whole number by column."""


@dataclass
class Gathered:
    """Tables of cells one below another, each row with the identity of its cell."""

    identities: list[CellNames] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)
    _tables: list[pa.Table] = field(default_factory=list)

    def add(self, identity: CellNames, table: pa.Table) -> None:
        """Add a table; one without rows leaves nothing behind."""
        if table.num_rows:
            self.identities.append(identity)
            self._counts.append(table.num_rows)
            self._tables.append(table)

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return all rows in the order of the tables, with these columns.

        Raises
        ------
        KeyError
            No table has one of them.
        """
        if not self._tables:
            return pd.DataFrame(columns=list(columns))
        cells = np.repeat(np.arange(len(self._counts)), self._counts)
        whole = pa.concat_tables(self._tables, promote_options="permissive")
        return _frame(whole, self.identities, cells, columns)


@dataclass
class LongTables:
    """What evaluations wrote, a row a value, by kind: metric, example, curve or sample."""

    kinds: Collection[str]
    """What is kept of it."""
    identities: list[CellNames] = field(default_factory=list)
    with_examples: set[tuple[int, str]] = field(default_factory=set)
    """Place in `identities` and evaluation of what wrote a number an item."""
    _waiting: list[tuple[int, str, pa.Table]] = field(default_factory=list)
    _rows: int = 0
    _parts: dict[str, list[tuple[np.ndarray, pa.Table]]] = field(default_factory=dict)

    def add(self, identity: CellNames, evaluation: str, table: pa.Table) -> None:
        """Add what one evaluation wrote of a cell; columns as in `kinds.record.COLUMNS`."""
        if not table.num_rows:
            return
        for place, name in enumerate(table.column_names):
            if name in NAMES and not pa.types.is_dictionary(table.schema.types[place]):
                table = table.set_column(place, name, table.column(place).dictionary_encode())
        if not self.identities or self.identities[-1] is not identity:
            self.identities.append(identity)
        self._waiting.append((len(self.identities) - 1, evaluation, table))
        self._rows += table.num_rows
        if self._rows >= ROWS:
            self.sort()

    def sort(self) -> None:
        """Take what has been added apart by kind."""
        if not self._waiting:
            return
        cells, evaluations, tables = zip(*self._waiting, strict=True)
        counts = [table.num_rows for table in tables]
        names = list(dict.fromkeys(evaluations))
        rank = {name: place for place, name in enumerate(names)}
        evaluation = pa.DictionaryArray.from_arrays(
            np.repeat(np.array([rank[name] for name in evaluations], dtype=np.int32), counts), names
        )
        whole = pa.concat_tables([WIDE, *tables], promote_options="permissive")
        whole = whole.unify_dictionaries().append_column("evaluation", evaluation)
        cell = np.repeat(np.array(cells, dtype=np.int32), counts)
        kind = _encoded(whole.column("table"))
        present = kind.dictionary.to_pylist()
        codes = kind.indices.to_numpy(zero_copy_only=False)
        if "example" in present:
            own = codes == present.index("example")
            pairs = np.unique([cell[own], evaluation.indices.to_numpy()[own]], axis=1).T.tolist()
            self.with_examples |= {(place, names[code]) for place, code in pairs}
        for name in set(present) & set(self.kinds):
            chosen = codes == present.index(name)
            part = whole.drop_columns(["table"]).filter(pa.array(chosen)).combine_chunks()
            self._parts.setdefault(name, []).append((cell[chosen], part))
        self._waiting, self._rows = [], 0

    def frame(self, kind: str, columns: Sequence[str]) -> pd.DataFrame:
        """Return the rows of a kind in the order in which they were added, with these columns."""
        self.sort()
        parts = self._parts.get(kind)
        if not parts:
            return pd.DataFrame(columns=list(columns))
        whole = pa.concat_tables([part for _, part in parts], promote_options="permissive")
        cells = np.concatenate([cell for cell, _ in parts])
        return _frame(whole, self.identities, cells, columns)


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of names, its dictionaries unified, as one array."""
    found = column.combine_chunks()
    return found.chunk(0) if isinstance(found, pa.ChunkedArray) else found


def _frame(
    table: pa.Table, identities: Sequence[CellNames], cells: np.ndarray, columns: Sequence[str]
) -> pd.DataFrame:
    """Return columns of a table and of what names the cell (row,) of each row."""
    found: dict[str, Any] = {}
    for name in columns:
        if identities and name in identities[0]:
            column = pa.array([identity[name] for identity in identities]).take(pa.array(cells))
        else:
            column = table.column(name)
        if pa.types.is_dictionary(column.type) or pa.types.is_string(column.type):
            column = column.cast(pa.large_string())
        found[name] = column
    return pa.table(found).to_pandas()
