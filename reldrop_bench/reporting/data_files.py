"""Everything that was measured, as plain data files for other programs."""

import io
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd

from reldrop_bench.reporting.csv_text import csv_text
from reldrop_bench.results import Results

FRAMES = ("cells", "metrics", "curves", "examples", "samples", "epochs", "notes")


def contents(results: Results, format: Literal["csv", "parquet"]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each file: a table of `Results` each, and the rest as JSON.

    Lists in a column are JSON texts. The same results give the same bytes.
    """
    for name in FRAMES:
        frame = plain(getattr(results, name))
        yield f"{name}.{format}", _csv(frame) if format == "csv" else _parquet(frame)
    facts = {
        key: getattr(results, key)
        for key in vars(results)
        if not isinstance(getattr(results, key), pd.DataFrame)
    }
    text = json.dumps(_json(facts), indent=1, sort_keys=True, ensure_ascii=False)
    yield "benchmark.json", (text + "\n").encode("utf-8", "replace")


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with numbers, booleans and texts only."""
    columns = {
        str(name): column.map(_scalar).infer_objects() if column.dtype == object else column
        for name, column in frame.items()
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return json.dumps(_json(value), ensure_ascii=False)


def _json(value: Any) -> Any:
    """Return a value as JSON knows it: what is no number there is null."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        return _json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _csv(frame: pd.DataFrame) -> bytes:
    return csv_text(frame).encode("utf-8", "replace")


def _parquet(frame: pd.DataFrame) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        str(name): column.map(_text) if _is_mixed(column) else column
        for name, column in frame.items()
    }
    texts = pd.DataFrame(columns)
    # Without the writing library's own notes, which name its version.
    table = pa.Table.from_pandas(texts, preserve_index=False).replace_schema_metadata(None)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _is_mixed(column: pd.Series) -> bool:
    return column.dtype == object and {type(value) for value in column.dropna()} - {str} != set()


def _text(value: Any) -> str | None:
    return None if value is None or value != value else str(value)
