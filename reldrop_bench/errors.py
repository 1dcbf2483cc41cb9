"""Errors that a user can act on: one line that says what, where and what to do next."""

import difflib
import errno
import importlib.util
import re
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Wrong use: the command line prints the message as one line and exits with code 2."""


UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters, which a terminal obeys and XML forbids; those that turn the direction of what
follows; and what no encoding has."""


def printable(text: object) -> str:
    """Return the text with a mark in place of every character that cannot be shown; lines stay lines."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def one_line(text: object, limit: int = 300) -> str:
    """Fold `text` into one line of at most `limit` characters that can be printed."""
    folded = printable(" ".join(str(text).split()))
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


def shortened(text: object, limit: int = 20_000) -> str:
    """Return `text` as it can be printed, without the middle of what is longer than `limit`."""
    whole = printable(text)
    if len(whole) <= limit:
        return whole
    half = limit // 2
    return f"{whole[:half]}\n[… {len(whole) - 2 * half} characters …]\n{whole[-half:]}"


def where(error: BaseException) -> str:
    """Return the file and line that raised an error, such as ``my_drop.py:12``."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def is_full(error: OSError) -> bool:
    """Return whether a disk, or what of it one may use, is full."""
    return error.errno in FULL


def what_next(error: OSError) -> str:
    """Return what to do about a file that cannot be written."""
    return "free some space; the same command goes on" if is_full(error) else "choose another place"


FULL = (errno.ENOSPC, errno.EDQUOT)


def require_library(name: str, extra: str, user: str) -> None:
    """Ask for a library that comes with an extra of this distribution, on behalf of its only user.

    Raises
    ------
    UserError
        It is not installed; the message has the command that installs it.
    """
    if importlib.util.find_spec(name) is None:
        raise UserError(
            f"{user} needs {name}, which is not installed: "
            f"python -m pip install 'reldrop-bench[{extra}]'"
        )


LISTED = 24
"""Names that an error lists at most."""


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Say what `wrong` could have meant: the nearest known names, else all of them.

    Returns a phrase such as ``did you mean 'cutout'?`` to put behind an error.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(wrong, names, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    more = f" … ({len(names)} in all)" if len(names) > LISTED else ""
    return "allowed: " + (", ".join(names[:LISTED]) if names else "none") + more
