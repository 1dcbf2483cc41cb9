"""Which regularizers fit which tasks: the others are left out there, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.entries import ResolvedPlugin
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.plugins import registry
from reldrop_bench.results import Unfit

Offers = Callable[[ResolvedPlugin], Set[str] | None]
"""What the data of a task offer ("masks", "cues"); None where they are not looked at."""


def on_purpose(
    spec: BenchmarkSpec, tasks: Sequence[str], labels: Sequence[str]
) -> set[tuple[str, str]]:
    """Return what the spec skips: (task, label).

    Raises
    ------
    UserError
        A name that the spec has not, or the baseline.
    """
    pairs = set()
    for task, left_out in spec.skip.items():
        if task not in tasks:
            raise UserError(f"spec: skip.{task} is no task of the spec; {suggest(task, tasks)}")
        for label in left_out:
            if label not in labels:
                raise UserError(
                    f"spec: skip.{task}: {label!r} is no regularizer of the spec; {suggest(label, labels)}"
                )
            if label == spec.baseline:
                raise UserError(
                    f"spec: skip.{task} leaves out the baseline {label!r}, so that nothing could be "
                    "compared there; leave out the task, or choose another baseline"
                )
            pairs.add((task, label))
    return pairs


def _reason(regularizer: Regularizer, task: Task, offers: Set[str] | None) -> str:
    """Say why a regularizer cannot run on a task; "" when it can."""
    if task.modality not in regularizer.modalities:
        kinds = " and ".join(sorted(regularizer.modalities))
        return f"works on {kinds} inputs, the task has {task.modality} inputs"
    lacking = sorted(regularizer.requires - offers) if offers is not None else []
    return f"needs a task with {' and '.join(lacking)}" if lacking else ""


def unfit(
    regularizers: Sequence[ResolvedPlugin],
    tasks: Sequence[ResolvedPlugin],
    offers: Offers,
    skipped: Set[tuple[str, str]],
    baseline: str,
    strict: bool,
) -> Unfit:
    """Return what does not fit, without what is skipped on purpose (task, label).

    Raises
    ------
    UserError
        The baseline is among it, or what fits no task at all; where `strict`, anything is.
    """
    found: Unfit = {}
    for task in tasks:
        offered = offers(task)
        for each in regularizers:
            if each.error or (task.label, each.label) in skipped:
                continue
            if not (reason := _reason(each.plugin, task.plugin, offered)):
                continue
            registry.find("regularizers", each.name).check_unchanged()  # else what it says is old
            if strict or each.label == baseline:
                advice = f"write 'skip: {{{task.label}: [{each.label}]}}' to leave it out there"
                if each.label == baseline:
                    advice = "choose another baseline, or leave out the task"
                raise UserError(
                    f"regularizer {each.label!r} on task {task.label!r}: it {reason}; {advice}"
                )
            found.setdefault(task.label, {})[each.label] = reason
    for each in regularizers:
        reasons = dict.fromkeys(
            labels[each.label] for labels in found.values() if each.label in labels
        )
        out = {label for label, named in found.items() if each.label in named}
        out |= {task for task, label in skipped if label == each.label}
        if reasons and len(out) == len(tasks):
            raise UserError(
                f"regularizer {each.label!r} fits no task of the spec: it {'; it '.join(reasons)}; remove it, "
                "or add a task"
            )
    return found
