"""What the terminal shows of plans, runs and their state."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reldrop_bench.errors import printable
from reldrop_bench.results import Results, told
from reldrop_bench.running.benchmark import Benchmark
from reldrop_bench.running.plan import Plan, PlannedCell
from reldrop_bench.running.runner import Listener
from reldrop_bench.statistics.wording import counted
from reldrop_bench.store.folder import Store

if TYPE_CHECKING:
    from reldrop_bench.reporting.summary import Summary


def duration(seconds: float) -> str:
    """Return a time span as a person says it: 40 s, 14 min, 3.2 h."""
    if seconds < 90:
        return f"{max(seconds, 1) if seconds else 0:.0f} s"  # what takes time takes a second
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def duration_range(low: float, high: float) -> str:
    """Return a range of time as a person says it: 3 to 8 min."""
    first, last = duration(low), duration(high)
    if first == last:
        return last
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(' ' + unit) else first} to {last}"


def size(count: float) -> str:
    """Return bytes as MB or GB."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def running_cells(folder: Path) -> list[dict[str, Any]]:
    """Return what the live processes of a run are doing, from their heartbeats."""
    beats = Store(folder).heartbeats()
    return [beat.plain() for beat in beats if psutil.pid_exists(beat.pid)]


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['task']} · {row['label']} · seed {row['seed']}"


def plan_data(plan: Plan, benchmark: Benchmark) -> dict[str, Any]:
    """Return a plan as plain data."""
    training, evaluations = plan.shares
    return {
        "name": benchmark.spec.name,
        "output": str(benchmark.store.folder),
        "workers": plan.workers,
        "to_do": len(plan.to_do),
        "cached": len(plan.cells) - len(plan.to_do),
        "seconds": plan.seconds,
        "seconds_low": None if plan.span is None else plan.span.low,
        "seconds_high": None if plan.span is None else plan.span.high,
        "training_seconds": training,
        "evaluation_seconds": dict(evaluations),
        "not_counted": plan.not_counted,
        "advice": plan.advice,
        "disk_bytes": plan.disk_bytes,
        "left_out": benchmark.unfit,
        "cells": [planned.row() for planned in plan.cells],
    }


def plan_line(plan: Plan) -> str:
    """Return a plan's totals in one line."""
    cached = len(plan.cells) - len(plan.to_do)
    line = f"{counted(len(plan.cells), 'cell')}: {len(plan.to_do)} to do, {cached} cached"
    if plan.to_do:
        span = plan.span
        estimate = "unknown" if span is None else f"about {duration_range(span.low, span.high)}"
        workers = counted(plan.workers, "worker") if plan.workers else "this process"
        line += f"; time {estimate} with {workers}, disk about {size(plan.disk_bytes)}"
    return line


def print_plan(plan: Plan, benchmark: Benchmark, console: Console) -> None:
    """Print the cells to do with the reasons, then the totals."""
    table = Table(box=None, pad_edge=False)
    for title in ("task", "regularizer", "model", "seed", "to do", "why", "time"):
        table.add_column(title, overflow="fold", no_wrap=title in ("seed", "to do"))
    for planned in plan.cells:
        row = planned.row()
        cached = planned.action == "cached"
        action = "[green]cached[/]" if cached else planned.action
        seconds = "" if cached else "?" if planned.seconds is None else duration(planned.seconds)
        table.add_row(
            escape(row["task"]), escape(row["label"]), escape(row["model"]), str(row["seed"]), action,
            escape(planned.reason), seconds,
        )  # fmt: skip
    console.print(table, soft_wrap=False)
    console.print(plan_line(plan), markup=False)
    for text in [*benchmark.notes, *told(benchmark.unfit)]:
        console.print(text, markup=False)
    if plan.not_counted and plan.span is not None:
        console.print(f"not counted in the time: {', '.join(plan.not_counted)}", markup=False)
    if plan.advice:
        console.print(plan.advice, markup=False)
    console.print(f"output: {benchmark.store.folder}", markup=False)


def print_failures(results: Results, console: Console) -> None:
    """Print one line for every cell that has failed."""
    bad = results.cells[~results.cells.status.isin(["done", "missing"])]
    for row in bad.to_dict("records"):
        console.print(f"[red]{row['status']}[/] {escape(_name(row))}: {escape(str(row['error']))}")


def print_status(results: Results, running: list[dict[str, Any]], console: Console) -> None:
    """Print how many cells are in which state, and what runs now."""
    counts = Counter(results.cells.status)
    total = len(results.cells)
    others = ", ".join(f"{count} {status}" for status, count in counts.items() if status != "done")
    console.print(
        f"{results.name}: {counts['done']}/{counted(total, 'cell')} done"
        + (f", {others}" if others else "")
    )
    for beat in running:
        console.print(f"  running {_name(beat)}: {_stage(beat)}", markup=False)


