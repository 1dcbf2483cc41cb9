"""What is built in computes the same bits, whatever other code computes beside it or before it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.kinds.executor import Resources
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.runner import Listener, execute, run
from reldrop_bench.store.load import load_results
from tests.hostile_plugins import HOWS, write_hostile_plugins
from tests.running.test_integrity import same_cells

BUILT_IN = ("none", "cutout", "random-erasing")


@pytest.fixture
def spec(tiny_spec: dict[str, Any]) -> dict[str, Any]:
    return tiny_spec | {"regularizers": list(BUILT_IN), "seeds": 1}


def isolated(
    spec: dict[str, Any], hows: list[str], workers: int, tmp_path: Path, add: Callable[[Path], None]
) -> None:
    """Assert that cells between hostile ones are those that are computed alone, before any are known."""
    run(spec, output=tmp_path / "alone", workers=0)
    before = os.getcwd()
    folder = write_hostile_plugins(tmp_path / "hostile")
    add(folder)
    entries = [{"name": "hostile", "how": how, "label": how} for how in hows]
    mixed = spec | {"regularizers": ["hostile-import", *entries, *spec["regularizers"]]}
    benchmark = prepare(mixed, Options(tmp_path / "mixed", workers=workers))
    random.Random(workers).shuffle(benchmark.chosen)
    execute(benchmark, Listener())
    assert os.getcwd() == before
    same_cells(tmp_path / "alone", tmp_path / "mixed", BUILT_IN)
    cells = load_results(tmp_path / "mixed").cells.set_index("label")
    for label in BUILT_IN:
        assert cells.deviations[label] == []
    for how in hows:
        assert HOWS[how] in f"{cells.error[how]} {' '.join(cells.deviations[how])}"
    assert "torch's default dtype" in cells.deviations["hostile-import"][0]
    # Its file is run where this process looks at all plugins, and in the one worker of its cell.
    runs = (folder / "regularizers" / "imported").read_text().split()
    assert len(set(runs) - {str(os.getpid())}) == 1


@pytest.mark.usefixtures("plugin_folder")
def test_a_hostile_file_and_a_hostile_cell_change_no_other(
    spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    isolated(spec, ["loss"], 1, tmp_path, add_plugins)


@pytest.mark.slow
@pytest.mark.usefixtures("plugin_folder")
@pytest.mark.parametrize("workers", [1, 2])
def test_built_in_cells_between_all_hostile_ones_are_bit_for_bit_as_alone(
    workers: int, spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    assert len(HOWS) >= 10
    isolated(spec, list(HOWS), workers, tmp_path, add_plugins)


def test_built_in_cells_share_their_workers(tmp_path: Path) -> None:
    """Nothing is started anew where all is built in: the quickstart pays nothing for isolation."""
    benchmark = prepare("quickstart", Options(tmp_path, workers=2))
    from reldrop_bench.running.runner import _jobs

    jobs = _jobs(benchmark, benchmark.plan().to_do)
    assert {job.sources for job in jobs} == {frozenset()}
    assert len(jobs) > 20


def test_a_worker_is_used_again_for_its_own_kind_of_jobs_alone(tmp_path: Path) -> None:
    """Four jobs of two kinds, as one worker meets them: two processes."""
    from reldrop_bench.checking.executors import NotedJob, _lines
    from reldrop_bench.executors.local import LocalPool

    log, other = tmp_path / "log", frozenset({"other"})
    jobs = [
        NotedJob("a", log),
        NotedJob("b", log, sources=other),
        NotedJob("c", log),
        NotedJob("d", log, sources=other),
    ]
    LocalPool().run(jobs, lambda job, status: None, Resources(workers=1, seconds=60))
    began = [(key, event) for key, event in _lines(log) if event.startswith("began")]
    assert [key for key, _ in began] == ["a", "c", "b", "d"]
    processes = [event.split()[-1] for _, event in began]
    assert processes[0] == processes[1]
    assert processes[2] == processes[3]
    assert len(set(processes)) == 2
