"""What `list` tells of built-in plugins, kept between calls: to import all of them takes seconds."""

import hashlib
import json
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from reldrop_bench import plugins
from reldrop_bench.files import cache_folder, write_atomically
from reldrop_bench.plugins.registry import KINDS, PACKAGE

Rows = list[dict[str, Any]]
KEYS = {"kind", "name", "modalities", "description", "file", "status", "error"}
"""What a row has at least."""


def only_built_in() -> bool:
    """Return whether there are no other plugin folders: these are worked on, and may import anything."""
    folders = {str(Path(plugins.__file__).parent.resolve()), str(plugins.builtin_folder())}
    return folders.issuperset(plugins.__path__)


def with_cache(rows: Callable[[], Rows]) -> Rows:
    """Return `rows()`, or what it returned when all that it depends on was as it is now.

    Nothing is kept where a plugin is broken: the reason may lie anywhere.
    """
    file = cache_folder() / f"list-{_stamp()}.json"
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        kept = None
    if _are_rows(kept):
        return kept
    listed = rows()
    if _are_rows(listed) and all(row["status"] == "ok" for row in listed):
        try:
            write_atomically(file, json.dumps(listed).encode(), durable=False)
            for older in set(file.parent.glob("list-*.json")) - {file}:
                older.unlink(missing_ok=True)
        except OSError:
            pass  # a home that cannot be written to: the next call takes as long
    return listed


def _are_rows(kept: Any) -> TypeGuard[Rows]:
    """Return whether there are rows, and all that is told of a plugin is in each."""
    return (
        isinstance(kept, list)
        and bool(kept)
        and all(isinstance(row, dict) and row.keys() >= KEYS for row in kept)
    )


def _stamp() -> str:
    """Return a digest of whatever decides the rows: Python, what is installed, and our own files."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (Path(sysconfig.get_path("purelib")), *sorted(_files())):
        state = path.stat()
        digest.update(f"{path}\0{state.st_mtime_ns}\0{state.st_size}\n".encode())
    return digest.hexdigest()[:16]


def _files() -> Iterator[Path]:
    yield from PACKAGE.rglob("*.py")
    for kind in KINDS.values():
        yield from (plugins.builtin_folder() / kind.folder).rglob("*.py")
