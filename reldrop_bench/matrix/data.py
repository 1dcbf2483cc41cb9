"""What the files of a task hold: a part of what decides its cells' results."""

from pathlib import Path

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.content import content_of
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.components import DataIdentity
from reldrop_bench.matrix.entries import ResolvedPlugin


def data_of(task: ResolvedPlugin, root: Path | None) -> DataIdentity | None:
    """Return what the files hold that a task reads below `root`; None where it makes its own data.

    Raises
    ------
    UserError
        They are not there, or cannot be read.
    """
    plugin: Task = task.plugin
    files = plugin.data_files(root)
    if files is None:
        return None
    try:
        return DataIdentity.of(content_of(files))
    except OSError as error:
        raise UserError(
            f"{task.label}: {error.filename} cannot be read ({one_line(error.strerror)})"
        ) from None


def unknown_data(task: ResolvedPlugin) -> DataIdentity | None:
    """Return None: where keys do not matter, the files need not be there."""
    return None
