"""Files that are complete or absent, whatever ends the process that writes them."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "RELDROP_CACHE"
"""Names the folder for what is kept between runs and may be deleted, where it is not the user's own."""


def cache_folder() -> Path:
    """Return the folder for what is kept between runs and may be deleted; it may not exist yet."""
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder) if folder else user_cache_path("reldrop-bench")


def write_atomically(path: Path, content: bytes, durable: bool = True) -> str:
    """Write to a temporary name beside `path`, then rename; returns the content's SHA-256.

    The folder is made where it is missing. durable: wait until the disk has the content, so that
    the file survives a loss of power as well.

    Raises
    ------
    OSError
        It cannot be written; it names the file, and nothing of it stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:  # a full disk, or Ctrl-C
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    return hashlib.sha256(content).hexdigest()


def short_file_name(name: str) -> str:
    """Return a name that leaves room for an ending on any file system.

    Raises
    ------
    ValueError
        It has more than 200 bytes.
    """
    if len(name.encode("utf-8", "replace")) > 200:
        raise ValueError("no file system takes a name of more than 200 bytes with an ending")
    return name
