"""What the report of many cells takes: seconds, memory and page size, and a ratio to that of 100 cells.

    python benchmarks/speed/report.py [--cells 1000] [--folder DIR] [--format html] [--workers 1] [--profile]

A results folder with made-up values is written through `Store`, as a run writes it: records, training
logs and one table an evaluation, 72 metrics a cell, curves, three numbers for each of 200 test items,
and the gallery of one seed. Then a process of its own reads it and writes the report with all its
files. The ratio is the time a cell, over the same of the 100 cells that are measured in the same run:
1 or less where the report grows no faster than its cells. Written folders are kept with `--folder`,
and taken as they are the next time. A floor for reading is given as well: the bytes of all tables and
records, read once and checksummed. On a machine that others use as well, take `--clock cpu`: processor
time does not count waiting.
"""

import argparse
import cProfile
import hashlib
import json
import pstats
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench import load_results
from reldrop_bench.kinds.record import Record
from reldrop_bench.kinds.section import Block
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.spec import BenchmarkSpec
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.render import write_report
from reldrop_bench.results import Results
from reldrop_bench.store.folder import BENCHMARK_FILE, EPOCHS_FILE, Store
from reldrop_bench.store.records import (
    BenchmarkRecord,
    CellRecord,
    Note,
    Outcome,
    Training,
    evaluation_file,
)

SHAPES = {100: (5, 4, 5), 1000: (10, 10, 10), 10000: (20, 25, 20)}
"""Labels, tasks and seeds by the number of cells."""
REFERENCE = 100
CLOCK = time.process_time if "cpu" in sys.argv else time.perf_counter
DIFFERENT = 499
"""Cells whose tables are made; those of further cells are copies, which are as much work to read."""
PLACED = frozenset(map(evaluation_file, ("agreement", "gallery")))
ITEMS, EPOCHS, PICTURES = 200, 8, 4
FRACTIONS = np.linspace(0, 0.9, 7)
FILLS = ("mean", "noise", "inpaint")
CUES = tuple("".join(map(str, some)) for size in range(5) for some in combinations(range(4), size))
STATISTICS = (
    "attribution_entropy", "gini", "mass_coverage", "relevance_mass_accuracy", "effective_rank",
    "participation_ratio",
)  # fmt: skip
EVALUATIONS = (
    "accuracy", "calibration", "shifts", "occlusion", "faithfulness", "diversity", "agreement", "cues",
    "generalization", "cost", "gallery",
)  # fmt: skip


def spec_of(cells: int) -> BenchmarkSpec:
    labels, tasks, seeds = SHAPES[cells]
    shares = [round(0.2 + 0.02 * number, 2) for number in range(labels - 1)]
    return BenchmarkSpec.model_validate(
        {
            "name": f"speed-{cells}",
            "tasks": [{"cue-images": {"generation_seed": number}} for number in range(tasks)],
            "regularizers": ["none", *({"cutout": {"size": share}} for share in shares)],
            "seeds": seeds,
            "evaluations": list(EVALUATIONS),
        }
    )


