"""Data sets that come as packages of the system, or lie below the folder of local data."""

from __future__ import annotations

from pathlib import Path

from reldrop_bench import UserError

SHARED = Path("/usr/share")
"""Where packages put data (Filesystem Hierarchy Standard 3.0, section 4.11)."""


def packaged_folder(name: str, root: Path | None, installed: str, package: str) -> Path:
    """Return ``root/name`` where it is there, else the folder `installed` of Debian's `package`.

    Raises
    ------
    UserError
        Neither is there; the message says both ways.
    """
    own = None if root is None else Path(root) / name
    for folder in (own, SHARED / installed):
        if folder is not None and folder.is_dir():
            return folder
    place = f"DATA/{name}" if own is None else str(own.absolute())
    raise UserError(
        f"{name}: its files are not here; install Debian's package {package} (apt-get install {package}), "
        f"or put the files that it has in {installed} into {place} (--data DATA)"
    )
