"""Several result sets as one folder that everything reads like any other."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reldrop_bench.comparing.alignment import align
from reldrop_bench.comparing.merged_spec import merged_benchmark
from reldrop_bench.comparing.reproduction import reproduction, reproduction_remarks
from reldrop_bench.comparing.result_sets import ResultSet, open_sets
from reldrop_bench.errors import UserError
from reldrop_bench.results import Results
from reldrop_bench.store.benchmarks import MatrixEntry
from reldrop_bench.store.folder import BENCHMARK_FILE, Store
from reldrop_bench.store.load import load_results
from reldrop_bench.store.records import CellRecord, evaluation_file

Tell = Callable[[str], None]


@dataclass
class _Source:
    """Where a cell of the merged folder comes from."""

    entry: MatrixEntry
    given: list[ResultSet] = field(default_factory=list)
    """The sets that have a record of it, those where it is done first."""


def merge(
    folders: Sequence[str | Path],
    output: str | Path,
    skip_damaged: bool = False,
    plugins: Sequence[str | Path] = (),
    tell: Tell = lambda text: None,
) -> Results:
    """Put the cells of several folders into a new one, with a spec that names them all.

    A cell that several sets have is taken where it is done, else from the first; what only another
    one has measured of it is added. Every file is checked on the way. The folders stay as they
    are, and `output` is complete or absent. skip_damaged: leave out a cell with a damaged file that
    no other set has whole, instead of refusing. tell: is given a line for whatever deserves one.

    Raises
    ------
    UserError
        The sets differ in more than tasks, regularizers, seeds, models and what was measured;
        a damaged file; an output folder that is not empty or lies in one of the folders.
    """
    target = _free_target(Path(os.path.expanduser(output)), folders)
    sets = open_sets(folders, plugins)
    alignment = align(sets)
    if alignment.incomparable:
        raise UserError(
            f"{alignment.incomparable[0].rstrip('.')}; sets that differ can be compared"
        )
    benchmark = merged_benchmark(sets, tell)
    sources = _sources(sets, benchmark.matrix)
    for remark in [*reproduction_remarks(reproduction(sets, alignment), sets), *alignment.remarks]:
        tell(remark)
    with _built(target) as temporary:
        store = Store(temporary)
        store.write_benchmark(benchmark)
        for source in sources.values():
            _copy_cell(source, store, skip_damaged, tell)
    return load_results(target)


def _free_target(target: Path, folders: Sequence[str | Path]) -> Path:
    """Return the folder to be filled, after a look at whether it may be; links are followed."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        what = "is not empty" if target.is_dir() else "is a file"
        raise UserError(f"{target} {what}; choose another --output")
    for folder in folders:
        path = Path(os.path.expanduser(folder)).resolve()
        if target.resolve().is_relative_to(path):
            raise UserError(
                f"{target} lies in {folder}, which is to be read; choose another --output"
            )
    return target.resolve()


@contextmanager
def _built(target: Path) -> Iterator[Path]:
    """Give a folder that becomes `target` at the end, and is removed on any error.

    An empty folder that is there stays the same folder (it may be where the user is, or a mounted
    disk) and gets the content, benchmark.json last: without it a folder holds no results.
    """
    there = target.is_dir()
    parent = target if there else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = parent / f".{target.name}.{os.getpid()}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        if there:
            for path in sorted(temporary.iterdir(), key=lambda path: path.name == BENCHMARK_FILE):
                os.rename(path, target / path.name)
            temporary.rmdir()
        else:
            os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sources(sets: Sequence[ResultSet], matrix: Sequence[MatrixEntry]) -> dict[str, _Source]:
    """Return by key where each cell of the matrix comes from."""
    sources = {entry.key: _Source(entry) for entry in matrix}
    for result_set in sets:
        for key in dict.fromkeys(entry.key for entry in result_set.benchmark.matrix):
            if key in result_set.records or key in result_set.damaged:
                sources[key].given.append(result_set)
    for key, source in sources.items():
        source.given.sort(key=lambda result_set: not _is_done(result_set, key))
        # Where two sets have measured a cell against different others, the record's own keys count.
        for result_set in reversed(source.given):
            source.entry.evaluations |= result_set.matrix_evaluations(key)
    return sources


def _is_done(result_set: ResultSet, key: str) -> bool:
    return key in result_set.records and result_set.records[key].status == "done"


def _copy_cell(source: _Source, store: Store, skip_damaged: bool, tell: Tell) -> None:
    """Copy a cell from the first set that has it whole, and what others have measured besides."""
    key = source.entry.key
    problems = []
    for result_set in source.given:
        problem = _damage(result_set, key)
        if problem:
            problems.append(f"cell {key} of {result_set.name}: {problem}")
            continue
        record = _copied(result_set, key, store)
        for other in source.given:
            if other is not result_set and key in other.records and not _damage(other, key):
                _add_evaluations(record, source.entry, other, store)
        store.write_cell(record)
        for text in problems:
            tell(f"{text}; taken from {result_set.name}")
        return
    if problems and not skip_damaged:
        raise UserError(
            f"{problems[0]}; run its spec again to compute it anew, or leave it out with "
            "--skip-damaged"
        )
    for text in problems:
        tell(f"{text}; left out")


def _damage(result_set: ResultSet, key: str) -> str:
    """Say what is wrong with the files of a cell; "" where all are as they were written."""
    if key in result_set.damaged:
        return result_set.damaged[key]
    damaged = result_set.store.damaged_files(result_set.records[key])
    return f"{', '.join(damaged)} damaged or missing" if damaged else ""


def _copied(result_set: ResultSet, key: str, store: Store) -> CellRecord:
    """Copy the files that a record names; returns the record."""
    record = result_set.records[key].model_copy(deep=True)
    for name in record.files:
        _copy_file(result_set, record, name, store)
    return record


def _copy_file(result_set: ResultSet, record: CellRecord, name: str, store: Store) -> None:
    try:
        store.copy_file(result_set.store, record, name)
    except ValueError:
        raise UserError(
            f"{name} of cell {record.key} changed while it was read; wait for the run that "
            f"writes to {result_set.name}"
        ) from None


def _add_evaluations(
    record: CellRecord, entry: MatrixEntry, other: ResultSet, store: Store
) -> None:
    """Take what another set has measured of the same cell and this one has not."""
    theirs = other.records[record.key]
    taken = []
    for name, key in entry.evaluations.items():
        outcome_here, outcome = record.done.get(name), theirs.done.get(name)
        file = evaluation_file(name)
        if outcome_here is not None and outcome_here.key == key:
            continue
        if outcome is not None and outcome.key == key and file in theirs.files:
            _copy_file(other, theirs, file, store)
            record.evaluations[name] = outcome
            record.files[file] = theirs.files[file]
            taken.append(name)
    if taken:
        note = f"{', '.join(taken)} measured in another result set ({other.name})"
        record.deviations.append(note)
        if record.trained and entry.evaluations.keys() <= record.done.keys():
            record.end("done")
