"""Records as JSON files: what a stranger has broken is one line, what is written can be read again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import pydantic_core

from reldrop_bench.errors import one_line
from reldrop_bench.files import write_atomically
from reldrop_bench.matrix.components import SCHEMA, Stored
from reldrop_bench.store.benchmarks import BenchmarkRecord
from reldrop_bench.store.records import CellRecord, Heartbeat

R = TypeVar("R", bound=Stored)


class NewerSchemaError(ValueError):
    """A newer version of this package wrote it."""


def read_record(path: Path, kind: type[R]) -> R | None:
    """Return the record in a file, or None where there is none.

    Raises
    ------
    NewerSchemaError
        A newer version of this package wrote it.
    ValueError
        It is no JSON, or not such a record. Both messages go on behind the file's name.
    """
    try:
        # No NaN, no nesting without end, no text that could not be printed.
        content = pydantic_core.from_json(path.read_bytes(), allow_inf_nan=False)
        _refuse_newer(content)
        return kind.model_validate(content)
    except FileNotFoundError:
        return None
    except NewerSchemaError:
        raise
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({_fault(error)})") from None


def _refuse_newer(content: Any) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchemaError(
            f"has schema {one_line(schema, 40)}, this version reads up to {SCHEMA}; "
            "install the newer reldrop-bench"
        )


def _fault(error: Exception) -> str:
    """Say in one line what is wrong with a file."""
    if isinstance(error, OSError):
        return one_line(error.strerror)
    if not isinstance(error, pydantic.ValidationError):
        return one_line(error)
    first = error.errors(include_url=False)[0]
    where = one_line(".".join(map(str, first["loc"])), 80)
    what = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":  # the input is all that is there
        return f"{where} is missing"
    if not where and first["type"] == "value_error":  # of parts that do not go together
        return one_line(what)
    where = where or "its content"
    return one_line(f"{where} = {one_line(repr(first['input']), 80)}: {what}")


def write_record(path: Path, record: Stored, durable: bool = True) -> None:
    """Write a record such that any reader can read it.

    Raises
    ------
    ValueError
        It holds a number that is none.
    """
    text = json.dumps(record.plain(), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text.encode("utf-8", "replace"), durable)


DOCUMENTS: Mapping[str, type[Stored]] = {
    "benchmark": BenchmarkRecord,
    "cell": CellRecord,
    "running": Heartbeat,
}
"""The kinds of JSON files: benchmark.json, cells/KEY/cell.json and running/KEY.json."""


def json_schema(document: str) -> dict[str, Any]:
    """Return the JSON schema of one of `DOCUMENTS`."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | DOCUMENTS[document].model_json_schema()
