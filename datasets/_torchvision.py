"""Data sets that torchvision reads from a local folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reldrop_bench import UserError
from reldrop_bench.errors import one_line


def opened(name: str, folder: Path, make: Callable[[], Any]) -> Any:
    """Return the data set of torchvision that `make` opens in `folder`, for task `name`.

    Raises
    ------
    UserError
        A file is missing or damaged, in torchvision's words.
    """
    try:
        return make()
    # A text that is no list, a table without a name: a damaged file may raise almost anything.
    except Exception as error:  # noqa: BLE001
        told = one_line(error, 160).removesuffix(" You can use download=True to download it")
        raise UserError(
            f"{name}: a file in {folder.absolute()} is missing or damaged "
            f"({told or type(error).__name__}); unpack the archive again"
        ) from None
