"""What a cell's code prints, kept in a file of the cell instead of flooding the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 4 * 2**20
"""Bytes that a file of output has at most, but for what is printed within a tenth of a second."""
_CUT = b"\n[what follows is left out: more than %d MiB]\n" % (LIMIT // 2**20)
_STREAMS = (1, 2)


@contextmanager
def kept_in(path: Path) -> Iterator[Callable[[], None]]:
    """Append what this process prints inside to a file, that of libraries in C as well.

    Yields a function to be called now and then, which ends it where the file has grown too large.
    There is no file where nothing was printed.
    """
    _flush()
    try:
        terminal = [os.dup(stream) for stream in _STREAMS]
    except OSError:  # started without any
        yield lambda: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    full = False

    def look() -> None:
        nonlocal full
        if full or os.fstat(file).st_size <= LIMIT:
            return
        full = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        _direct([nowhere, nowhere])
        os.close(nowhere)
        os.write(file, _CUT)

    try:
        _direct([file, file])
        look()
        yield look
    finally:
        _flush()
        look()
        _direct(terminal)
        for descriptor in (file, *terminal):
            os.close(descriptor)
        drop_if_empty(path)


def drop_if_empty(path: Path) -> None:
    """Remove a file of output that says nothing."""
    with suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def _direct(targets: list[int]) -> None:
    for target, stream in zip(targets, _STREAMS, strict=True):
        os.dup2(target, stream)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # whatever a plugin has put there
            stream.flush()
