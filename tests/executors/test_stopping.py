"""A run that is stopped ends in order, whatever stops it and whenever: one line, and it can go on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from reldrop_bench import load_results
from reldrop_bench.cli.stopping import QUIET, Stopping
from reldrop_bench.matrix.cells import expand
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.runner import Listener, run
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import Heartbeat
from tests.executors.test_local import start, wait_for_work

LINE = "interrupted; run the same command again to go on where it stopped\n"


@pytest.fixture
def long_spec(tiny_spec: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(tiny_spec | {"seeds": 1, "recipe": {"epochs": 100_000}}))
    return path


def stopped(process: subprocess.Popen[bytes]) -> str:
    """Return what a process that is ending wrote to its standard error; nothing of it stays."""
    family = psutil.Process(process.pid).children(recursive=True)
    error = process.communicate(timeout=120)[1].decode()
    _gone, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    return error


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGINT], 130), ([signal.SIGINT] * 3, 130), ([signal.SIGTERM], 143)],
    ids=["Ctrl-C", "three quick Ctrl-C", "SIGTERM"],
)
def test_a_signal_stops_workers_notes_cells_and_says_how_to_go_on(
    signals: list[signal.Signals],
    code: int,
    long_spec: Path,
    tmp_path: Path,
    plugin_folder: Path,
) -> None:
    """Exit codes are 128 and the number of the signal, as shells have it."""
    folder = tmp_path / "out"
    process = start(long_spec, folder, plugin_folder)
    wait_for_work(process, folder)
    for number in signals:
        # Ctrl-C reaches the whole group, SIGTERM from `kill` one process.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        time.sleep(0.1)
    assert stopped(process) == LINE
    assert process.returncode == code
    cells = load_results(folder).cells
    assert "interrupted" in set(cells.status)
    assert set(cells.status) <= {"interrupted", "missing"}
    assert not list((folder / "running").glob("*"))


@pytest.mark.slow
def test_ctrl_c_while_workers_import_is_one_line(
    long_spec: Path, tmp_path: Path, plugin_folder: Path
) -> None:
    process = start(long_spec, tmp_path / "out", plugin_folder)
    family = psutil.Process(process.pid)
    deadline = time.monotonic() + 120
    while len(family.children()) < 3 and time.monotonic() < deadline:  # a tracker and two workers
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert stopped(process) == LINE
    assert process.returncode == 130


@pytest.mark.slow
def test_a_whole_group_that_is_asked_to_end_leaves_no_failed_cell(
    long_spec: Path, tmp_path: Path, plugin_folder: Path
) -> None:
    """As a scheduler does it, in whatever order the processes hear it."""
    folder = tmp_path / "out"
    process = start(long_spec, folder, plugin_folder)
    wait_for_work(process, folder)
    os.killpg(process.pid, signal.SIGTERM)
    assert stopped(process) == LINE
    assert process.returncode == 143
    assert set(load_results(folder).cells.status) <= {"interrupted", "missing"}


@pytest.mark.usefixtures("plugin_folder")
def test_the_next_run_tells_of_a_process_that_ended_without_a_word(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    """As os._exit in this process leaves it: a heartbeat, and nobody who has it."""
    benchmark = prepare(tiny_spec, Options(tmp_path, workers=0))
    cell = expand(benchmark.spec).cells[1]
    store = Store(tmp_path)
    store.write_benchmark(benchmark.record())
    store.write_heartbeat(
        Heartbeat(**cell.identity, pid=4_000_000, started=0.0, stage="training", done=1, total=2)
    )
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    results = run(tiny_spec, output=tmp_path, workers=0, listener=Notes())
    assert results.exit_code == 0
    told = [note for note in notes if "ended without a word while it was at training" in note]
    assert len(told) == 1
    assert "tiny-blobs · cutout · seed 0" in told[0]
    assert not list(store.running.glob("*"))


def test_signals_that_follow_quickly_are_not_heard_and_later_ones_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stopping = Stopping()
    assert stopping.exit_code is None
    with pytest.raises(KeyboardInterrupt):
        stopping._hear(signal.SIGTERM, None)
    stopping._hear(signal.SIGINT, None)
    assert stopping.exit_code == 143
    now += QUIET
    with pytest.raises(KeyboardInterrupt):
        stopping._hear(signal.SIGINT, None)
    assert stopping.exit_code == 130
