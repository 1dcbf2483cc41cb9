"""The page in a real browser: it loads nothing, its tools work, and it can be read without them."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reldrop_bench.kinds.section import Block, Prose, ReportSection, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting import latex, write_report
from reldrop_bench.reporting.tables import OVER_TASKS
from reldrop_bench.results import Results

Make = Callable[..., Results]
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
LABELS = ("none", "cut & out_1", HOSTILE, "α=0.5 [k]", '" onfocus="alert(3)', "mixing", "名 50%")
TASKS = ("digits", "cue-points")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
VALUES = (
    "+0.031 [−0.010, +0.072]", "–", "−0.010", "<0.001", "0.973 ± 0.004", "1,200", "12", "9.5 (n=2/3)",
    "left out", "0", "2.11× (1.86–2.39)", "−1e-05",
)  # fmt: skip
FORMULAS = (
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "−2 x",
    "-0.5",
    "+0.031 [−0.010, +0.072] (n=2/3)",
)
SORTED = (
    "−0.010", "−1e-05", "0", "<0.001", "+0.031 [−0.010, +0.072]", "0.973 ± 0.004",
    "2.11× (1.86–2.39)", "9.5 (n=2/3)", "12", "1,200", "–", "left out",
)  # fmt: skip


def lacking(message: str) -> None:
    """Skip a test, or fail where nothing may be skipped."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


class Known(ReportSection):
    """Tables whose order is known, and a text that would do harm."""

    name = "known"
    title = HOSTILE
    order = 0

    def build(self, results: Results, style: Any) -> Sequence[Block]:
        frame = pd.DataFrame({"name": [f"n{i}" for i in range(len(VALUES))], "value": VALUES})
        many = pd.DataFrame({"row": range(10_000), "x": 0.25})
        matrix = pd.DataFrame({"label": LABELS, **dict.fromkeys(LABELS, 0.5)})
        return [
            Prose(f"About: {HOSTILE}", "headline"),
            Prose(f"Traceback {HOSTILE}</pre>", "code", summary=f"Folded {HOSTILE}"),
            Table("values", "Values.", frame),
            Table("many", "Many.", many),
            Table("matrix", "Pairs.", matrix),
            Table("folded", "digits: folded.", frame, folded=True),
            Table("formulas", "Formulas.", pd.DataFrame({"=a": FORMULAS})),
        ]


