"""Energy counters, on files like those of the system."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reldrop_bench.running.energy import EnergyMeter, gpu_counter, processor_counters

CPU = torch.device("cpu")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    for name, called, value in (
        ("intel-rapl:0", "package-0", 100),
        ("intel-rapl:1", "package-1", 900),
        ("intel-rapl:2", "psys", 5000),  # the platform, which holds the others
        ("intel-rapl:0:0", "core", 50),  # a part of 0
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{called}\n")
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    (tmp_path / "dtpm").mkdir()
    return tmp_path


def move(root: Path, name: str, value: int) -> None:
    (root / name / "energy_uj").write_text(f"{value}\n")


def test_whole_processors_are_added_up_and_wrapping_counters_followed(powercap: Path) -> None:
    assert [path.name for path in processor_counters(powercap)] == ["intel-rapl:0", "intel-rapl:1"]
    with EnergyMeter(CPU, powercap) as meter:
        move(powercap, "intel-rapl:0", 400)  # + 300
        move(powercap, "intel-rapl:1", 100)  # + 200, by way of 999
        meter.read()
        move(powercap, "intel-rapl:1", 50)  # + 950: it went around once more
    assert meter.joules == pytest.approx((300 + 200 + 950) / 1e6)


def test_a_counter_that_fails_gives_none_and_ends_nothing(powercap: Path) -> None:
    with EnergyMeter(CPU, powercap) as meter:
        (powercap / "intel-rapl:1" / "energy_uj").unlink()
        meter.read()
    assert meter.joules is None


def test_a_machine_that_does_not_tell_gives_none(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        with EnergyMeter(CPU, root) as meter:
            meter.read()
        assert meter.joules is None
    (tmp_path / "intel-rapl:0").mkdir()
    (tmp_path / "intel-rapl:0" / "name").write_text("package-0\n")
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir()  # unreadable for whoever asks
    assert processor_counters(tmp_path) == {}
    assert gpu_counter(CPU) is None
