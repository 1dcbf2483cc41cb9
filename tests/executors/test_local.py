"""Running benchmarks in worker processes: what one cell does costs that cell alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from reldrop_bench import load_results
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.runner import Listener, execute, run
from reldrop_bench.store.folder import Store

HOWS = ["raise", "loop", "nan", "kill", "exit", "leave", "sys-exit", "memory"]


def metrics_of(folder: Path) -> pd.DataFrame:
    order = ["key", "evaluation", "split", "metric"]
    return load_results(folder).metrics.sort_values(order, ignore_index=True)


@pytest.mark.usefixtures("plugin_folder")
def test_whatever_a_plugin_does_every_other_cell_is_done_and_its_row_says_why(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    entries = [{"name": "misbehaving", "how": how, "label": how} for how in HOWS]
    spec = tiny_spec | {
        "regularizers": ["none", *entries, "broken-import", "cutout"],
        "seeds": 1,
        "limits": {"seconds": 30, "memory": 3.0},
    }
    results = run(spec, output=tmp_path, workers=2)
    assert results.exit_code == 1
    cells = results.cells.set_index("label")
    assert cells.status.to_dict() == {
        "none": "done",
        "raise": "failed",
        "loop": "timeout",
        "nan": "failed",
        "kill": "failed",
        "exit": "failed",
        "leave": "failed",
        "sys-exit": "failed",
        "memory": "oom",
        "broken-import": "failed",
        "cutout": "done",
    }
    assert cells.error["raise"] == "RuntimeError: deliberately <b>broken</b> & $100 %"
    assert "longer than the limit of 30 s" in cells.error["loop"]
    assert "makes inputs NaN or infinite at epoch 1, step 3" in cells.error["nan"]
    assert "SIGKILL" in cells.error["kill"]
    assert "exit code 3" in cells.error["exit"]
    assert "exit code 0" in cells.error["leave"]
    assert "SystemExit" in cells.error["sys-exit"]
    assert "3.0 GiB" in cells.error["memory"]
    assert "no_such_room" in cells.error["broken-import"]
    record = Store(tmp_path).read_cell(cells.key["raise"])
    assert record is not None
    assert "misbehaving.py" in record.traceback
    assert not list((tmp_path / "running").glob("*")), "no heartbeat stays behind"


@pytest.mark.usefixtures("plugin_folder")
def test_workers_and_order_do_not_change_a_bit(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    for workers in (0, 1, 2):
        benchmark = prepare(tiny_spec, Options(tmp_path / str(workers), workers=workers))
        if workers == 2:
            random.Random(3).shuffle(benchmark.chosen)
        execute(benchmark, Listener())
    reference = metrics_of(tmp_path / "1")
    assert len(reference) > 4
    for workers in (0, 2):
        pd.testing.assert_frame_equal(
            reference, metrics_of(tmp_path / str(workers)), check_exact=True
        )
        for path in (tmp_path / "1").glob("cells/*/model.safetensors"):
            other = tmp_path / str(workers) / "cells" / path.parent.name / path.name
            assert other.read_bytes() == path.read_bytes()


def start(spec: Path, folder: Path, plugins: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from reldrop_bench.cli import main; main()"]
    arguments = [
        "run",
        str(spec),
        "--output",
        str(folder),
        "--workers",
        str(workers),
        "--plugins",
        str(plugins),
    ]
    return subprocess.Popen(
        [*command, *arguments, "--no-report"],
        start_new_session=True,
        # Where these tests run in the background of a shell, Ctrl-C is ignored and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for_work(process: subprocess.Popen[bytes], folder: Path, seconds: float = 120) -> None:
    """Return when a cell is being computed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if list(folder.glob("running/*.json")):
            return
        time.sleep(0.02)
    raise AssertionError(f"no cell was started: {process.communicate(timeout=10)[1].decode()}")


@pytest.mark.slow
def test_killed_at_ten_random_moments_and_resumed_gives_the_same_bits(
    tiny_spec: dict[str, Any], tmp_path: Path, plugin_folder: Path
) -> None:
    spec = tiny_spec | {"seeds": 10, "recipe": {"epochs": 4}}
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    run(spec, output=tmp_path / "whole", workers=0)
    moments = random.Random(0)
    folder = tmp_path / "killed"
    done = 0
    for _ in range(10):
        process = start(path, folder, plugin_folder)
        wait_for_work(process, folder)
        time.sleep(moments.uniform(0, 0.8))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
        statuses = load_results(folder).cells.status
        assert set(statuses) <= {"done", "missing", "interrupted"}, "no record is half-written"
        assert (statuses == "done").sum() >= done, "no record is lost"
        done = int((statuses == "done").sum())
    results = run(spec, output=folder, workers=2)
    assert results.exit_code == 0
    pd.testing.assert_frame_equal(
        metrics_of(tmp_path / "whole"), metrics_of(folder), check_exact=True
    )
    assert not list(folder.glob("cells/*/.*"))


def test_a_pool_names_the_signal_that_ended_a_worker() -> None:
    from reldrop_bench.executors.local import _death

    ended = _death(-11, memory_limit=None)
    assert (ended.status, ended.reason) == ("failed", "the process was ended by SIGSEGV")
