"""Data sets that the user has put into the folder of `--data` or RELDROP_DATA."""

from pathlib import Path

from reldrop_bench import UserError


def local_folder(name: str, root: Path | None, folder: str, advice: str) -> Path:
    """Return ``root/folder``, which must exist; `advice` says how to get the data.

    Raises
    ------
    UserError
        No root was given, or there is no such folder below it.
    """
    if root is None:
        raise UserError(
            f"{name}: no data folder; pass --data DIR or set RELDROP_DATA, "
            f"with the data in DIR/{folder} ({advice})"
        )
    path = Path(root) / folder
    if not path.is_dir():
        raise UserError(f"{name}: {path.absolute()} is missing; {advice}")
    return path
