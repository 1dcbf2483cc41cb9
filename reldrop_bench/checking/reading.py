"""Which files code reads, and whether a task names those that it reads."""

import functools
import os
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from reldrop_bench.kinds.content import DataFiles
from reldrop_bench.statistics.wording import counted

CACHES = frozenset({".safetensors"})
"""Endings of what a task may keep beside the data: it is made from them."""

_listening: list[set[str]] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _listening:
        return
    path, mode, *_ = arguments
    if isinstance(path, str | bytes | os.PathLike) and isinstance(mode, str) and mode[:1] == "r":
        for names in _listening:
            names.add(os.fsdecode(path))


@functools.cache
def _listen() -> None:
    sys.addaudithook(_note)  # for as long as the process lives: Python has no way back


@contextmanager
def reading(root: Path) -> Iterator[set[Path]]:
    """Give a set that holds, behind the block, every file below `root` that Python has opened to read."""
    _listen()
    names, files = set[str](), set[Path]()
    _listening.append(names)
    try:
        yield files
    finally:
        _listening.remove(names)
        whole = (Path(name).resolve() for name in names)
        files.update(path for path in whole if path.is_relative_to(root.resolve()))


def fault_of(files: DataFiles, again: DataFiles | None, read: Set[Path]) -> str:
    """Say what is wrong with the files that a task names, twice, when it has read some; "" if nothing."""
    if not files.names:
        return "data_files names no file; return None where it reads none"
    if again != files or len(set(files.names)) < len(files.names):
        return "data_files names other files the second time, or one of them twice"
    far = [name for name in files.names if PurePath(name).is_absolute() or ".." in Path(name).parts]
    if far:
        return (
            f"data_files names {far[0]!r}: names are below its folder, so that data are the same "
            "wherever that lies"
        )
    named = {(files.folder / name).resolve() for name in files.names}
    missing = sorted(str(path) for path in named if not path.is_file())
    if missing:
        return f"data_files names {missing[0]}, which is no file"
    unnamed = sorted(str(path) for path in read - named if path.suffix not in CACHES)
    if unnamed:
        return f"it reads {counted(len(unnamed), 'file')} that data_files does not name, such as {unnamed[0]}"
    return ""
