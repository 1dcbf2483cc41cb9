"""A label looks the same in every figure, can be told from the others, and can be found again."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reldrop_bench.reporting.figures import inline_svg, render
from reldrop_bench.reporting.page import SHAPES
from reldrop_bench.reporting.style import MARKERS, Style, palette

LABELS = ("none", "a", "b & <c>", "_hidden", "a very long name of a label " * 6)


def test_labels_look_the_same_everywhere_and_differ() -> None:
    labels = tuple(f"label {number}" for number in range(40))
    style = Style(labels, labels[0])
    looks = {(style.color(label), style.marker(label)) for label in labels}
    assert len(looks) == len(labels)
    neighbours = itertools.pairwise(labels)
    assert all(style.color(one) != style.color(other) for one, other in neighbours)


def test_every_marker_has_a_shape_on_the_page() -> None:
    assert set(MARKERS) == set(SHAPES)


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_are_seen_on_white_and_on_black() -> None:
    for color in palette():
        on_white = 1.05 / (luminance(color) + 0.05)
        on_dark = (luminance(color) + 0.05) / (luminance("#14181d") + 0.05)
        assert min(on_white, on_dark) > 2, color


def test_the_theme_is_put_back() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with Style(("a",), "a").theme():
        assert mpl.rcParams["text.parse_math"] is False
    assert dict(mpl.rcParams) == before


def drawn(marked: bool) -> dict[str, bytes]:
    style = Style(LABELS, "none", marked=marked)
    with style.theme():
        figure, axes = style.grid(1, 2)
        for axis in axes[0]:
            for place, label in enumerate(LABELS):
                axis.plot([0, 1], [place, place], style.marker(label), **style.series(label))
        axes[0][0].set_yticks(range(len(LABELS)), [style.text(label) for label in LABELS])
        axes[0][1].set_yticks(range(2), ["none", "class 1"])
        style.legend(figure, LABELS)
        return render(figure, "panel", style=style)


def test_series_rows_and_legends_are_marked_with_their_label() -> None:
    page = inline_svg(drawn(True)["svg"], "panel", "Lines.")
    for place in range(len(LABELS)):
        # Two panels, the name of its row, a marker and a text in the legend.
        assert len(re.findall(f'data-label="{place}"', page)) == 5
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("panel-") for name in ids)
    assert "data-label" not in inline_svg(drawn(False)["svg"], "panel", "Lines.")


def test_what_a_figure_says_is_left_alone() -> None:
    style = Style(("none",), "none")
    text = 'id="label-1-2" url(#x) #24292f <b>'
    with style.theme():
        figure, axes = style.grid(1, 1)
        axes[0][0].set_title(text)
        page = inline_svg(render(figure, "f", style=style)["svg"], "f", "Text.")
    assert text.replace("<", "&lt;").replace(">", "&gt;") in page


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("width", [16, 26])
def test_a_label_is_known_by_what_figures_show_of_it(label: str, width: int) -> None:
    style = Style(LABELS, "none")
    assert style.label_of(style.text(label, width)) == label
    assert style.label_of("something else") is None


def test_figures_go_into_a_paper_as_they_are(tmp_path: Path) -> None:
    files = drawn(True)
    assert b"/Type3" not in files["pdf"]
    assert b"/FontFile2" in files["pdf"]  # TrueType, embedded
    if shutil.which("pdffonts"):
        (tmp_path / "f.pdf").write_bytes(files["pdf"])
        listed = subprocess.run(["pdffonts", tmp_path / "f.pdf"], capture_output=True, check=True)
        for line in listed.stdout.decode().splitlines()[2:]:
            assert "TrueType" in line
            assert line.split()[-5] == "yes", line
    wide = int.from_bytes(files["png"][16:20], "big")
    assert wide >= 130 * 4
