"""The leaderboard: right numbers, nothing hidden, nothing executable, the same bytes again."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reldrop_bench import UserError, leaderboard, load_results
from reldrop_bench.cli import main

MakeSet = Callable[..., Path]
Change = Callable[..., None]


class Page(HTMLParser):
    """What a browser would find in a page: tags, links, and text by tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self._inside = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.rows[-1][-1] += data


def spread_out(folder: Path, put_value: Change, gain: float) -> None:
    """Give a set accuracies that differ from seed to seed, better by `gain` with cutout."""
    cells = load_results(folder).cells
    for key, label, seed in zip(cells.key, cells.label, cells.seed, strict=True):
        value = 0.5 + 0.01 * seed + (label == "cutout") * (gain + 0.002 * seed**2)
        put_value(folder, key, "accuracy", "accuracy", value)


def frame_of(index: Path) -> pd.DataFrame:
    text = (index.parent / "leaderboard.csv").read_text(encoding="utf-8")
    return pd.read_csv(io.StringIO(text), keep_default_na=True, na_values=[""])


@pytest.fixture(scope="module")
def board_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaderboard")


@pytest.fixture
def board(make_set: MakeSet, put_value: Change, board_folder: Path) -> Path:
    """Return a leaderboard of two sets, beside their folders; nothing may be changed in it."""
    index = board_folder / "board" / "index.html"
    if not index.exists():
        first = make_set("first", seeds=4)
        spread_out(first, put_value, 0.1)
        second = make_set("second", recipe={"epochs": 3})
        folders = [shutil.copytree(each, board_folder / each.name) for each in (first, second)]
        leaderboard(folders, index.parent)
    return index


