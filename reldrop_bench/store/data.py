"""What the cells of a folder were computed on: what a reader has to know where that is not one thing."""

from collections import Counter
from collections.abc import Mapping, Sequence

from reldrop_bench.matrix.components import DataIdentity
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.benchmarks import MatrixEntry
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import CellRecord

Cells = Sequence[tuple[MatrixEntry, CellRecord | None]]
"""The matrix, with the record of each cell that has one."""


def data_remarks(cells: Cells, store: Store) -> tuple[str, ...]:
    """Return a line for every task of a matrix whose files were not the same all the time."""
    by_task: dict[str, list[CellRecord]] = {}
    for entry, record in cells:
        if record is not None and record.components.data is not None:
            by_task.setdefault(entry.task, []).append(record)
    missing = {entry.task for entry, record in cells if record is None or record.status != "done"}
    remarks = []
    for task, records in by_task.items():
        counts = Counter(_named(record.components.data) for record in records)
        if len(counts) > 1:
            told = "; ".join(f"{number} on {data}" for data, number in counts.items())
            remarks.append(
                f"Cells of {task} were computed on different data: {told}. Differences between them "
                "may come from that; run the spec again, which computes them on what lies there now."
            )
        if task in missing and (others := _elsewhere(records, cells, store)):
            told = "; ".join(f"{number} on {data}" for data, number in others.items())
            remarks.append(
                f"The data of {task} changed: cells that are in this folder and were computed before "
                f"({told}) are not counted, those of {next(iter(counts))} are."
            )
    return tuple(remarks)


def _named(data: DataIdentity | None) -> str:
    return (
        "files that were not noted"
        if data is None
        else f"{counted(data.files, 'file')} ({data.content})"
    )


def _elsewhere(records: Sequence[CellRecord], cells: Cells, store: Store) -> Mapping[str, int]:
    """Count the trained cells beside the matrix that are of the same task and of other data."""
    listed = {entry.key for entry, _ in cells}
    task = records[0].components.task
    here = [record.components.data for record in records]
    return Counter(
        _named(parts.data)
        for record in store.records()
        if record.trained and record.key not in listed
        for parts in (record.components,)
        if (parts.task.name, parts.task.parameters) == (task.name, task.parameters)
        and parts.data not in here
    )
