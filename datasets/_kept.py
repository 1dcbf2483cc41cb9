"""Tensors that took long to make, kept in a file whose name covers what they depend on."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from reldrop_bench import DataFiles, UserError
from reldrop_bench.errors import one_line
from reldrop_bench.kinds.content import content_of

Tensors = dict[str, Tensor]


def kept(
    name: str,
    files: DataFiles,
    digest: str,
    folder: Path,
    label: str,
    depends: list[object],
    shapes: Mapping[str, tuple[int, ...]],
    make: Callable[[], Tensors],
) -> Tensors:
    """Return what `make` makes of `files`, from the folder where it was kept, or made and kept now.

    name: of the task, for messages. digest: of what the files hold (`content_of`). label: how the file's
    name begins. depends: what else the tensors depend on, as JSON has it. shapes: of each tensor.

    Raises
    ------
    UserError
        The files changed while they were read; and what `make` raises.
    """
    from filelock import FileLock

    cache = kept_file(files, digest, folder, label, depends)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{cache}.lock"):
            tensors = _read(name, cache, shapes) if cache.exists() else None
            if tensors is None:
                tensors = make()
                if (
                    content_of(files).digest != digest
                ):  # they would be kept under the name of others
                    raise UserError(
                        f"{name}: files of {files.folder} changed while they were read; run again"
                    )
                _write(tensors, cache)
    except OSError as error:
        warnings.warn(
            f"{name}: {cache} cannot be written ({one_line(error, 120)}); "
            "the files are read again each time",
            stacklevel=2,
        )
        return make()
    return tensors


def kept_file(
    files: DataFiles, digest: str, folder: Path, label: str, depends: list[object]
) -> Path:
    """Return where `kept` keeps what it makes."""
    key = hashlib.sha256(json.dumps([*depends, files.names, digest]).encode()).hexdigest()
    return folder / f"{label}-{key[:12]}.safetensors"


def _checksum(tensors: Tensors) -> str:
    content = hashlib.sha256()
    for key in sorted(tensors):
        content.update(tensors[key].numpy().tobytes())
    return content.hexdigest()


def _write(tensors: Tensors, cache: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    unfinished = cache.with_suffix(".tmp")
    try:
        save_file(tensors, unfinished, {"sha256": _checksum(tensors)})
    except SafetensorError as error:  # a full disk
        raise OSError(str(error)) from None
    os.replace(unfinished, cache)


def _read(name: str, cache: Path, shapes: Mapping[str, tuple[int, ...]]) -> Tensors | None:
    """Return what was kept; None, with a note, where it is not as it was written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(cache, "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        if found == shapes and metadata.get("sha256") == _checksum(tensors):
            return tensors
        reason = "its content is not what was written"
    except (OSError, SafetensorError) as error:
        reason = one_line(error, 120)
    warnings.warn(
        f"{name}: {cache} was damaged ({reason}) and is made again from the files", stacklevel=2
    )
    return None