def lacking(message: str) -> None:
    """Skip a test, or fail where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def test_rows_hold_what_scipy_computes(board: Path) -> None:
    rows = frame_of(board).set_index(["set", "label"])
    row = rows.loc["first", "cutout"]
    seeds = np.arange(4)
    base = 0.5 + 0.01 * seeds
    values = base + 0.1 + 0.002 * seeds**2
    assert row["value"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std(ddof=1))
    test = stats.ttest_rel(values, base)
    interval = test.confidence_interval(0.95)
    assert row[["difference", "low", "high", "p"]].tolist() == pytest.approx(
        [(values - base).mean(), interval.low, interval.high, test.pvalue]
    )
    assert (row["pairs"], row["pairs_expected"], row["done"], row["planned"]) == (4, 4, 4, 4)
    assert row["established"] == "better than “none”, also among all of this page"
    assert rows.loc["first", "none"]["established"] == "baseline"
    assert "not told apart" in rows.loc["second", "cutout"]["established"]
    steps = load_results(board.parent.parent / "first").cells.pivot(
        index="seed", columns="label", values="step_seconds"
    )
    assert row["step_ratio"] == pytest.approx(stats.gmean(steps["cutout"] / steps["none"]))


def test_json_says_the_same_as_csv(board: Path) -> None:
    data = json.loads((board.parent / "leaderboard.json").read_text(encoding="utf-8"))
    pd.testing.assert_frame_equal(
        pd.DataFrame(data["rows"]), frame_of(board), check_dtype=False, rtol=1e-12
    )
    assert data["metric"] == "accuracy/test/accuracy"
    assert [each["set"] for each in data["sets"]] == ["first", "second"]
    assert any("cannot be compared" in remark for remark in data["remarks"])


def test_settings_that_differ_stand_apart_and_rows_are_sorted_by_mean(board: Path) -> None:
    rows = frame_of(board)
    assert list(dict.fromkeys(rows.task)) == ["tiny-blobs", "tiny-blobs (second)"]
    first = rows[rows.task == "tiny-blobs"].value
    assert first.is_monotonic_decreasing


def test_every_link_leads_somewhere_and_nothing_is_loaded(board: Path) -> None:
    pages = [board, *board.parent.glob("cells/*.html")]
    assert len(pages) == 1 + len(frame_of(board))
    for path in pages:
        page = Page(path)
        assert {"link", "img", "iframe", "object"}.isdisjoint(page.tags)
        assert all((path.parent / link).resolve().is_file() for link in page.links)
        assert "http" not in "".join(page.links)


def test_pages_of_rows_hold_their_cells(board: Path) -> None:
    row = frame_of(board).set_index(["set", "label"]).loc["first", "cutout"]
    text = " ".join(" ".join(cells) for cells in Page(board.parent / row["page"]).rows)
    cells = load_results(board.parent.parent / "first").cells
    for key in cells[cells.label == "cutout"].key:
        assert key in text
    assert "torch" in text, "the environment"
    assert "size 0.5" in text, "the method's parameters"


def test_missing_and_failed_cells_are_visible(
    make_set: MakeSet, put_value: Change, tmp_path: Path
) -> None:
    folder = make_set("first", seeds=4)
    spread_out(folder, put_value, 0.1)
    cells = load_results(folder).cells
    lost = cells[(cells.label == "cutout") & (cells.seed == 1)].key.item()
    shutil.rmtree(folder / "cells" / lost)
    broken = cells[(cells.label == "none") & (cells.seed == 3)].key.item()
    path = folder / "cells" / broken / "cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record |= {"status": "failed", "error": "x < <b>1", "evaluations": {}, "traceback": "<i>deep"}
    path.write_text(json.dumps(record), encoding="utf-8")
    index = leaderboard([folder], tmp_path / "board")
    rows = frame_of(index).set_index("label")
    assert rows.loc["cutout", ["n", "n_expected", "pairs", "pairs_expected"]].tolist() == [
        3,
        4,
        2,
        4,
    ]
    assert rows.loc["none", ["done", "planned"]].tolist() == [3, 4]
    shown = {row[0]: row for row in Page(index).rows}
    assert "(n=3/4)" in shown["cutout"][4]
    assert shown["cutout"][6] == "2/4"
    assert shown["none"][8] == "3/4"
    page = index.parent / rows.loc["none", "page"]
    assert any("failed" in row and "x < <b>1" in row for row in Page(page).rows)
    assert "<i>deep" not in page.read_text(encoding="utf-8")


def test_hostile_names_are_text(make_set: MakeSet, tmp_path: Path) -> None:
    label = "</td><script>alert('%_&')</script>"
    named = {"name": "cutout", "label": label}
    folder = make_set('a"><img src=x onerror=alert(1)>', regularizers=["none", named])
    index = leaderboard([folder], tmp_path / "board")
    for path in (index, *index.parent.glob("cells/*.html")):
        page = Page(path)
        assert "img" not in page.tags
        assert page.tags.count("script") == (path == index)
        assert re.fullmatch(r"[A-Za-z0-9.-]+", path.name)
    assert label in {row[0] for row in Page(index).rows}


def test_writing_twice_gives_the_same_bytes_and_no_leftovers(
    make_set: MakeSet, tmp_path: Path
) -> None:
    first, second = make_set("first"), make_set("second", recipe={"epochs": 3})

    def files() -> dict[str, bytes]:
        paths = (path for path in (tmp_path / "board").rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in paths}

    leaderboard([first, second], tmp_path / "board")
    before = files()
    leaderboard([first, second], tmp_path / "board")
    assert files() == before
    (tmp_path / "board" / "mine.txt").write_text("kept", encoding="utf-8")
    index = leaderboard([first], tmp_path / "board")
    assert len(list(index.parent.glob("cells/*"))) == 2
    assert (tmp_path / "board" / "mine.txt").exists()
    assert str(tmp_path) not in "".join(
        path.read_text(encoding="utf-8") for path in index.parent.rglob("*.html")
    )


def test_another_metric_and_an_evaluation_that_differs(make_set: MakeSet, tmp_path: Path) -> None:
    first = make_set("first", evaluations=["accuracy", "calibration"])
    second = make_set("second", evaluations=["accuracy", {"calibration": {"bins": 7}}], seeds=[2])
    index = leaderboard([first, second], tmp_path / "board", metric="calibration/ece")
    rows = frame_of(index).set_index(["set", "label"])
    assert rows.loc["first"].value.notna().all()
    assert rows.loc["second"].value.isna().all()
    assert set(rows.loc["second"].established) == {"measured otherwise than in an earlier set"}
    assert rows.value.dropna().is_monotonic_increasing, "lower is better"


def test_checkpoints_of_a_folder_have_a_row_each(
    make_checkpoints: MakeSet, put_value: Change, tmp_path: Path
) -> None:
    models = [
        {(label, seed): 4 * "AB".index(label) + seed for label in "AB" for seed in range(4)},
        {("A", 0): 8, ("C", 1): 9},
    ]
    folders = [
        make_checkpoints(name, each) for name, each in zip(("one", "two"), models, strict=True)
    ]
    for label, gain in (("A", 0.0), ("B", 0.25)):
        cells = load_results(folders[0]).cells
        cells = cells[cells.label == label]
        for key, seed in zip(cells.key, cells.seed, strict=True):
            put_value(folders[0], key, "accuracy", "accuracy", 0.5 + gain + 0.01 * seed**2 * gain)
    index = leaderboard(folders, tmp_path / "board")
    rows = frame_of(index).set_index(["set", "label"])
    assert set(rows.index) == {("one", "A"), ("one", "B"), ("two", "A (two)"), ("two", "C")}
    assert set(rows.task) == {"tiny-blobs"}
    assert rows.loc["one", ["done", "planned"]].to_numpy().tolist() == [[4, 4]] * 2
    gains = 0.25 + 0.0025 * np.arange(4) ** 2
    assert rows.loc[("one", "B"), "difference"] == pytest.approx(gains.mean())
    assert rows.loc[("one", "B"), "established"].startswith("better than “A”")
    assert rows.page.is_unique
    for page, label in zip(rows.page, rows.index.get_level_values("label"), strict=True):
        assert label in (index.parent / page).read_text(encoding="utf-8")


@pytest.fixture
def open_board(board: Path) -> Iterator[Callable[..., Any]]:
    """Return what opens the leaderboard in a browser; whatever it asks for or says is checked."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        lacking("no browser found; on Debian: apt-get install chromium")
    try:
        from playwright import sync_api as playwright
    except ImportError:
        lacking("playwright is not installed: pip install 'reldrop-bench[test]'")
    told: list[str] = []
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = started.chromium.launch(executable_path=program, args=arguments)

        def opened(**settings: Any) -> Any:
            page = browser.new_context(**settings).new_page()
            page.on("request", lambda r: r.url == board.as_uri() or told.append(r.url))
            page.on("console", lambda message: told.append(message.text))
            page.on("pageerror", lambda error: told.append(str(error)))
            page.goto(board.as_uri())
            return page

        yield opened
        browser.close()
    assert told == []


