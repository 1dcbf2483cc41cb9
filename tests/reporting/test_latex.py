"""The LaTeX report compiles with pdflatex, and what it prints is what was said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from reldrop_bench.kinds.section import Prose, Table
from reldrop_bench.reporting import Report, latex
from reldrop_bench.reporting.values import ROWS
from reldrop_bench.results import Results

Make = Callable[..., Results]
NASTY = (
    "none",
    "<script>alert(1)</script> & 50% of_$x^2$ #1 {a} ~ \\input{x}",
    "*[1cm] α=0.5, β₂ ≥ λ → κ² “q” -- `b` 'c' |",
    "[b] Łódź ąę đ ß æ € 名前",
)


GLYPHS = str.maketrans({"ˆ": "^", "˜": "~", "µ": "μ", "∆": "Δ", "\u2126": "Ω", "ϵ": "ε", "ϕ": "φ"})
"""Other names of what is printed, which depend on the font."""


def tool(name: str, package: str) -> str:
    """Return a program's path; without it the test is skipped, in CI it fails."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed; on Debian: apt-get install {package}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def compiled(path: Path) -> str:
    """Compile a document twice, and return the text of its pages."""
    program = tool("pdflatex", "texlive-latex-base texlive-latex-recommended")
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", path.name]
    for _ in range(2):
        run = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
        assert run.returncode == 0, run.stdout.decode("utf-8", "replace")[-2000:]
    log = path.with_suffix(".log").read_text(encoding="latin-1")
    assert "Float too large" not in log
    pages = tool("pdftotext", "poppler-utils")
    pdf = str(path.with_suffix(".pdf"))
    run = subprocess.run([pages, "-raw", pdf, "-"], capture_output=True, check=True)
    return run.stdout.decode("utf-8").translate(GLYPHS)


def document(folder: Path, *parts: str) -> Path:
    path = folder / "document.tex"
    body = "\n\n".join(parts)
    path.write_text(
        f"{latex.PREAMBLE}\\begin{{document}}\n{body}\n\\end{{document}}\n", encoding="utf-8"
    )
    return path


def squeezed(text: str) -> str:
    """Return the text without spaces, and without underscores: LaTeX prints those as rules."""
    return re.sub(r"[\s_]+", "", text)


def test_a_report_with_hostile_names_compiles_and_shows_them(
    make_results: Make, tmp_path: Path
) -> None:
    results = make_results(
        labels=NASTY,
        tasks=("digits", "cue-points"),
        seeds=2,
        failed=(("cue-points", NASTY[1], 0),),
        error="Boom </pre><script>alert(2)</script> 50% & a_b \\input{x} [y]",
    )
    path = Report(replace(results, name="\\write18{id} & <b>")).write(tmp_path, "latex")
    text = squeezed(compiled(path))
    assert "Thissectionfailed" not in text
    assert r"\write18{id}&<b>" in text
    assert "<script>alert(1)</script>&50%of$x^2$#1{a}~\\input{x}" in text
    assert "*[1cm]α=0.5,β2≥λ→κ2" in text
    assert "U+540DU+524D" in text
    assert r"alert(2)</script>50%&ab\input{x}[y]" in text


def test_every_character_of_the_table_compiles(tmp_path: Path) -> None:
    text = " ".join(latex.CHARACTERS)
    assert len(latex.CHARACTERS) > 300
    path = document(tmp_path, latex.prose(Prose(text)), latex.prose(Prose(text, "code")))
    assert "Ω" in compiled(path)


def test_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    lines = [
        "plain text, numbers: −0.010 ± 0.004 [−0.020, +0.010]; a--b --- c ,, <<d>> !x ?y",
        "\\begin{verbatim} \\end{document} \\def\\x{} $\\alpha$ ^^M %comment",
        "α β γ δ ε κ λ μ σ τ φ ω Δ Σ Ω ≤ ≥ ≈ ∞ × → ← ∈",
    ]
    text = squeezed(compiled(document(tmp_path, *(latex.prose(Prose(line)) for line in lines))))
    for line in lines:
        assert squeezed(line) in text


def test_what_cannot_be_typeset_is_its_code_point() -> None:
    assert latex.escaped("名 🙂 ſ") == "U+540D U+1F642 U+017F"


def test_code_keeps_its_indent_and_its_empty_lines(tmp_path: Path) -> None:
    code = 'Traceback:\n  File "x.py", line 1\n\n    *f(%s_{})\n[end]'
    text = compiled(document(tmp_path, latex.prose(Prose(code, "code"))))
    shown = [line.strip() for line in text.splitlines() if line.strip()]
    assert shown[0] == "Traceback:"
    assert shown[2] == "*f(%s_{})"
    assert shown[3] == "[end]"


def test_long_tables_stay_on_their_pages(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": [f"row {number}." for number in range(ROWS + 5)], "x": 0.5})
    long = Table("long", "A long one.", frame)
    text = compiled(document(tmp_path, latex.table(long)))
    assert all(f"row {number}." in text for number in range(ROWS))
    assert f"row {ROWS}." not in text
    assert f"The first {ROWS} of {ROWS + 5} rows; all are in tables/long.csv." in text
    assert text.count("Table 1: (continued)") == ROWS // latex.TALLEST - 1
    assert "Table 2" not in text


def test_wide_tables_and_long_texts_fit_the_line(tmp_path: Path) -> None:
    wide = pd.DataFrame([{f"column {number}": "1.000 ± 0.000" for number in range(30)}])
    words = pd.DataFrame({"label": ["a"], "reason": ["word " * 300], "file": ["a/b_c" * 40]})
    tables = (Table("wide", "Wide.", wide), Table("words", "Words.", words))
    path = document(tmp_path, *(latex.table(table) for table in tables))
    text = compiled(path)
    assert "column 29" in text
    log = path.with_suffix(".log").read_text(encoding="latin-1")
    wide_by = [float(found) for found in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert all(points < 5 for points in wide_by), wide_by


def test_narrow_tables_keep_their_size() -> None:
    text = latex.table(Table("t", "T.", pd.DataFrame({"a": [1.0]})))
    assert "\\ifdim\\wd2>\\linewidth" in text
    assert "adjustbox" not in text + latex.PREAMBLE
