"""What a report can be asked: baseline, metric, margin, sections; and one line where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.reporting import Report
from reldrop_bench.reporting.question import asked, find_metric
from reldrop_bench.results import Results

Make = Callable[..., Results]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("accuracy", "accuracy/test/accuracy"),
        ("calibration/ece", "calibration/test/ece"),
        ("ece", "calibration/test/ece"),
        ("shifts/noise/1/accuracy", "shifts/noise/1/accuracy"),
        ("gini", "diversity/test/gini"),
        ("occlusion/test/random/mean/auc", "occlusion/test/random/mean/auc"),
    ],
)
def test_a_metric_is_found_by_as_much_as_is_needed(
    complete: Results, text: str, meant: str
) -> None:
    assert find_metric(complete, text) == meant
    assert asked(complete, metric=text).metric == meant


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"baseline": "cut-out"}, "no label of these results; did you mean 'cutout'"),
        ({"metric": "acuracy"}, "is not in these results; did you mean"),
        ({"metric": "shifts/accuracy"}, "may mean shifts/"),
        ({"margin": 0.0}, "is not above 0"),
        ({"margin": float("nan")}, "is not above 0"),
    ],
)
def test_what_is_not_there_is_one_line(
    complete: Results, question: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told) as caught:
        asked(complete, **question)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_another_baseline_turns_the_comparison_round(complete: Results, tmp_path: Path) -> None:
    results = asked(complete, baseline="cutout")
    page = Report(results, ["verdict"]).write(tmp_path).read_text(encoding="utf-8")
    assert "Every label against “cutout”" in page
    assert "“none”" in page or ">none<" in page


def test_several_formats_are_written_at_once(complete: Results, tmp_path: Path) -> None:
    formats = ["markdown", "latex", "parquet"]
    path = Report(complete, ["completeness"]).write(tmp_path, formats)  # type: ignore[arg-type]
    assert path == tmp_path / "report.md"
    for name in ("report.md", "report.tex", "data/metrics.parquet"):
        assert (tmp_path / name).is_file()
    with pytest.raises(UserError, match="format 'docx' is unknown"):
        Report(complete).write(tmp_path, ["html", "docx"])  # type: ignore[list-item]


def test_only_the_named_sections_are_written(complete: Results, tmp_path: Path) -> None:
    page = Report(complete, ["cost", "verdict"]).write(tmp_path, "markdown")
    text = page.read_text(encoding="utf-8")
    assert text.count("\n## ") == 2
    assert text.index("Verdict") < text.index("Cost")
    known = registry.names("sections")
    assert "cost" in known
    with pytest.raises(UserError, match="no section 'verdikt'; did you mean 'verdict'"):
        Report(complete, ["verdikt"]).write(tmp_path)
    with pytest.raises(UserError, match="needs a section"):
        Report(complete, []).write(tmp_path)
