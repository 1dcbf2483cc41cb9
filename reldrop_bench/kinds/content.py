"""What the files of a task hold: hashed once, and again when they have changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from reldrop_bench.errors import one_line
from reldrop_bench.files import cache_folder, write_atomically

REHASH_VARIABLE = "RELDROP_REHASH"
"""Set to anything, it lets nothing of the index count: every file is read again."""
READERS = 8
SLOW = 2.0
"""Seconds of reading after which it is told what is being done."""
RECENT = 2.0
"""Seconds within which a file may change twice and show the same times."""


@dataclass(frozen=True)
class DataFiles:
    """Files of the user's that a task reads.

    folder: where they lie, which is of no importance to what they are. names: of each, below it, as
    ``train/cat/1.png``.
    """

    folder: Path
    names: tuple[str, ...]

    def only(self, names: Iterable[str]) -> DataFiles:
        """Return some of the files."""
        return DataFiles(self.folder, tuple(names))


class Content(NamedTuple):
    """What files hold, wherever they lie."""

    files: int
    """How many there are."""
    bytes: int
    """Their size, all together."""
    digest: str
    """Hash of their names and of what each holds."""


class _State(NamedTuple):
    """What shows that a file has not been written to: size, and times in nanoseconds."""

    size: int
    modified: int
    changed: int


_Index = dict[str, tuple[_State, str]]
"""By name, the state of a file when it was read, and the hash of what it held."""
_reread: dict[Path, _Index] = {}
"""By its index, what this process has read of a folder where nothing of the index was to count."""


def content_of(files: DataFiles) -> Content:
    """Return what files hold. Those whose size and times are as in the index are not read.

    The index lies in the user's cache folder; without one that can be written to, all is read each time.
    Reading that takes long is told on stderr.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    """
    index_file = _index_file(files.folder)
    again = bool(os.environ.get(REHASH_VARIABLE))
    known = _reread.setdefault(index_file, {}) if again else _read_index(index_file)
    folder = os.fspath(files.folder)
    states = {name: _state(os.path.join(folder, name)) for name in files.names}
    hashes = {
        name: known[name][1]
        for name, state in states.items()
        if name in known and known[name][0] == state
    }
    unread = [name for name in files.names if name not in hashes]
    began = time.time_ns()
    found: _Index = {}
    telling = threading.Timer(SLOW, _tell, (files.folder, len(unread)))
    telling.daemon = True
    if unread:
        telling.start()
    try:
        with ThreadPoolExecutor(READERS) as pool:
            read = pool.map(lambda name: _hash(files.folder / name), unread)
            for name, digest in zip(unread, read, strict=True):
                hashes[name] = digest
                if not _is_recent(states[name], began):
                    found[name] = (states[name], digest)
    finally:  # what an interrupted call has read counts
        telling.cancel()
        if again:
            known.update(found)
        if found:
            _write_index(index_file, {**_read_index(index_file), **found})
    whole = hashlib.sha256()
    for name in sorted(hashes):
        whole.update(f"{name}\0{hashes[name]}\n".encode("utf-8", "surrogateescape"))
    total = sum(state.size for state in states.values())
    return Content(len(states), total, whole.hexdigest()[:20])


def _state(path: str) -> _State:
    state = os.stat(path)
    return _State(state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def _is_recent(state: _State, now: int) -> bool:
    """Return whether a file may have been written to within the same tick of the clock."""
    return any(abs(now - then) < RECENT * 1e9 for then in (state.modified, state.changed))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tell(folder: Path, files: int) -> None:
    sys.stderr.write(
        f"reading {files} files of {one_line(folder, 200)} to know when they change; what is read once is "
        "not read again\n"
    )


def _index_file(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return cache_folder() / "contents" / f"{name}.json"


_SHA256 = re.compile("[0-9a-f]{64}")


def _read_index(file: Path) -> _Index:
    try:
        content = json.loads(file.read_bytes())
        return {
            name: (_State(*map(int, state)), _SHA256.fullmatch(digest)[0])  # type: ignore[index]
            for name, (state, digest) in content.items()
        }
    except (OSError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # none yet, or a damaged one


def _write_index(file: Path, index: Mapping[str, tuple[_State, str]]) -> None:
    with suppress(OSError):  # a home that cannot be written to: the next call takes as long
        write_atomically(file, json.dumps(index).encode(), durable=False)
