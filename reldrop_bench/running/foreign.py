"""Code that is not built in: which of it a cell runs, and what that leaves changed in its process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from reldrop_bench import plugins
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.entries import ResolvedPlugin, single
from reldrop_bench.plugins import registry
from reldrop_bench.running.integrity import State
from reldrop_bench.store.records import CellRecord

_LISTED = 6
_spoiled = False


class IntegrityError(RuntimeError):
    """The harness's own code was replaced: what it computes is no result."""


def is_spoiled() -> bool:
    """Return whether something happened in this process that the next cell could suffer from."""
    return _spoiled


def spoil() -> None:
    """Note that this process is to compute no further cell."""
    global _spoiled
    _spoiled = True


def foreign(used: Iterable[ResolvedPlugin]) -> dict[str, str]:
    """Return, of the plugins that are not built in, the modules with what messages call them."""
    return {
        entry.module: f"{registry.KINDS[plugin.kind].singular} {plugin.name!r} ({entry.file.name})"
        for plugin in used
        if not plugin.error and not (entry := registry.find(plugin.kind, plugin.name)).built_in
    }


def training_plugins(cell: CellSpec) -> tuple[ResolvedPlugin, ...]:
    """Return the plugins whose code runs while a cell is trained."""
    methods = (cell.relevance,) if cell.uses_relevance else ()
    return (cell.task, cell.model, cell.regularizer, *methods)


def evaluation_plugins(cell: CellSpec, evaluation: ResolvedPlugin) -> Iterator[ResolvedPlugin]:
    """Yield the plugins whose code runs while a cell is measured, those of the training apart."""
    plugin: Evaluation = evaluation.plugin
    yield evaluation
    yield from (single(name, "attributors") for name in plugin.explainers)
    if plugin.uses_relevance:
        yield cell.evaluation_relevance
    for role, other in cell.companions.items():
        if role in plugin.companions:
            yield from training_plugins(other)


def sources(cell: CellSpec) -> frozenset[str]:
    """Return the modules, not built in, that a cell runs: cells of others do not share its process."""
    if cell.regularizer.error:
        return frozenset()  # nothing is run
    measuring = (
        plugin
        for evaluation in cell.evaluations
        if not evaluation.error
        for plugin in evaluation_plugins(cell, evaluation)
    )
    return frozenset(foreign((*cell.plugins, *measuring)))


class Watch:
    """Compares the process with what it was before a cell, and notes in its record what changed."""

    def __init__(self, record: CellRecord, job_sources: frozenset[str], worker: bool) -> None:
        self.record = record
        others = sorted(registry.foreign_modules() - job_sources) if worker else []
        if others := [name for name in others if ".executors." not in name]:
            self._note(
                f"computed in a process that had run other code before ({_some(others)}), which may "
                "have changed its results; its executor should start a process for other `sources`"
            )
        self._state = State.take()

    def _note(self, text: str) -> None:
        self.record.deviations = list(dict.fromkeys([*self.record.deviations, text]))

    def look(self, when: str, suspects: Mapping[str, str]) -> str:
        """Put back what has changed since the cell began, and note it.

        when: what has run, such as "training". suspects: the plugins of it that are not built in.
        Returns what was replaced of the harness's own code, "" where nothing was.
        """
        changes = self._state.put_back()
        if not changes:
            return ""
        code = " and ".join(suspects.values()) or "this package or a library that it uses"
        which = "one of " if len(suspects) > 1 else ""
        lasting = [change.what for change in changes if change.put_back is None]
        text = f"{when}: {which}{code} changed {_some([change.what for change in changes])}"
        self._note(
            f"{text}; {'it cannot be put back' if lasting else 'it was put back after that'}"
        )
        if suspects or lasting:
            spoil()
        return _some([change.what for change in changes if change.of_harness])


def notes_of_imports(state: State) -> list[str]:
    """Put back what importing plugins has changed in this process, and return what is to be told of it."""
    changes = state.put_back()
    if not changes:
        return []
    names = sorted(
        {name.removeprefix(f"{plugins.__name__}.") for name in registry.foreign_modules()}
    )
    code = _some(names, listed=20) or "this package or a library that it uses"
    return [
        f"importing {code} changed {_some([change.what for change in changes])} in this process; it was "
        "put back"
    ]


@dataclass(frozen=True)
class Surroundings:
    """What a process that is started inherits from this one."""

    variables: Mapping[str, str]
    path: Sequence[str]

    @classmethod
    def take(cls) -> Surroundings:
        return cls(dict(os.environ), list(sys.path))

    def _set(self) -> None:
        for name in os.environ.keys() - self.variables.keys():
            del os.environ[name]
        os.environ.update(self.variables)
        sys.path[:] = self.path

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Have them inside as they were when they were taken."""
        now = Surroundings.take()
        self._set()
        try:
            yield
        finally:
            now._set()


def _some(names: list[str], listed: int = _LISTED) -> str:
    more = len(names) - listed
    return ", ".join(names[:listed]) + (f" and {more} more" if more > 0 else "")
