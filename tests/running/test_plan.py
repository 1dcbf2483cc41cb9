"""What a plan says of time: from which sources, between which limits, and what it does not know."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.cli.progress import duration_range, plan_data, plan_line
from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.plugins import VARIABLE
from reldrop_bench.running.benchmark import Benchmark, Options, prepare
from reldrop_bench.running.estimates import Book, Measured, Span
from reldrop_bench.running.runner import run
from reldrop_bench.running.timings import (
    CellKind,
    Timing,
    evaluation_text,
    remember,
    remembered,
    this_machine,
)

pytestmark = pytest.mark.usefixtures("plugin_folder")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def ready(spec: dict[str, Any], folder: Path, workers: int = 0) -> Benchmark:
    return prepare(spec, Options(folder, workers=workers))


def took(cell: CellSpec, epoch: list[float], seconds: dict[str, float], **changes: Any) -> Timing:
    kind = CellKind.of(cell.components)
    named = {each.name: evaluation_text(each) for each in cell.evaluations}
    values = {
        "machine": this_machine(cell.threads),
        "setting": kind.setting,
        "regularizer": kind.regularizer,
        "guided": kind.guided,
        "epoch": epoch,
        "evaluations": {named[name]: [value] for name, value in seconds.items()},
    }
    return Timing(**values | changes)


def test_without_measuring_nothing_is_run_and_nothing_is_said_of_the_time(
    tiny_spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")

    def refuse(*_: Any) -> None:
        raise AssertionError("it opens data or builds a network to train")

    task = type(benchmark.cells[0].task.plugin)
    for name in ("splits", "test"):
        monkeypatch.setattr(task, name, refuse)
    plan = benchmark.plan(measure=False)
    assert plan.span is None
    assert plan.seconds is None
    assert "time unknown" in plan_line(plan)
    assert not (tmp_path / "cache").exists()


def test_what_is_remembered_of_this_machine_is_added_up(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")
    epochs = benchmark.cells[0].recipe.epochs
    none, cutout = benchmark.cells[:2]
    remember([took(none, [1.0], {"accuracy": 0.5, "shifts": 0.25}), took(cutout, [3.0], {})])
    plan = benchmark.plan()
    assert [planned.seconds for planned in plan.cells] == [
        epochs * seconds + 0.75 for seconds in (1.0, 3.0, 1.0, 3.0)
    ]
    assert plan.seconds == 2 * (4 * epochs + 1.5)
    assert plan.span is not None
    assert plan.span.low < plan.seconds < plan.span.high
    assert plan.not_counted == []


def test_another_machine_is_not_asked(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")
    remember([took(benchmark.cells[0], [1.0], {}, machine="another")])
    assert benchmark.plan().span is None


def test_records_of_the_folder_come_before_what_is_remembered(
    tiny_spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny_spec, output=tmp_path / "out", workers=0)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "another cache"))
    more = ready(tiny_spec | {"seeds": 3}, tmp_path / "out")
    by_records = more.plan().seconds
    assert by_records is not None
    seconds = {"accuracy": 1000.0, "shifts": 1000.0}
    remember([took(cell, [1000.0] * 8, seconds) for cell in more.cells[:2]])
    assert more.plan().seconds == by_records
    elsewhere = ready(tiny_spec | {"seeds": 3}, tmp_path / "empty")
    assert elsewhere.plan().seconds == pytest.approx(
        6 * (1000 * elsewhere.cells[0].recipe.epochs + 2000), rel=0.01
    )


def test_an_evaluation_with_other_parameters_was_not_timed(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"evaluations": ["accuracy", "calibration"]}
    benchmark = ready(spec, tmp_path / "out")
    remember([took(benchmark.cells[0], [1.0], {"accuracy": 0.5, "calibration": 0.25})])
    changed = spec | {"evaluations": ["accuracy", {"calibration": {"bins": 3}}]}
    plan = ready(changed, tmp_path / "out").plan()
    assert plan.not_counted == ["calibration"]
    assert plan_data(plan, benchmark)["not_counted"] == ["calibration"]


def test_measuring_counts_evaluations_and_gives_a_wider_range_than_remembering(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"evaluations": ["accuracy", "occlusion", "diversity", "cost"]}
    benchmark = ready(spec, tmp_path / "out")
    measured = benchmark.plan(measure=True)
    assert measured.not_counted == []
    assert all(planned.estimate.evaluations["occlusion"].middle > 0 for planned in measured.cells)
    assert remembered() == [], "a plan writes nothing"
    run(spec, output=tmp_path / "other", workers=0)
    known = benchmark.plan(measure=True)
    widths = [plan.span.high / plan.span.low for plan in (measured, known) if plan.span]
    assert widths[0] > widths[1] > 1


def test_an_evaluation_that_declares_nothing_is_named(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "plugins" / "evaluations"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(
        "from reldrop_bench import Context, Evaluation, Record\n\n\n"
        "class Mine(Evaluation):\n"
        '    """One number."""\n\n'
        "    name = 'mine'\n    uses_relevance = False\n\n"
        "    def evaluate(self, context: Context, record: Record) -> None:\n"
        "        record.metric('test', 'one', 1.0)\n"
    )
    spec = tiny_spec | {"evaluations": ["accuracy", "mine:fast"]}
    benchmark = prepare(spec, Options(tmp_path / "out", 0, plugins=[folder.parent]))
    plan = benchmark.plan(measure=True)
    assert plan.not_counted == ["mine"]
    run(spec, output=tmp_path / "out", workers=0, plugins=[folder.parent])
    more = prepare(spec | {"seeds": 3}, Options(tmp_path / "out", 0, plugins=[folder.parent]))
    assert more.plan(measure=True).not_counted == []


def measured_book(cells: list[CellSpec], epoch: float, passing: float) -> Book:
    """Return a book in which a forward pass, and an epoch of every kind, take a given time."""
    from reldrop_bench.kinds.workload import Workload

    book = Book()
    for cell in cells:
        kind = CellKind.of(cell.components)
        workload = Workload(cell.task.plugin.facts(None), items=1000, shifts=2, training=1000)
        book.measured[kind.setting] = Measured(workload, passing)
        book.add_probe(kind, epoch)
    return book


@pytest.mark.parametrize(("seconds", "told"), [(0.4, False), (0.6, True), (30.0, True)])
def test_evaluations_that_take_more_than_half_of_the_trainings_time_are_told(
    tiny_spec: dict[str, Any], tmp_path: Path, seconds: float, told: bool
) -> None:
    spec = tiny_spec | {"evaluations": ["occlusion"]}
    benchmark = ready(spec, tmp_path / "out")
    epochs = benchmark.cells[0].recipe.epochs
    remember([took(cell, [1.0 / epochs], {"occlusion": seconds}) for cell in benchmark.cells[:2]])
    advice = benchmark.plan().advice
    assert bool(advice) == told
    if told:
        assert f"about {seconds:.0f} times" in advice or f"about {seconds:.1f} times" in advice
        assert "occlusion:fast" in advice
        # A quarter of the samples and half of the fractions, and the maps of the reference.
        after = float(advice.rpartition("about ")[2].removesuffix(" times"))
        assert after == pytest.approx(seconds / 8, rel=0.1, abs=0.05)


def test_size_fast_is_not_advised_to_who_has_it(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    benchmark = ready(tiny_spec | {"evaluations": ["occlusion:fast"]}, tmp_path / "out")
    remember([took(benchmark.cells[0], [1.0], {"occlusion": 100.0})])
    assert "occlusion:fast" not in benchmark.plan().advice
    assert "times as long as training" in benchmark.plan().advice


def test_estimates_by_passes_follow_from_what_an_evaluation_declares(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    spec = tiny_spec | {"evaluations": ["shifts", "calibration", "cues"]}
    cells = ready(spec, tmp_path / "out").cells
    book = measured_book(cells, epoch=1.0, passing=0.001)
    found = book.estimate(cells[0], cells[0].evaluations, trains=True)
    assert found.evaluations["calibration"].middle == 0
    assert found.evaluations["cues"].middle == 0, "it does not apply"
    span = found.evaluations["shifts"]
    assert span.low <= 2 * 1000 * 0.001 <= span.high
    assert found.training == Span(1.0, 0.6, 2.2) * cells[0].recipe.epochs


def test_a_plan_with_workers_takes_less_and_counts_their_start(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")
    remember([took(cell, [1000.0], {}) for cell in benchmark.cells[:2]])
    alone, one, two = (
        ready(tiny_spec, tmp_path / "out", workers).plan().seconds for workers in (0, 1, 2)
    )
    assert alone is not None
    assert one is not None
    assert two is not None
    assert alone < one < alone + 60
    assert alone / 2 < two < alone / 2 + 60


@pytest.mark.parametrize(("load", "factor"), [(0.0, 1), (0.9, 1), (2.0, 2), (50.0, 4)])
def test_other_work_on_the_machine_draws_the_range_out(
    tiny_spec: dict[str, Any], tmp_path: Path, load: float, factor: float
) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")
    remember([took(cell, [1000.0], {}) for cell in benchmark.cells[:2]])
    quiet, busy = (replace(benchmark.plan(), load=each).span for each in (0.0, load))
    assert quiet is not None
    assert busy == replace(quiet, high=quiet.high * factor)


def test_ranges_are_said_as_a_person_says_them() -> None:
    assert duration_range(180, 480) == "3 to 8 min"
    assert duration_range(40, 480) == "40 s to 8 min"
    assert duration_range(5000, 9000) == "83 min to 2.5 h"
    assert duration_range(30.1, 30.2) == "30 s"


def test_json_holds_the_range(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    benchmark = ready(tiny_spec, tmp_path / "out")
    remember([took(cell, [1.0], {"accuracy": 1.0, "shifts": 1.0}) for cell in benchmark.cells[:2]])
    data = plan_data(benchmark.plan(), benchmark)
    for row in [data, *data["cells"]]:
        assert 0 < row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
    assert set(data["evaluation_seconds"]) == {"accuracy", "shifts"}


def test_a_finished_benchmark_takes_no_time(tiny_spec: dict[str, Any], tmp_path: Path) -> None:
    run(tiny_spec, output=tmp_path / "out", workers=0)
    plan = ready(tiny_spec, tmp_path / "out").plan(measure=True)
    assert plan.span == Span()
    assert [planned.seconds for planned in plan.cells] == [0.0] * 4


@pytest.mark.parametrize("times", [[1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 30.0]])
def test_a_span_holds_its_middle_and_most_of_the_times(times: list[float]) -> None:
    span = Span.around(times, (0.9, 1.1))
    assert span.low <= span.middle <= span.high
    assert span.high >= sorted(times)[max(len(times) - 2, 0)]
    wide = Span.around(times, (0.1, 100.0))
    assert wide.low <= span.low
    assert wide.high >= span.high
    assert all(a <= b for a, b in itertools.pairwise((span.low, span.middle, span.high)))


def test_a_plan_without_measuring_imports_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from reldrop_bench.running.benchmark import Options, prepare\n"
        f"prepare('quickstart', Options({str(tmp_path / 'out')!r})).plan()\n"
        "from reldrop_bench.cli import progress\n"
        "print(*sys.modules)\n"
    )
    env = os.environ | {VARIABLE: ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    imported = set(done.stdout.split())
    assert "torch" in imported
    needless = {
        "lightning_fabric", "matplotlib", "pandas", "pyarrow", "quantus", "scipy.stats", "sklearn",
        "statsmodels", "torch_geometric", "torchmetrics", "torchvision", "trimesh", "zennit",
    }  # fmt: skip
    assert imported & needless == set()