def print_unfinished(results: Results, console: Console) -> None:
    """Say how many cells are not done and why; nothing where all are."""
    if results.exit_code:
        print_status(results, [], console)
        print_failures(results, console)


def print_summary(summary: Summary, console: Console) -> None:
    """Print the verdict's sentences and the table of the leading outcome."""
    console.print()
    for sentence in summary.sentences:
        console.print(Text(printable(sentence)), soft_wrap=False)
    if not summary.rows:
        return
    console.print()
    titles = ("regularizer", summary.outcome, "tasks", "difference [interval]", "verdict")
    if _longest_words([titles, *summary.rows]) > console.width:
        _print_as_list(titles, summary.rows, console)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("regularizer", overflow="fold")
    for title in (summary.outcome, "tasks"):
        table.add_column(printable(title), justify="right", no_wrap=len(title) < 12)
    table.add_column(escape("difference [interval]"), overflow="fold")
    table.add_column("verdict", overflow="fold")
    for row in summary.rows:
        table.add_row(*(Text(printable(text)) for text in row))
    console.print(table, soft_wrap=False)


def _longest_words(rows: Sequence[Sequence[str]]) -> int:
    """Return the width of a table of which no column breaks within a word, but for endless labels."""
    widths = [
        max((len(word) for text in column for word in printable(text).split()), default=0)
        for column in zip(*rows, strict=True)
    ]
    widths[0] = min(widths[0], 24)
    return sum(widths) + 2 * (len(widths) - 1)


def _print_as_list(titles: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print a row a paragraph, for a terminal too narrow for a table."""
    for label, *values in rows:
        console.print(Text(printable(label)), soft_wrap=False)
        for title, value in zip(titles[1:], values, strict=True):
            if value:
                console.print(Text(printable(f"  {title}: {value}")), soft_wrap=False)


def _stage(beat: dict[str, Any]) -> str:
    if not beat["total"]:
        return beat["stage"]
    if beat["stage"] == "training":
        return f"epoch {beat['done']}/{beat['total']}"
    return f"evaluation {beat['done'] + 1}/{beat['total']}, {beat['stage']}"


class ProgressDisplay(Listener):
    """Shows a run: counts, failures, time left, and what each worker is doing.

    On a terminal it redraws itself; elsewhere it prints one line a finished cell.
    """

    def __init__(self, console: Console, benchmark: Benchmark) -> None:
        self.console = console
        self.benchmark = benchmark
        self.total = self.done = self.failed = self.cached = 0
        self.left: dict[str, PlannedCell] = {}
        self.started = time.monotonic()
        self._redraws = console.is_terminal and not console.is_dumb_terminal
        self._lock = threading.Lock()
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> ProgressDisplay:
        if self._redraws:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._redraws:
            self._live.stop()
        if kind is KeyboardInterrupt:  # say what it leaves
            self.console.print(f"stopped: {self.headline()}", markup=False)

    def note(self, text: str) -> None:
        self.console.print(text, markup=False)

    def planned(self, plan: Plan) -> None:
        with self._lock:
            self.left = {planned.cell.key: planned for planned in plan.to_do}
            self.total, self.cached = len(plan.cells), len(plan.cells) - len(plan.to_do)
            self.started = time.monotonic()
        self.console.print(plan_line(plan), markup=False)

    def finished(self, planned: PlannedCell, status: str) -> None:
        with self._lock:
            self.left.pop(planned.cell.key, None)
            self.done += 1
            self.failed += status != "done"
        name = _name(planned.cell.identity)
        if status != "done":
            self.console.print(f"[red]{status}[/] {escape(name)}")
        if not self._redraws:
            self.console.print(f"{self.headline()} · {status} {name}", markup=False)

    def seconds_left(self) -> float | None:
        """Estimate the time left from what finished, weighted by the plan's estimates where it has any."""
        if not self.done:
            return None
        elapsed = time.monotonic() - self.started
        estimates = [planned.seconds for planned in self.left.values() if planned.seconds]
        if estimates and len(estimates) == len(self.left):
            return sum(estimates) / max(1, min(self.benchmark.workers or 1, len(estimates)))
        return elapsed / self.done * len(self.left)

    def headline(self) -> str:
        """Return the counts: "37/96 cells, 2 failed, ~14 min left"."""
        line = f"{self.cached + self.done}/{counted(self.total, 'cell')}"
        if self.failed:
            line += f", {self.failed} failed"
        left = self.seconds_left()
        if self.left and left is not None:
            line += f", ~{duration(left)} left"
        return line

    def _render(self) -> Group:
        with self._lock:
            bar = ProgressBar(total=max(1, self.total), completed=self.cached + self.done, width=40)
            lines: list[Any] = [bar, Text(self.headline())]
        for beat in running_cells(self.benchmark.store.folder):
            elapsed = duration(time.time() - beat["started"])
            lines.append(Text(f"  {_name(beat)}: {_stage(beat)} ({elapsed})", style="dim"))
        return Group(*lines)
