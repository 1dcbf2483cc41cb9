"""What a record says is done, what is left to do, and what two of them differ in."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.records import CellRecord


def is_trained(record: CellRecord | None) -> bool:
    """Return whether a cell's model can be had from its record."""
    return record is not None and record.is_trained


def pending_evaluations(
    cell: CellSpec, record: CellRecord | None, available: Callable[[str], bool]
) -> list[ResolvedPlugin]:
    """Return the evaluations of a cell that are to be done.

    Those that its record lacks, has under another key or has failed; and those that lacked the
    model of another cell which is `available`, by key, by now.
    """
    done = {} if record is None else record.done

    def is_done(evaluation: ResolvedPlugin) -> bool:
        outcome = done.get(evaluation.name)
        if outcome is None or outcome.key != cell.evaluation_key(evaluation):
            return False
        lacking = (cell.companions[role] for role in outcome.lacking if role in cell.companions)
        return not any(available(other.key) for other in lacking)

    return [evaluation for evaluation in cell.evaluations if not is_done(evaluation)]


def is_complete(
    cell: CellSpec, record: CellRecord | None, available: Callable[[str], bool]
) -> bool:
    """Return whether nothing is left to do for a cell; `available` as in `pending_evaluations`."""
    done = record is not None and record.status == "done"
    return done and not pending_evaluations(cell, record, available)


def data_change(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """Say what differs between two identities of data: what is unknown is no change."""
    if old is None or new is None:
        return "what the files of the data hold counts, and was not noted before"
    files = f"{old['files']} → {counted(new['files'], 'file')}, "
    counts = files if old["files"] != new["files"] else ""
    return f"the data changed ({counts}content {old['content']} → {new['content']})"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Say what differs between two pieces of plain data, key by key: "recipe.epochs 2 → 3"."""
    told = []
    for key in dict.fromkeys([*old, *new]):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if here == "data":
            told.append(data_change(before, after))
        elif isinstance(before, dict) and isinstance(after, dict):
            told += differences(before, after, here)
        elif key == "source":
            told.append(f"the source of the {path} changed")
        else:
            told.append(f"{here} {json.dumps(before)} → {json.dumps(after)}")
    return told
