"""The report as files: self-contained, escaped, the same bytes each time, honest about holes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.section import Block, Figure, Prose, ReportSection, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting import Report, data_files, write_report
from reldrop_bench.reporting.render import BuiltSection
from reldrop_bench.reporting.style import Style
from reldrop_bench.reporting.values import ROWS
from reldrop_bench.results import Results

Make = Callable[..., Results]
NASTY = (
    "none & <b>",
    "<script>alert(1)</script>",
    "50% off_$x_1$",
    "_hidden",
    "名\x00",
    "a|b`c`{d}",
)
FEW = ("none", "cutout")
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects tags, links, ids and text, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [values[key] or "" for key in ("src", "href", "data") if key in values]
        self.sources += re.findall(r"url\(([^)]*)\)", values.get("style") or "")
        if "id" in values:
            self.ids.append(values["id"] or "")
        if tag == "img" or (tag == "svg"):
            self.images.append(values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    return page


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def holes_page(with_holes: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Report(with_holes).write(tmp_path_factory.mktemp("holes"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests share, so that unchanged figures are drawn once."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def nasty(make_results: Make) -> Results:
    results = make_results(
        labels=NASTY,
        tasks=("cue-points",),
        seeds=2,
        failed=(("cue-points", NASTY[1], 0),),
        error="Boom </pre><script>alert(2)</script> 50% & a_b \\input{x}",
    )
    return replace(results, name='"><script>alert(3)</script>')


def test_page_needs_nothing_else(holes_page: Path) -> None:
    page = parsed(holes_page)
    for source in page.sources:
        assert source.startswith(("#", "data:image/png;base64,", "tables/", "figures/")), source
        if source.startswith(("tables/", "figures/")):
            assert (holes_page.parent / source).is_file()
    assert "link" not in page.tags
    text = holes_page.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import", text)


def test_the_policy_allows_the_pages_own_script_alone(holes_page: Path) -> None:
    text = holes_page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    scripts = re.findall(r"(?s)<script>(.*?)</script>", text)
    (script,) = scripts
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert parsed(holes_page).tags.count("script") == 2  # the other one is data
    assert not re.search(r"<[^>]* on[a-z]+=", re.sub(r"(?s)<script.*?</script>", "", text))


def test_page_can_be_read_by_machines_that_read_aloud(holes_page: Path) -> None:
    page = parsed(holes_page)
    assert len(page.ids) == len(set(page.ids))
    assert {source[1:] for source in page.sources if source.startswith("#")} <= set(page.ids)
    assert page.images
    assert all(image.get("alt") or image.get("aria-label") for image in page.images)


def test_no_section_fails(holes_page: Path) -> None:
    assert "This section failed" not in holes_page.read_text(encoding="utf-8")


def test_holes_are_shown(holes_page: Path) -> None:
    text = holes_page.read_text(encoding="utf-8")
    assert "49 of 54 cells are done" in text
    assert "(n=2/3)" in text
    assert "(n=0/3)" in text
    assert "2/3 · 1 failed" in text
    assert "RuntimeError: loss is NaN at step 12" in text
    frame = pd.read_csv(holes_page.parent / "tables" / "verdict-accuracy-by-task.csv")
    counts = frame.set_index(["task", "label"])["n"]
    assert counts["digits", "cutout"] == 2
    assert counts["cue-points", "cutout"] == 0
    assert set(frame.loc[frame["n"] == 0, "verdict"]) == {"no measure"}


def test_tables_parse_back(holes_page: Path, with_holes: Results) -> None:
    tables = sorted((holes_page.parent / "tables").glob("*.csv"))
    assert len(tables) > 20
    for path in tables:
        assert len(pd.read_csv(path)), path.name
    frame = pd.read_csv(holes_page.parent / "tables" / "accuracy-accuracy.csv")
    rows = with_holes.metrics
    rows = rows[(rows["evaluation"] == "accuracy") & (rows["metric"] == "accuracy")]
    expected = rows.groupby(["task", "label"])["value"].mean()
    found = frame.dropna(subset="mean").set_index(["task", "label"])["mean"]
    pd.testing.assert_series_equal(found.sort_index(), expected, check_names=False)


def test_every_figure_has_three_files(holes_page: Path) -> None:
    folder = holes_page.parent / "figures"
    stems = {path.stem for path in folder.iterdir()}
    assert "verdict-forest" in stems
    assert len(list(folder.iterdir())) == 3 * len(stems)


def test_same_results_same_bytes(make_results: Make, tmp_path: Path) -> None:
    first = make_results(tasks=("cue-images",), labels=FEW, seeds=2)
    second = make_results(tasks=("cue-images",), labels=FEW, seeds=2)
    Report(first).write(tmp_path / "a")
    Report(second).write(tmp_path / "b")
    once = files_of(tmp_path / "a")
    assert once == files_of(tmp_path / "b")
    Report(second).write(tmp_path / "a")
    assert once == files_of(tmp_path / "a")


def test_order_of_rows_changes_nothing(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tasks=("digits",), seeds=2)
    shuffled = replace(
        results, metrics=results.metrics.sample(frac=1, random_state=0, ignore_index=True)
    )
    sections = [registry.create("sections", name, {}) for name in ("verdict", "accuracy", "shifts")]
    write_report(results, tmp_path / "a", sections)
    write_report(shuffled, tmp_path / "b", sections)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("format", ["html", "markdown", "latex"])
def test_hostile_names_are_escaped(nasty: Results, folder: Path, format: Any) -> None:
    path = Report(nasty).write(folder, format)
    text = path.read_text(encoding="utf-8")
    assert "This section failed" not in text
    assert "\x00" not in text
    outside_code = re.sub(r"(?s)```.*?```", "", text)
    if format == "html":
        assert parsed(path).tags.count("script") == 2  # those of the page itself
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    elif format == "markdown":
        assert not re.search(r"(?<!\\)<script", outside_code)
        assert "\\<script\\>" in text
    else:
        everything = text + "".join(
            table.read_text(encoding="utf-8") for table in (folder / "tables").glob("*.tex")
        )
        assert "\\textbackslash{}input\\{x\\}" in everything
        assert "50\\% off\\_\\$x\\_1\\$" in everything
        assert not re.search(r"(?<!\\)%(?! Compile|$)", everything, re.MULTILINE)
        assert not re.search(
            r"(?<!\\)[_$#]", re.sub(r"\\(input|includegraphics)\S*", "", everything)
        )
        assert everything.count("\\toprule") == everything.count("\\bottomrule") > 10


def test_latex_and_markdown_point_at_files(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tasks=("digits",), labels=FEW, seeds=2)
    latex = Report(results).write(tmp_path, "latex").read_text(encoding="utf-8")
    files = re.findall(r"\\(?:input|includegraphics)\{([^}]*)\}", latex)
    assert any(name.endswith(".pdf") for name in files)
    for name in files:
        assert (tmp_path / name).is_file()
    markdown = Report(results).write(tmp_path, "markdown").read_text(encoding="utf-8")
    names = re.findall(r"\]\(([^)]*)\)", markdown)
    assert names
    for name in names:
        assert (tmp_path / name).is_file()


def test_one_seed_has_no_interval(make_results: Make, tmp_path: Path) -> None:
    path = Report(make_results(labels=FEW, seeds=1, tasks=("digits",))).write(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "This section failed" not in text
    assert "[no interval]" in text
    assert "Nothing can be significant with n=1" in text
    assert "no regularizer is shown to be better" in text


def test_not_a_number_is_a_hole(make_results: Make, tmp_path: Path) -> None:
    results = make_results(tasks=("digits",), labels=FEW, seeds=2)
    metrics = results.metrics.copy()
    chosen = (metrics["label"] == "cutout") & (metrics["seed"] == 0)
    metrics.loc[chosen, "value"] = np.nan
    path = Report(replace(results, metrics=metrics)).write(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "This section failed" not in text
    assert "(n=1/2)" in text


@pytest.mark.parametrize("name", registry.names("sections"))
def test_a_section_without_data_says_why(name: str, empty: Results) -> None:
    section = registry.create("sections", name, {})
    style = Style(empty.labels, empty.baseline)
    with style.theme():
        blocks = list(section.build(empty, style))
    assert blocks
    if name not in ("checklist", "completeness", "failures", "provenance"):
        (reason,) = blocks
        assert isinstance(reason, Prose)
        assert reason.text


def test_a_report_of_nothing(empty: Results, tmp_path: Path) -> None:
    bare = Results("nothing", "none", (), empty.cells.iloc[:0])
    for results in (empty, bare):
        text = Report(results).write(tmp_path).read_text(encoding="utf-8")
        assert "This section failed" not in text


class Raising(ReportSection):
    """Fails."""

    name = "raising"
    title = "A section <of> someone’s"
    order = 1

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        raise ValueError("broken <b>\nbadly")


class Odd(ReportSection):
    """Gives its blocks odd names."""

    name = "odd"
    title = "Odd"
    order = 2

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        figure, axes = style.grid(1, 1)
        axes[0][0].set_title("<b>&amp; $broken_{")
        frame = pd.DataFrame({"a": [1.5, None], "b": ["x", "y"]})
        table = Table("../../escape", "Twice.", frame, {"a": "{:.2f}"})
        return [table, table, Figure("f/../g", "caption", 'alt "quoted" <b>', figure)]


class Long(ReportSection):
    """Has more rows than a page can show."""

    name = "long"
    title = "Long"

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        frame = pd.DataFrame({"row": [f"row {number} of" for number in range(10_000)]})
        return [Table("long", "Long.", frame)]


@pytest.mark.parametrize("format", ["html", "markdown", "latex"])
def test_a_section_that_raises_does_not_end_the_report(
    complete: Results, tmp_path: Path, format: Any
) -> None:
    path = write_report(complete, tmp_path / "report", [Odd(), Raising()], format)
    text = path.read_text(encoding="utf-8")
    assert "This section failed" in text
    assert "ValueError: broken" in text
    assert "Traceback" in text
    assert text.index("someone’s") < text.index("Odd")
    tables = {file.name for file in (path.parent / "tables").glob("*.csv")}
    assert tables == {"escape.csv", "escape-2.csv"}
    assert {file.name for file in tmp_path.iterdir()} == {"report"}
    if format == "html":
        parsed(path)
        assert "broken &lt;b&gt;" in text


def test_a_section_that_cannot_be_imported_is_shown(complete: Results, tmp_path: Path) -> None:
    broken = BuiltSection("lost", "Lost", error="ImportError: no <x>", traceback="line 1")
    text = write_report(complete, tmp_path, [], broken=[broken]).read_text(encoding="utf-8")
    assert "ImportError: no &lt;x&gt;" in text


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_all_results_as_data(with_holes: Results, tmp_path: Path, format: Any) -> None:
    path = Report(with_holes).write(tmp_path / "a", format)
    Report(with_holes).write(tmp_path / "b", format)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert path == tmp_path / "a" / "data" / f"cells.{format}"
    read = pd.read_csv if format == "csv" else pd.read_parquet
    for name in data_files.FRAMES:
        expected, found = getattr(with_holes, name), read(path.parent / f"{name}.{format}")
        assert list(found) == list(expected), name
        assert len(found) == len(expected), name
        for column in expected.select_dtypes("number"):
            np.testing.assert_allclose(found[column], expected[column])
    warnings = read(path)["warnings"].map(json.loads)
    assert list(warnings) == list(with_holes.cells["warnings"])
    facts = json.loads((path.parent / "benchmark.json").read_text(encoding="utf-8"))
    assert facts["baseline"] == "none"
    assert facts["spec"]["seeds"] == 3


@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_long_tables_are_cut_and_say_so(complete: Results, tmp_path: Path, format: Any) -> None:
    path = write_report(complete, tmp_path, [Long()], format)
    texts = [file.read_text(encoding="utf-8") for file in (path, *tmp_path.rglob("*.tex"))]
    text = "".join(texts)
    assert f"row {ROWS - 1} of" in text
    assert f"row {ROWS} of" not in text
    assert f"The first {ROWS} of 10,000 rows" in text.replace("\\", "")
    assert len(pd.read_csv(tmp_path / "tables" / "long.csv")) == 10_000


def test_unknown_format_is_refused(complete: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="allowed: html, markdown, latex, csv, parquet"):
        write_report(complete, tmp_path, [], "docx")  # type: ignore[arg-type]
