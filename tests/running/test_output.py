"""What a cell prints, and what a full disk does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from reldrop_bench import load_results, run
from reldrop_bench.cli import main
from reldrop_bench.errors import UserError, one_line, printable, shortened
from reldrop_bench.reporting import Report
from reldrop_bench.results import Results
from reldrop_bench.running.output import LIMIT, kept_in
from reldrop_bench.store.folder import Store

TALKATIVE = '''
"""Prints a lot, by Python and below it, then fails."""

import os

from reldrop_bench import Batch, Regularizer, Step


class Talkative(Regularizer):
    """Prints."""

    name = "talkative"
    megabytes: int = 0

    def transform(self, batch: Batch, step: Step) -> Batch:
        print("by Python")
        os.write(2, b"below Python\\n")
        for _ in range(self.megabytes):
            print("x" * 2**20)
        if self.megabytes:
            raise ValueError("\\x1b[31mred\\x07 " + "y" * 10**6 + "\\x1b]0;title")
        return batch
'''


@pytest.fixture
def talkative(tmp_path: Path, add_plugins: Callable[[Path], None], plugin_folder: Path) -> None:
    (tmp_path / "own" / "regularizers").mkdir(parents=True)
    (tmp_path / "own" / "regularizers" / "talkative.py").write_text(TALKATIVE)
    add_plugins(tmp_path / "own")


def test_a_cell_prints_to_its_own_file_and_what_it_raises_cannot_reach_the_terminal(
    talkative: None, tiny_spec: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    methods = ["none", "talkative", {"talkative": {"megabytes": 30}}]
    results = run(
        tiny_spec | {"regularizers": methods, "seeds": 1, "evaluations": ["accuracy"]},
        output=tmp_path / "out",
        workers=1,
    )
    told = capfd.readouterr()
    assert "Python" not in told.out + told.err
    store = Store(tmp_path / "out")
    cells = results.cells.set_index("label")
    assert list(cells.status) == ["done", "done", "failed"]
    quiet, some, much = (store.output_file(key) for key in cells.key)
    assert not quiet.exists()
    lines = some.read_text().splitlines()
    assert set(lines) == {"by Python", "below Python"}
    assert len(lines) % 2 == 0
    assert LIMIT < much.stat().st_size < 33 * 2**20
    assert set(much.read_text().splitlines()[:2]) <= {"by Python", "below Python", "x" * 2**20}
    record = store.read_cell(cells.key.iloc[2])
    assert record is not None
    for text in (record.error, record.traceback):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert record.error.startswith("ValueError: \N{REPLACEMENT CHARACTER}[31mred")
    assert len(record.traceback) < 25_000


def test_output_is_cut_where_it_grows_too_large_and_the_terminal_is_given_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cells" / "output.txt"
    with kept_in(file) as look:
        os.write(1, b"z" * (LIMIT + 1))
        look()
        os.write(2, b"not kept\n")
        os.write(1, b"nor this\n")
    os.write(1, b"back\n")
    text = file.read_text()
    assert text.endswith("[what follows is left out: more than 4 MiB]\n")
    assert "not kept" not in text
    assert "nor this" not in text
    with kept_in(tmp_path / "nothing.txt"):
        pass
    assert not (tmp_path / "nothing.txt").exists()
    assert capfd.readouterr().out == "back\n"


def test_what_a_terminal_would_obey_is_replaced() -> None:
    assert one_line("a\x1b[2Jb\r\nc\u202ed\x9b") == "a�[2Jb c�d�"
    assert printable("line\n\tline é 漢 👩\u200d🔬") == "line\n\tline é 漢 👩\u200d🔬"
    assert shortened("ab" * 100, 20) == "ab" * 5 + "\n[… 180 characters …]\n" + "ab" * 5


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    tiny_spec: dict[str, Any],
    plugin_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, out = tmp_path / "spec.yaml", tmp_path / "out"
    spec.write_text(yaml.safe_dump(tiny_spec | {"evaluations": ["accuracy"]}))
    command = ["run", str(spec), "--output", str(out), "--workers", "0", "--no-report"]
    fsync, written = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal written
        written += 1
        if written > 6 and os.fstat(descriptor).st_size > 5_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert str(out) in line
    assert line.endswith("free some space; the same command goes on")
    assert not list(out.rglob("*.tmp"))
    statuses = list(load_results(out).cells.status)
    assert "missing" in statuses, "it went on and trained in vain"

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 0
    assert list(load_results(out).cells.status) == ["done"] * 4


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (errno.ENOSPC, "free some space; the same command goes on"),
        (errno.EEXIST, "choose another place"),
    ],
)
def test_a_report_that_cannot_be_written_says_what_to_do(
    complete: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, hint: str
) -> None:
    def refused(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(UserError) as told:
        Report(complete).write(tmp_path / "report", format="csv")
    assert str(told.value) == (
        f"the report cannot be written to {tmp_path / 'report'}: {os.strerror(code)}; {hint}"
    )
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_file_in_place_of_a_results_folder_is_told(tmp_path: Path) -> None:
    """Nothing in it is damaged, and nothing is to be moved away."""
    file = tmp_path / "results"
    file.write_text("mine")
    for call in (lambda: Store(file).claimed("tiny"), lambda: load_results(file)):
        with pytest.raises(UserError, match=r"is a file; give a folder$"):
            call()
    assert file.read_text() == "mine"
