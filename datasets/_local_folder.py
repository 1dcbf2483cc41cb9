"""Data sets that the user has put into the folder of `--data` or RELDROP_DATA."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from reldrop_bench import UserError

LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"}
)
"""Folders that systems leave behind; what begins with a dot is hidden and left out too."""


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


def _counts(name: str) -> bool:
    return not name.startswith(".") and name.casefold() not in LEFT_BEHIND


def list_classes(
    name: str, folder: Path, endings: tuple[str, ...], unread: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return by class, in order, the names of its files below `folder`, at any depth.

    Each folder is a class. endings: of files that count, in small letters. unread: of those that would
    be lost in silence; other files are left out. Sorted by folder, then by name.

    Raises
    ------
    UserError
        No class, one without a file that counts, or a file with an ending of `unread`.
    """
    with os.scandir(folder) as entries:
        labels = sorted(entry.name for entry in entries if entry.is_dir() and _counts(entry.name))
    classes = {label: _files(name, folder, label, endings, unread) for label in labels}
    empty = [label for label, names in classes.items() if not names]
    if empty or not classes:
        what = f"no file of the class {', '.join(empty[:5])}" if empty else "no folder of a class"
        raise UserError(
            f"{name}: {folder.absolute()} holds {what}; each class is a folder that holds at least "
            f"one file of these: {' '.join(endings)}"
        )
    return classes


def _files(
    name: str, folder: Path, label: str, endings: tuple[str, ...], unread: tuple[str, ...]
) -> list[str]:
    found, seen = [], set()
    for place, folders, files in os.walk(folder / label, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            raise UserError(
                f"{name}: {place} is a link to a folder that was read already, so that its files would count "
                "twice; remove the link"
            )
        seen.add(real)
        folders[:] = filter(_counts, folders)
        there = sorted(filter(_counts, files))
        if other := [file for file in there if file.lower().endswith(unread)]:
            raise UserError(
                f"{name}: {Path(place, other[0])} is of a kind that is not read; convert it (to one of "
                f"{' '.join(endings)}), or move it away"
            )
        if odd := [file for file in there if not Path(place, file).is_file()]:
            raise UserError(f"{name}: {Path(place, odd[0])} is no file that can be read; remove it")
        found.append((place, [file for file in there if file.lower().endswith(endings)]))
    found = [(Path(place).relative_to(folder).as_posix(), files) for place, files in sorted(found)]
    return [f"{place}/{file}" for place, files in found for file in files]


def same_classes(name: str, train: Iterable[str], test: Iterable[str]) -> None:
    """Raise UserError where the training and the test data of task `name` have other classes."""
    different = sorted(set(train) ^ set(test))
    if different:
        raise UserError(
            f"{name}: training and test data must have the same classes; only one of them has "
            f"{', '.join(different[:5])}"
        )
