"""What is remembered of cells' times: added up, bounded, told apart by machine, harmless where damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.running import timings
from reldrop_bench.running.runner import run
from reldrop_bench.running.timings import (
    LATEST,
    CellKind,
    Timing,
    remember,
    remembered,
    this_machine,
    timings_file,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache folder of this test, which does not exist yet."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def timing(number: int = 0, seconds: float = 1.0, used: float = 0.0) -> Timing:
    return Timing(
        machine="m",
        setting=f"s{number}",
        regularizer="r",
        guided="g",
        epoch=[seconds],
        evaluations={"e": [seconds / 2]},
        used=used,
    )


def test_times_of_a_kind_are_joined_and_the_latest_are_kept(cache: Path) -> None:
    for number in range(LATEST + 3):
        remember([timing(seconds=number), timing(1)])
    first, second = sorted(remembered(), key=lambda each: each.setting)
    assert first.epoch == list(range(3, LATEST + 3))
    assert first.evaluations == {"e": [number / 2 for number in range(3, LATEST + 3)]}
    assert second.epoch == [1.0] * LATEST
    assert [file.name for file in cache.iterdir()] == ["timings.json"], "no temporary file stays"


def test_another_machine_is_another_entry(cache: Path) -> None:
    other = timing().model_copy(update={"machine": "other"})
    remember([timing(), other])
    assert {each.machine for each in remembered()} == {"m", "other"}


def test_the_file_stays_bounded_and_forgets_what_was_not_met_for_longest(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timings, "MOST_KINDS", 5)
    remember(timing(number, used=number) for number in range(9))
    assert {each.setting for each in remembered()} == {"s4", "s5", "s6", "s7", "s8"}


DAMAGED = {
    "nothing": b"",
    "half a file": b'[{"machine": "m", "sett',
    "no list": b'{"a": 1}',
    "another type": b'[{"machine": 3}]',
    "bytes": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
    "not finite": b'[{"machine":"m","setting":"s","regularizer":"r","guided":"g","epoch":[NaN]}]',
    "below zero": b'[{"machine":"m","setting":"s","regularizer":"r","guided":"g","epoch":[-1]}]',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_as_none_and_is_replaced(cache: Path, content: bytes) -> None:
    cache.mkdir()
    timings_file().write_bytes(content)
    assert remembered() == []
    remember([timing()])
    assert [each.setting for each in remembered()] == ["s0"]


def test_a_file_that_is_too_large_is_not_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember([timing()])
    monkeypatch.setattr(timings, "MOST_BYTES", 10)
    assert remembered() == []


def test_a_cache_folder_that_cannot_be_written_is_no_matter(cache: Path) -> None:
    cache.write_text("a file where the folder would be")  # for root as well
    assert remembered() == []
    remember([timing()])
    assert remembered() == []
    assert cache.read_text() == "a file where the folder would be"


@pytest.mark.usefixtures("plugin_folder")
def test_a_run_remembers_what_its_records_say(
    cache: Path, tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    results = run(tiny_spec, output=tmp_path / "out", workers=0)
    kinds = {each.regularizer: each for each in remembered()}
    assert set(kinds) == {"none", "cutout"}
    assert {each.machine for each in kinds.values()} == {this_machine(1)}
    records = [json.loads(p.read_text()) for p in (tmp_path / "out").glob("cells/*/cell.json")]
    assert len(records) == len(results.cells) == 4
    for name, each in kinds.items():
        own = [r for r in records if r["components"]["regularizer"]["name"] == name]
        epochs = [r["training"]["train_seconds"] / r["training"]["epochs"] for r in own]
        assert sorted(each.epoch) == pytest.approx(sorted(epochs))
        assert {json.loads(text)[0] for text in each.evaluations} == {"accuracy", "shifts"}
    before = timings_file().read_bytes()
    run(tiny_spec, output=tmp_path / "out", workers=0)
    assert timings_file().read_bytes() == before, "nothing was computed"
    # An evaluation alone: its time is added, that of the training is not added again.
    run(
        tiny_spec | {"evaluations": ["accuracy", "shifts", "calibration"]},
        output=tmp_path / "out",
        workers=0,
    )
    after = {each.regularizer: each for each in remembered()}
    assert after["none"].epoch == kinds["none"].epoch
    counts = {json.loads(text)[0]: len(times) for text, times in after["none"].evaluations.items()}
    assert counts == {"accuracy": 2, "shifts": 2, "calibration": 2}


@pytest.mark.usefixtures("plugin_folder")
def test_cells_that_differ_in_their_seed_alone_are_of_one_kind(tiny_spec: dict[str, Any]) -> None:
    from reldrop_bench.running.benchmark import Options, prepare

    def kinds(spec: dict[str, Any]) -> set[CellKind]:
        return {CellKind.of(cell.components) for cell in prepare(spec, Options()).cells}

    assert len(kinds(tiny_spec)) == 2
    assert kinds(tiny_spec) == kinds(tiny_spec | {"seeds": [7], "recipe": {"epochs": 9}})
    for change in (
        {"recipe": {"batch_size": 3}},
        {"model": {"small-cnn": {"width": 8}}},
        {"regularizers": ["none", {"cutout": {"size": 0.25}}]},
    ):
        assert kinds(tiny_spec) != kinds(tiny_spec | change)
