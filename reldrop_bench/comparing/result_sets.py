"""Result sets as they lie on disk, each under a name of its own, with what identifies its parts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.evaluation import Evaluation
from reldrop_bench.matrix.entries import entry_name
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.plugins import registry
from reldrop_bench.results import CELL, Results, Setting
from reldrop_bench.store.benchmarks import BenchmarkRecord, MatrixEntry
from reldrop_bench.store.folder import Store
from reldrop_bench.store.load import load_results
from reldrop_bench.store.records import CellRecord, evaluation_file


@dataclass(frozen=True)
class ResultSet:
    """A folder of results with all that its records say of how they came about."""

    name: str
    """Unique among the sets that are read together."""
    store: Store
    benchmark: BenchmarkRecord
    records: Mapping[str, CellRecord]
    """By key: the readable records of the matrix."""
    damaged: Mapping[str, str]
    """By key: what is wrong with the other records; a cell without one is in neither."""
    results: Results

    @property
    def spec(self) -> BenchmarkSpec:
        return self.benchmark.spec

    @property
    def is_checkpoints(self) -> bool:
        """Whether these models were trained elsewhere: all that is known of them are their weights."""
        return self.benchmark.checkpoints

    @cached_property
    def settings(self) -> list[Setting]:
        """Every (task, model) in the order of the matrix."""
        return list(dict.fromkeys(entry.setting for entry in self.benchmark.matrix))

    @property
    def labels(self) -> tuple[str, ...]:
        return self.results.labels

    @cached_property
    def evaluations(self) -> list[str]:
        """Names of everything that was to be measured."""
        names = (name for entry in self.benchmark.matrix for name in entry.evaluations)
        return list(dict.fromkeys(names))

    @cached_property
    def _setting_facts(self) -> dict[Setting, dict[str, Any]]:
        facts: dict[Setting, dict[str, Any]] = {}
        for entry in self.benchmark.matrix:
            record = self.records.get(entry.key)
            if record is None:
                continue
            parts = record.components.plain()
            of_setting = facts.setdefault(entry.setting, {})
            for part in ("schema", "task", "model", "recipe", "threads"):
                of_setting.setdefault(part, parts[part])
            if "data" in parts:
                of_setting.setdefault("data", parts["data"])
            if self.is_checkpoints:  # its weights are what is compared within it
                of_setting["model"] = {**of_setting["model"], "parameters": {}}
            if record.facts:
                of_setting.setdefault("facts", asdict(record.facts))
            training = record.training
            if training.samples and training.epochs:
                an_epoch = round(training.samples / training.epochs)
                of_setting.setdefault("training samples an epoch", an_epoch)
        return facts

    def setting_facts(self, setting: Setting) -> dict[str, Any]:
        """Return what cells of a setting share: task, model, recipe, threads, schema, facts of the data.

        Empty where no cell has a record; without the data's facts where none was trained.
        """
        return self._setting_facts.get(setting, {})

    @cached_property
    def _split_sizes(self) -> dict[Setting, dict[tuple[str, str], int]]:
        counted: dict[Setting, list[dict[tuple[str, str], int]]] = {}
        for entry in self.benchmark.matrix:
            cells = counted.setdefault(entry.setting, [])
            if len(cells) < 2 and (counts := self._item_counts(entry.key)):
                cells.append(counts)
        return {
            setting: {
                name: count
                for name, count in cells[0].items()
                if all(other.get(name) == count for other in cells)  # else the model decides
            }
            for setting, cells in counted.items()
            if cells
        }

    def _item_counts(self, key: str) -> dict[tuple[str, str], int]:
        """Return by (evaluation, split) how many items it has, where a cell holds each one's class.

        Other numbers an item may be missing for some of them, as the model decides.
        """
        record = self.records.get(key)
        counts: dict[tuple[str, str], int] = {}
        if record is None or record.status != "done":
            return counts
        for name in sorted(self.evaluation_keys(key)):
            file = evaluation_file(name)
            try:
                table = self.store.read_arrow(key, file, record.files.get(file))
            except ValueError:
                return {}
            frame = table.select(["table", "split", "metric", "item"]).to_pandas()
            chosen = (frame["table"] == "example") & (frame["metric"] == "target")
            here = frame[chosen].astype({"split": object})
            items = here.groupby("split")["item"].max()
            counts |= {(name, str(split)): int(last) + 1 for split, last in items.items()}
        return counts

    def split_sizes(self, setting: Setting) -> dict[tuple[str, str], int]:
        """Return by (evaluation, split) how many items were measured, the same for every cell."""
        return self._split_sizes.get(setting, {})

    @cached_property
    def label_keys(self) -> dict[str, dict[tuple[Setting, int], str]]:
        """By label, the key of its record for each setting and seed that has one."""
        keys: dict[str, dict[tuple[Setting, int], str]] = {label: {} for label in self.labels}
        for entry in self.benchmark.matrix:
            if entry.key in self.records:
                keys[entry.label][entry.setting, entry.seed] = entry.key
        return keys

    @cached_property
    def _label_identities(self) -> dict[str, dict[str, Any]]:
        identities: dict[str, dict[str, Any]] = {}
        for entry in self.benchmark.matrix:
            if entry.key in self.records:
                parts = self.records[entry.key].components.plain()
                identity = {name: parts[name] for name in ("regularizer", "relevance")}
                identities.setdefault(entry.label, identity)
        return identities

    def label_identity(self, label: str) -> dict[str, Any]:
        """Return what a label stands for, with parameters and sources; empty where no cell ran."""
        return self._label_identities.get(label, {})

    def evaluation_entry(self, name: str) -> Any:
        """Return what the spec says of an evaluation and what it explains with; None: nothing."""
        entries = self.results.spec.get("evaluations")
        entry = next((entry for entry in entries or [] if entry_name(entry) == name), None)
        if entry is None and entries is not None:
            return None  # it was not asked for: that is not another way of measuring
        entry = name if entry is None else entry
        cls = evaluation_class(name)
        explains = cls is None or cls.uses_relevance
        return {"entry": entry} | ({"relevance": self.spec.relevance} if explains else {})

    def evaluation_identity(self, name: str) -> str | None:
        """Return the digest of an evaluation; None where the folder is too old to hold it."""
        return self.benchmark.evaluation_identities.get(name)

    @cached_property
    def _entries(self) -> dict[str, MatrixEntry]:
        return {entry.key: entry for entry in self.benchmark.matrix}

    def matrix_evaluations(self, key: str) -> dict[str, str]:
        """Return by evaluation the key under which a cell is to be measured."""
        return self._entries[key].evaluations if key in self._entries else {}

    def evaluation_keys(self, key: str) -> dict[str, str]:
        """Return by evaluation the key under which a cell was measured."""
        done = self.records[key].done if key in self.records else {}
        return {name: outcome.key for name, outcome in done.items()}

    def environment(self, key: str) -> Mapping[str, Any]:
        """Return what a cell ran on; empty where that is not known."""
        return self.records[key].environment if key in self.records else {}


def evaluation_class(name: str) -> type[Evaluation] | None:
    """Return the class of an evaluation; None where it is not installed here."""
    for entry in registry.entries("evaluations"):
        if entry.name == name:
            return cast("type[Evaluation] | None", entry.cls)
    return None


def open_sets(
    folders: Sequence[str | Path], plugins: Sequence[str | Path] = (), least: int = 2
) -> list[ResultSet]:
    """Read several folders of results.

    Raises
    ------
    UserError
        Fewer than `least` folders, one that is given twice, or one without readable results.
    """
    paths = [Path(os.path.expanduser(folder)) for folder in folders]
    if len(paths) < least:
        count = {0: "no folder was", 1: "one folder alone was"}[len(paths)]
        wanted = "the folder of one run" if least == 1 else f"the folders of {least} runs"
        raise UserError(f"{count} given; give {wanted} or more")
    resolved = [path.resolve() for path in paths]
    for index, path in enumerate(resolved):
        if path in resolved[:index]:
            raise UserError(f"{paths[index]} is given twice; give each folder once")
    if plugins:
        registry.refresh(plugins)
    names = unique_names(resolved)
    return [_open(path, name) for path, name in zip(paths, names, strict=True)]


def _open(path: Path, name: str) -> ResultSet:
    results = load_results(path)
    store = Store(path)
    benchmark = store.read_benchmark()
    assert benchmark is not None, "load_results has read it"
    records, damaged = {}, {}
    for key in dict.fromkeys(entry.key for entry in benchmark.matrix):
        try:
            record = store.read_cell(key)
        except ValueError as error:
            damaged[key] = str(error)
            continue
        if record is not None:
            records[key] = record
    return ResultSet(name, store, benchmark, records, damaged, results)


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each folder by as few of its last parts as tell it from the others.

    All that share a last part are named by as many parts, "first/quickstart" and
    "second/quickstart".
    """

    def name(path: Path, count: int) -> str:
        parts = [part for part in path.parts if part != path.anchor]
        return "/".join(parts[-count:]) or "root"

    names = []
    for path in paths:
        same = [other for other in paths if other.name == path.name]
        count = 1
        while len({name(other, count) for other in same}) < len(same):
            count += 1
            if count > max(len(other.parts) for other in same):
                break
        names.append(name(path, count))
    return names


def free_name(name: str, taken: set[str]) -> str:
    """Return the name, with a number where it is taken, and take it."""
    chosen, number = name, 1
    while chosen in taken:
        number += 1
        chosen = f"{name} {number}"
    taken.add(chosen)
    return chosen


def places(frame: pd.DataFrame) -> pd.MultiIndex:
    """Return what names the cell of each row: task, model, label and seed."""
    return pd.MultiIndex.from_frame(frame[[*CELL]].astype(dict.fromkeys(CELL[:3], object)))
