"""Errors that a user can act on: one line that says what, where and what to do next."""

import difflib
import importlib.util
from collections.abc import Iterable


class UserError(Exception):
    """Wrong use: the command line prints the message as one line and exits with code 2."""


def one_line(text: object, limit: int = 300) -> str:
    """Fold `text` into one line of at most `limit` characters."""
    # A lone surrogate cannot be written to a file or a terminal.
    folded = " ".join(str(text).encode("utf-8", "replace").decode().split())
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


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