def test_filters_and_sorting_in_a_browser(open_board: Callable[..., Any]) -> None:
    page = open_board()

    def shown(column: int) -> list[str]:
        cells = page.locator(f"#board tbody tr:not([hidden]) > :nth-child({column})")
        return cells.all_text_contents()

    whole = shown(1)
    assert page.locator("#count").text_content() == "4 rows"
    page.locator("select[name=set]").select_option("second")
    assert shown(4) == ["second", "second"]
    assert page.locator("#count").text_content() == "2 of 4 rows"
    page.locator("select[name=method]").select_option("cutout")
    assert shown(1) == ["cutout"]
    page.locator("select[name=method]").select_option("")
    page.locator("select[name=set]").select_option("")
    head = page.locator("#board thead th").nth(4)
    head.get_by_role("button").click()
    values = [float(text.split()[0]) for text in shown(5)]
    assert head.get_attribute("aria-sort") == "descending"
    assert values == sorted(values, reverse=True)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator("#board thead th").nth(5).get_by_role("button").click()
    assert shown(6)[-2:] == ["–", "–"], "holes come last"
    page.locator("#board thead th").nth(5).get_by_role("button").press("Space")
    assert shown(6)[-2:] == ["–", "–"]
    page.locator("#board thead th").nth(5).get_by_role("button").press("Space")
    assert shown(1) == whole


def test_without_script_and_on_a_narrow_screen(open_board: Callable[..., Any]) -> None:
    page = open_board(java_script_enabled=False)
    assert page.locator("#board tbody tr").count() == 4
    assert not page.locator("#filters").is_visible()
    for width in (360, 1440):
        page = open_board(viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_command(capsys: pytest.CaptureFixture[str], make_set: MakeSet, tmp_path: Path) -> None:
    folder = str(make_set("first"))

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        output = capsys.readouterr()
        return int(ended.value.code or 0), output.out, output.err

    code, stdout, _ = call("leaderboard", folder, "-o", str(tmp_path / "board"))
    assert code == 0
    assert "index.html" in stdout
    other: dict[str, Any] = {"-o": str(tmp_path / "new")}
    for arguments, part in (
        ((folder, "--metric", "accuracy/test/acuracy"), "did you mean"),
        ((folder, "-o", folder), "choose another --output"),
        ((folder, "-o", str(tmp_path)), "choose another --output"),
        ((str(tmp_path / "nowhere"),), "holds no results"),
    ):
        extra = () if "-o" in arguments else ("-o", other["-o"])
        code, _, stderr = call("leaderboard", *arguments, *extra)
        assert code == 2
        assert part in stderr
        assert len(stderr.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError):
        leaderboard([folder], folder)
    with pytest.raises(UserError, match="no folder was given; give the folder of one run or more"):
        leaderboard([], tmp_path / "new")