@dataclass(frozen=True)
class MadeUp:
    """What the evaluations of a cell write, in the same form and with likely values."""

    cell: CellSpec
    first: bool
    """Whether the cell is of the first seed: only that one has pictures."""

    def records(self) -> dict[str, Record]:
        identity = self.cell.identity
        words = (identity["task"], identity["label"], identity["seed"])
        seed = hashlib.sha256(repr(words).encode()).digest()
        random = np.random.default_rng(list(seed))
        gain = len(identity["label"]) % 5 / 100 + random.normal(0, 0.004)
        found = {name: Record() for name in EVALUATIONS}
        for name, record in found.items():
            getattr(self, f"_{name}")(record, random, 0.9 + gain)
        return found

    def _accuracy(self, record: Record, random: np.random.Generator, clean: float) -> None:
        target = np.arange(ITEMS) % 8
        prediction = np.where(random.random(ITEMS) < clean, target, (target + 1) % 8)
        record.metric("test", "accuracy", (prediction == target).mean())
        record.metric("test", "class_mean_accuracy", (prediction == target).mean() - 0.002)
        record.examples("test", "prediction", prediction)
        record.examples("test", "target", target)
        record.examples("test", "confidence", random.random(ITEMS))

    def _calibration(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for name in ("ece", "rms_calibration_error", "brier", "nll"):
            record.metric("test", name, 1 - clean + random.random() / 50)

    def _shifts(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for kind in ("noise", "blur", "contrast", "rotation"):
            for level in (1, 2, 3):
                record.metric(f"{kind}/{level}", "accuracy", clean - level / 10 * random.random())

    def _occlusion(self, record: Record, random: np.random.Generator, clean: float) -> None:
        record.metric("test", "clean_accuracy", clean)
        record.metric("test", "samples", ITEMS)
        for order in ("random", "mask", "reference"):
            for fill in FILLS:
                curve = clean * np.exp(-(1 + random.random()) * FRACTIONS)
                record.curve("test", f"{order}/{fill}/accuracy", FRACTIONS, curve)
                record.metric("test", f"{order}/{fill}/auc", curve.mean())
                record.metric("test", f"{order}/{fill}/normalised_auc", curve.mean() / clean)

    def _faithfulness(self, record: Record, random: np.random.Generator, clean: float) -> None:
        method = self.cell.evaluation_relevance.label
        for fill in FILLS[:2]:
            for name in (f"{method}/{fill}/mrf", f"{method}/{fill}/lrf", f"random-order/{fill}"):
                curve = clean * np.exp(-(1 + random.random()) * FRACTIONS)
                record.curve("test", f"{name}/probability", FRACTIONS, curve)
                record.metric("test", f"{name}/probability/area", curve.mean())
            record.metric("test", f"{method}/{fill}/srg/probability", random.normal(0.3, 0.05))
        record.metric("test", f"{method}/constant_maps", 0)

    def _diversity(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for split in ("test", "randomised-weights"):
            for name in STATISTICS:
                record.metric(split, name, random.normal(0.6 + clean / 10, 0.02))

    def _agreement(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for role, split in (("baseline", "to-baseline"), ("first-seed", "between-seeds")):
            for name in (
                ("linear_cka", "error_disagreement") if role in self.cell.companions else ()
            ):
                record.metric(split, name, random.random() / 2)

    def _cues(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for some in CUES[:9]:
            record.metric(f"removed-{some or 'none'}", "accuracy", clean - len(some) / 6)
        for name in ("effective_cues", "causal_effective_cues"):
            record.metric("test", name, 3 + random.random())
        for cue in range(4):
            record.metric("test", f"cue_{cue}_mass", 0.2 + random.random() / 20)

    def _generalization(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for name in ("train_accuracy", "accuracy_gap", "loss_gap"):
            record.metric("test", name, random.random() / 20)
        record.metric("validation", "epochs_to_0.5", int(random.integers(1, EPOCHS)))
        record.curve("validation", "accuracy_gap", range(1, EPOCHS + 1), random.random(EPOCHS))

    def _cost(self, record: Record, random: np.random.Generator, clean: float) -> None:
        record.metric("test", "forward_megaflops", 3.3)
        record.metric("test", "passes_per_step", 3 + random.random() / 10)

    def _gallery(self, record: Record, random: np.random.Generator, clean: float) -> None:
        for item in range(PICTURES if self.first else 0):
            picture = random.random((1, 12, 12))
            record.sample("test", "input", item, picture)
            record.sample("test", "relevance", item, picture - 0.5)
            record.sample("test", "label", item, np.array([item]))
            record.sample("test", "shape", item, np.array(picture.shape))

    def epochs(self) -> pd.DataFrame:
        """Return the training log."""
        epoch = np.arange(1, EPOCHS + 1)
        numbers = {
            f"{split}_{what}": 1 / epoch
            for split in ("train", "clean_train", "validation")
            for what in ("loss", "accuracy")
        }
        rest = {"learning_rate": 0.01 / epoch, "occluded_fraction": 0.2, "explained": 0}
        return pd.DataFrame({"epoch": epoch, **numbers, **rest, "seconds": 0.7})


def write_cell(cell: CellSpec, folder: Path, first: bool, like: CellRecord | None) -> CellRecord:
    """Write a cell's folder as a finished run leaves it, but for the weights; returns its record.

    like: the record of a cell whose tables are copied, but for those that depend on the cell's place.
    """
    store, record, made = Store(folder), CellRecord.new(cell), MadeUp(cell, first)
    if like is None:
        store.write_table(record, EPOCHS_FILE, made.epochs())
    else:
        store.cell_folder(cell.key).mkdir(parents=True, exist_ok=True)
        for file, checksum in like.files.items():
            if file not in PLACED:
                source = store.cell_folder(like.key) / file
                shutil.copyfile(source, store.cell_folder(cell.key) / file)
                record.files[file] = checksum
    tables = made.records()
    for evaluation in cell.evaluations:
        file = evaluation_file(evaluation.name)
        if file not in record.files:
            store.write_table(record, file, tables[evaluation.name].frame())
        record.evaluations[evaluation.name] = Outcome(
            key=cell.evaluation_key(evaluation),
            status="done",
            notes=[Note(**note) for note in tables[evaluation.name].notes],
            seconds=0.1,
        )
    record.training = Training(
        train_seconds=6.0,
        step_seconds=0.04 + len(cell.regularizer.label) / 1000,
        explained=0,
        occluded_fraction=0.2,
        samples=8192,
        epochs=EPOCHS,
        selected_epoch=EPOCHS,
        peak_memory=2**30,
        parameters=19624,
    )
    record.facts = cell.task.plugin.facts(None)
    record.environment = {"python": "3.11", "torch": "2.14", "system": "Linux", "device": "cpu"}
    record.trained = True
    record.end("done")
    store.write_cell(record)
    return record


def write_cells(cells: list[CellSpec], folder: Path, first: int) -> None:
    written: list[CellRecord] = []
    for number, cell in enumerate(cells):
        like = written[number % DIFFERENT] if number >= DIFFERENT else None
        written.append(write_cell(cell, folder, cell.seed == first, like))


def write_results(count: int, folder: Path) -> None:
    """Write a results folder of so many cells, unless it is there."""
    if (folder / BENCHMARK_FILE).is_file():
        return
    started = time.perf_counter()
    spec = spec_of(count)
    cells = expand(spec)
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(write_cells, folder=folder, first=spec.seed_list[0])
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(work, [cells[: len(cells) // 2], cells[len(cells) // 2 :]]))
    Store(folder).write_benchmark(BenchmarkRecord.of(spec, cells))  # last: all is there
    print(f"{count} cells written in {time.perf_counter() - started:.0f} s", file=sys.stderr)


@dataclass
class Timed:
    """A section with the seconds that it takes to build, and that its blocks take to draw."""

    section: Any
    build_seconds: float = 0.0
    draw_seconds: float = 0.0
    blocks: int = 0

    @property
    def name(self) -> str:
        return str(self.section.name)

    @property
    def title(self) -> str:
        return str(self.section.title)

    @property
    def order(self) -> int:
        return int(self.section.order)

    def build(self, results: Results, style: Any) -> Iterator[Block]:
        started = CLOCK()
        blocks = self.section.build(results, style)
        self.build_seconds += CLOCK() - started
        for block in blocks:  # what comes between two of them is the drawing of the one before
            self.blocks += 1
            started = CLOCK()
            yield block
            self.draw_seconds += CLOCK() - started


def read_all(folder: Path) -> tuple[int, float]:
    """Return the bytes of all records and tables, and the seconds to read and checksum them."""
    started, size = CLOCK(), 0
    for path in folder.glob("cells/*/*"):
        if path.suffix in (".json", ".parquet"):
            content = path.read_bytes()
            hashlib.sha256(content).digest()
            size += len(content)
    return size, CLOCK() - started


def peak() -> float:
    """Return the MiB that this process has used at most."""
    status = Path("/proc/self/status")
    if (
        status.is_file()
    ):  # Linux; there the other figure includes that of the process that started it
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def page_parts(page: str) -> dict[str, int]:
    """Return the characters of each section of an HTML page."""
    parts = page.split('<section id="')[1:]
    return {part.partition('"')[0]: len(part) for part in parts}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Read a folder and write its report; returns what that took."""
    folder, profile, only = options.measure, options.profile, options.only
    size, floor = read_all(folder)
    before = peak()
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    started = CLOCK()
    results = load_results(folder)
    loaded = CLOCK()
    loaded_peak = peak()
    names = [entry.name for entry in registry.entries("sections") if entry.cls is not None]
    sections = [
        Timed(registry.create("sections", name, {})) for name in names if not only or name in only
    ]
    with tempfile.TemporaryDirectory() as place:
        page = write_report(results, place, sections, options.format, workers=options.workers)
        ended = CLOCK()
        page_bytes = page.stat().st_size
        files = [path for path in Path(place).rglob("*") if path.is_file()]
        total_bytes = sum(path.stat().st_size for path in files)
        text = page.read_text(encoding="utf-8")
        failed = text.count("<b>This section failed")
    if profile:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("cumulative").print_stats(70)
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)
    ordered = sorted(sections, key=lambda section: (section.order, section.name))
    return {
        "cells": len(results.cells),
        "metrics": len(results.metrics) / len(results.cells),
        "bytes": size,
        "floor": floor,
        "load": loaded - started,
        "report": ended - loaded,
        "sections": {
            s.name: (
                s.build_seconds,
                s.draw_seconds,
                s.blocks,
                page_parts(text).get(s.name, 0) / 1e6,
            )
            for s in ordered
        },
        "page": page_bytes,
        "files": len(files),
        "total_bytes": total_bytes,
        "failed": failed,
        "start": before,
        "loaded": loaded_peak,
        "peak": peak(),
    }


def show(found: dict[str, Any], reference: dict[str, Any] | None) -> None:
    print(f"\n{found['cells']} cells, {found['metrics']:.0f} metrics each", end="")
    print(f" ({found['bytes'] / 1e6:.0f} MB in tables and records)")
    print(f"{'':28}{'seconds':>9}{'s a cell / that of ' + str(REFERENCE):>26}")
    sections = {name: build + draw for name, (build, draw, *_) in found["sections"].items()}
    parts = {
        "reading bytes, checksums": "floor",
        "load_results": "load",
        "write_report": "report",
        "load and report": "whole",
    }
    for each in (found, reference):
        if each is not None:
            each["whole"] = each["load"] + each["report"]
    for text, name in parts.items():
        ratio = ""
        if reference is not None:
            per_cell = reference[name] / reference["cells"]
            ratio = f"{found[name] / found['cells'] / per_cell:26.2f}"
        print(f"{text:28}{found[name]:9.2f}{ratio}")
    if any(sections.values()):  # timed in this process
        print(f"{'  section':28}{'build':>9}{'draw':>9}{'blocks':>9}{'MB':>7}")
        for name, (build, draw, blocks, size) in found["sections"].items():
            print(f"  {name:26}{build:9.2f}{draw:9.2f}{blocks:9}{size:7.2f}")
        rest = found["report"] - sum(sections.values())
        print(f"  {'page, tables and files':26}{rest:9.2f}")
    print(
        f"page {found['page'] / 1e6:.1f} MB; {found['files']} files, "
        f"{found['total_bytes'] / 1e6:.0f} MB; peak memory {found['peak']:.0f} MiB "
        f"({found['loaded']:.0f} after reading, {found['start']:.0f} before)"
    )
    if found["failed"]:
        print(f"{found['failed']} sections failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=int, default=1000, choices=tuple(SHAPES))
    parser.add_argument("--folder", type=Path, help="where results are written, and kept")
    parser.add_argument("--format", default="html", choices=("html", "markdown", "latex"))
    parser.add_argument("--profile", action="store_true", help="where the time goes, to stderr")
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"))
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="these sections alone")
    parser.add_argument(
        "--workers", type=int, help="processes (else the cores); 1 tells what each section takes"
    )
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        reference = None
        for count in dict.fromkeys((REFERENCE, options.cells)):
            results = folder / f"speed-{count}"
            write_results(count, results)
            command = [sys.executable, __file__, "--measure", str(results)]
            command += ["--format", options.format, "--clock", options.clock]
            command += ["--workers", str(options.workers)] if options.workers else []
            command += ["--only", *options.only] if options.only else []
            command += ["--profile"] if options.profile and count == options.cells else []
            # A process each: a peak of memory never falls.
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(output.splitlines()[-1])
            show(found, reference)
            reference = reference or found


if __name__ == "__main__":
    main()