@pytest.fixture(scope="module")
def address(make_results: Make, tmp_path_factory: pytest.TempPathFactory) -> str:
    results = make_results(
        labels=LABELS,
        tasks=TASKS,
        seeds=2,
        failed=(("cue-points", HOSTILE, 0),),
        error=f"Boom </pre>{HOSTILE}",
    )
    results = replace(results, guided={"mixing": {"random": LABELS[3]}})
    names = [name for name in registry.names("sections") if name not in ("gallery", "faithfulness")]
    sections = [Known(), *(registry.create("sections", name, {}) for name in names)]
    path = write_report(results, tmp_path_factory.mktemp("page") / "report", sections)
    return path.resolve().as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        lacking("no browser found; on Debian: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking("playwright is not installed: pip install 'reldrop-bench[test]'")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Return what opens the page; whatever it asks for, says or asks the reader is checked."""
    contexts, wrong = [], []

    def opened(
        width: int = 1440,
        height: int = 900,
        script: str = "",
        folded: bool = False,
        **settings: Any,
    ) -> Any:
        """Open the page; unless `folded`, with all sections unfolded where scripts run."""
        context = browser.new_context(viewport={"width": width, "height": height}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda r: r.url in (address, "") or wrong.append(r.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        if script:
            page.add_init_script(script)
        page.goto(address)
        if not folded and settings.get("java_script_enabled", True):
            page.evaluate(
                "for (const each of document.querySelectorAll('details.part')) each.open = true"
            )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [each for each in wrong if not each.startswith("data:image/png;base64,")] == []


def sheet(page: Any, name: str) -> Any:
    """Return the figure or the details that holds a table."""
    link = f'a[href="tables/{name}.csv"]'
    return page.locator("main figure, main details:not(.part)").filter(has=page.locator(link))


def column(part: Any, number: int) -> list[str]:
    cells = part.locator(f"tbody tr:not(.off) > :nth-child({number})")
    return [str(text).strip() for text in cells.all_text_contents()]


def test_sorting_knows_numbers_intervals_and_holes(open_page: Callable[..., Any]) -> None:
    part = sheet(open_page(), "values")
    head = part.locator("thead th").nth(1)
    assert head.get_attribute("aria-sort") == "none"
    assert tuple(column(part, 2)) == VALUES
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert tuple(column(part, 2)) == SORTED
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert tuple(column(part, 2)) == (*reversed(SORTED[:-2]), *SORTED[-2:])
    head.get_by_role("button").press("Space")
    assert head.get_attribute("aria-sort") == "none"
    assert tuple(column(part, 2)) == VALUES
    part.locator("thead th").nth(0).get_by_role("button").click()
    assert column(part, 1) == [f"n{number}" for number in range(len(VALUES))]


def test_filtering_and_copying_what_is_shown(open_page: Callable[..., Any]) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    part = sheet(page, "values")
    part.get_by_role("searchbox").fill("0.0")
    assert column(part, 2) == ["+0.031 [−0.010, +0.072]", "−0.010", "<0.001", "0.973 ± 0.004"]
    assert "4 of 12 rows" in part.inner_text()
    part.locator("thead button").nth(1).click()
    part.get_by_role("button", name="Copy CSV").click()
    part.get_by_role("button", name="Copied").wait_for()
    rows = list(csv.reader(io.StringIO(page.evaluate("navigator.clipboard.readText()"))))
    assert rows == [
        ["name", "value"],
        ["n2", "-0.010"],
        ["n3", "<0.001"],
        ["n0", "+0.031 [-0.010, +0.072]"],
        ["n4", "0.973 ± 0.004"],
    ]
    part.get_by_role("searchbox").press("Escape")
    assert len(column(part, 2)) == len(VALUES)


def test_copied_latex_is_escaped_like_the_written_one(open_page: Callable[..., Any]) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    part = sheet(page, "matrix")
    part.get_by_role("button", name="Copy LaTeX").click()
    part.get_by_role("button", name="Copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    for label in LABELS:
        assert text.count(latex.escaped(label)) >= 2, label
    assert "\\begin{tabular}{lrrrrrrr}" in text
    assert text.count("\\\\\n") == 1 + len(LABELS)
    assert "\\toprule" in text


def test_copied_csv_holds_no_formula(open_page: Callable[..., Any]) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    part = sheet(page, "formulas")
    part.get_by_role("button", name="Copy CSV").click()
    part.get_by_role("button", name="Copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    heads, *rows = csv.reader(io.StringIO(text))
    assert heads == ["'=a"]
    assert [row[0] for row in rows] == [
        "'=1+1", "'+1+cmd|' /C calc'!A0", "'@SUM(A1)", "'-2 x", "-0.5", "+0.031 [-0.010, +0.072] (n=2/3)",
    ]  # fmt: skip


@pytest.mark.parametrize("allowed", [True, False])
def test_copying_without_a_clipboard(open_page: Callable[..., Any], allowed: bool) -> None:
    script = f"""Object.defineProperty(navigator, "clipboard", {{ value: undefined }});
        document.execCommand = () => {{
          window.copied = document.activeElement.value; return {str(allowed).lower()}; }};"""
    page = open_page(script=script)
    part = sheet(page, "values")
    part.get_by_role("button", name="Copy CSV").click()
    assert page.evaluate("window.copied").startswith("name,value\nn0,")
    by_hand = part.get_by_role("textbox", name="Text to copy by hand")
    assert by_hand.count() == (not allowed)
    if not allowed:
        assert by_hand.input_value().startswith("name,value\nn0,")


def test_choosing_methods_and_tasks(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.locator("#page-choice summary").click()
    series = page.locator('svg [data-label="2"]')
    assert series.count() > 10
    assert series.first.is_visible()
    page.get_by_role("checkbox", name=HOSTILE).uncheck()
    assert not any(each.is_visible() for each in series.all())
    assert page.locator('svg [data-label="3"]').first.is_visible()
    matrix = sheet(page, "matrix")
    assert column(matrix, 1) == [label for label in LABELS if label != HOSTILE]
    assert matrix.locator("thead th:visible").count() == len(LABELS)
    note = page.locator("#page-hidden")
    assert "Hidden by your choice: 1 method (" in note.inner_text()
    for name in registry.names("sections"):
        assert page.locator(f"section#{name} tbody [data-label='2']:visible").count() == 0
    page.get_by_role("checkbox", name="digits").uncheck()
    assert "1 method, 1 task" in note.inner_text()
    assert not sheet(page, "folded").is_visible()
    accuracy = sheet(page, "accuracy-accuracy")
    heads = accuracy.locator("thead th:visible").all_text_contents()
    assert [text.strip() for text in heads] == ["label", "cue-points", OVER_TASKS]
    page.emulate_media(media="print")
    assert note.is_visible()
    page.emulate_media(media="screen")
    note.get_by_role("button", name="Show all").click()
    assert not note.is_visible()
    assert column(matrix, 1) == list(LABELS)
    assert series.first.is_visible()
    page.get_by_role("button", name="No methods").click()
    assert page.locator("tbody [data-label]:visible").count() == 0
    page.get_by_role("button", name="All methods").click()
    assert not note.is_visible()


def test_the_keyboard_reaches_everything(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("document.querySelector('main').contains(document.activeElement)")
    assert inside
    for selector in (".sort", ".tools button", "#page-choice summary", "nav a", "#page-theme"):
        page.locator(selector).first.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", selector
    landmarks = ("main", "nav[aria-label]", "header", "footer", "html[lang=en]")
    assert all(page.locator(each).count() == 1 for each in landmarks)
    assert page.locator("svg[role=img]:not([aria-label]), img:not([alt])").count() == 0


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_wider_than_the_window(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.get_by_role("checkbox", name="mixing").uncheck()
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= page.evaluate("innerWidth") == width
    clipped = page.evaluate(
        """[...document.querySelectorAll("p, h1, h2, figcaption, summary, button, li, label")]
        .filter((each) => each.offsetParent && !each.closest(".scroll, .skip, .away")
          && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.textContent)"""
    )
    assert clipped == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_first_figure_is_whole_and_readable(open_page: Callable[..., Any], width: int) -> None:
    page = open_page(width)
    drawn = page.locator("#guidance .drawing").first
    shown = [each for each in drawn.locator("svg[role=img]").all() if each.is_visible()]
    assert len(shown) == 1, "one of the two drawings"
    assert drawn.evaluate("(each) => each.scrollWidth <= each.clientWidth"), "nothing is cut"
    # matplotlib draws texts as shapes: the scale says how large 9 points come out.
    box = shown[0].bounding_box()
    wide = float(shown[0].get_attribute("viewBox").split()[2])
    assert 9 * box["width"] / wide >= 9, "in pixels"


def test_paper(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.emulate_media(media="print")
    for selector in ("nav", ".tools", "#page-theme", "#page-choice"):
        assert not page.locator(selector).first.is_visible(), selector
    folded = sheet(page, "folded").locator("table")
    assert not folded.is_visible(), "paper shows what the screen shows"
    page.evaluate("document.querySelector('#page-open').click()")
    assert folded.is_visible()
    assert folded.bounding_box()["height"] > 50
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_sections_are_folded_to_their_headline(open_page: Callable[..., Any]) -> None:
    page = open_page(folded=True)
    sections = page.locator("main > section")
    first, second = sections.nth(0), sections.nth(1)
    assert first.locator("table").first.is_visible()
    body = second.locator("details.part > *:not(summary)").first
    assert not body.is_visible()
    assert second.locator(".gist").is_visible()
    page.locator("nav li a").nth(1).click()
    page.wait_for_function("document.querySelectorAll('main details.part')[0].open")
    assert body.is_visible()
    assert not second.locator(".gist").is_visible()
    button = page.locator("#page-open")
    button.click()
    assert page.evaluate(
        "[...document.querySelectorAll('main details')].every((each) => each.open)"
    )
    button.click()
    assert not page.evaluate(
        "[...document.querySelectorAll('main details')].some((each) => each.open)"
    )
    third = sections.nth(2).get_attribute("id")
    page.evaluate(f"location.hash = '#{third}'")
    page.wait_for_function("document.querySelectorAll('main details.part')[1].open")


def test_what_is_folded_is_not_printed(open_page: Callable[..., Any]) -> None:
    def pages(page: Any) -> int:
        return len(re.findall(rb"/Type\s*/Page[^s]", page.pdf(format="A4")))

    folded, whole = pages(open_page(folded=True)), pages(open_page())
    assert whole > 2 * folded


CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = (rgb) => { const [r, g, b] = rgb.slice(0, 3).map((each) => {
    const c = each / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (element) => { for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color; } return [255, 255, 255]; };
  const found = {};
  for (const each of document.querySelectorAll("body *:not(svg *):not(script):not(style)")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.checkVisibility()) continue;
    const pair = [light(parse(getComputedStyle(each).color)), light(behind(each))].sort((a, b) => b - a);
    found[each.tagName + "." + each.className] = (pair[0] + 0.05) / (pair[1] + 0.05);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_told_from_its_ground(open_page: Callable[..., Any], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 15
    assert {key: value for key, value in contrasts.items() if value < 4.5} == {}


def test_light_and_dark_can_be_chosen(open_page: Callable[..., Any]) -> None:
    page = open_page(color_scheme="light")
    button = page.locator("#page-theme")
    seen = []
    for _ in range(3):
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.append((button.inner_text(), ground == "rgb(255, 255, 255)"))
        button.click()
    names = ("Colours: as the system", "Colours: light", "Colours: dark")
    assert seen == list(zip(names, (True, True, False), strict=True))


def test_everything_can_be_read_without_script(open_page: Callable[..., Any]) -> None:
    page = open_page(java_script_enabled=False)
    for selector in (".tools", "#page-choice", "#page-theme", "#page-hidden", ".sort"):
        assert page.locator(f"{selector}:visible").count() == 0, selector
    assert tuple(column(sheet(page, "values"), 2)) == VALUES
    assert page.locator("nav li a").count() == page.locator("main > section").count()
    folded = sheet(page, "folded")
    folded.locator("summary").click()
    assert folded.locator("table").is_visible()
    page.locator("details.part > summary").nth(1).click()
    assert page.locator("details.part[open] svg").first.is_visible()


def test_hostile_names_are_text(open_page: Callable[..., Any]) -> None:
    page = open_page()
    assert page.locator("main script, [onerror], [onfocus], img[src=x]").count() == 0
    assert page.locator("#known h2").inner_text() == HOSTILE
    assert page.locator("#known .headline").inner_text() == f"About: {HOSTILE}"
    assert HOSTILE in page.locator("#page-choice").text_content()
    assert page.get_by_text(f"Boom </pre>{HOSTILE}").count() >= 1


def test_what_slips_in_neither_runs_nor_loads(browser: Any, address: str, tmp_path: Path) -> None:
    text = Path(address.removeprefix("file://")).read_text(encoding="utf-8")
    harm = "<script>document.title = 'harm'</script><img src='https://localhost:9/x.png'>"
    (tmp_path / "page.html").write_text(text.replace("<main", f"{harm}<main", 1), encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    failures: dict[str, str] = {}
    said: list[str] = []
    page.on("requestfailed", lambda request: failures.update({request.url: request.failure}))
    page.on("console", lambda message: said.append(message.text))
    page.goto((tmp_path / "page.html").as_uri())
    assert "made-up" in page.title()
    assert failures in ({}, {"https://localhost:9/x.png": "csp"})
    assert sum("Content Security Policy" in text for text in said) == 2
    context.close()


def test_large_tables_are_cut_and_say_so(open_page: Callable[..., Any]) -> None:
    part = sheet(open_page(), "many")
    assert part.locator("tbody tr").count() == 400
    assert "The first 400 of 10,000 rows; all are in tables/many.csv." in part.inner_text()
