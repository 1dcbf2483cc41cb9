"""Figures as files and as parts of a page: the same figure gives the same bytes."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from reldrop_bench.errors import printable
from reldrop_bench.reporting.style import INK, MARK, RULE, Style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

DRAWING = 1
"""Raise it when pdf or png change and svg does not: see `render`."""

RASTER = 110
"""Dots an inch of figures that hold pictures."""

METADATA = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""No dates and no versions: they would change bytes that nothing else has changed."""


def render(
    figure: Figure,
    name: str,
    raster: bool = False,
    existing: Mapping[str, bytes] | None = None,
    style: Style | None = None,
    suffixes: Collection[str] = tuple(METADATA),
) -> dict[str, bytes]:
    """Return the figure as svg, pdf and png (`suffixes`); call it within `Style.theme`.

    raster: the figure holds pictures, which need no more than 110 dots an inch. existing: the files
    of an earlier report; where its svg is the same, so are pdf and png, which take the longest.
    style: whose labels' lines and points are marked, so that the page can hide them.
    """
    import matplotlib as mpl

    mpl.rcParams["svg.hashsalt"] = name
    if style is not None and style.marked and not raster:
        _mark(figure, style)
    layout = figure.get_layout_engine()
    if layout is not None:  # computed once, not once a format
        layout.execute(figure)
        figure.set_layout_engine("none")
    files: dict[str, bytes] = {}
    for suffix in suffixes:
        if suffix != "svg" and existing is not None and existing.get("svg") == files["svg"]:
            files[suffix] = existing[suffix]
            continue
        buffer = io.BytesIO()
        dpi = RASTER if raster else 130
        face = "none" if suffix == "svg" else "white"
        figure.savefig(buffer, format=suffix, dpi=dpi, metadata=METADATA[suffix], facecolor=face)
        files[suffix] = buffer.getvalue()
        if suffix == "svg":
            files[suffix] += (
                f"<!-- {name}: drawing {DRAWING}, matplotlib {mpl.__version__} -->\n".encode()
            )
    return files


def _mark(figure: Figure, style: Style) -> None:
    """Give every artist of a label a `gid` of its own (ids are unique), rows' names included."""
    from matplotlib.ticker import FixedLocator

    whole = re.compile(rf"{MARK}\d+")

    def is_marked(artist: Artist) -> bool:
        return bool(whole.fullmatch(artist.get_gid() or ""))

    if not figure.findobj(is_marked):
        return  # such as a heat map: a row that stays must keep its name
    for axis in figure.axes:
        if isinstance(axis.yaxis.get_major_locator(), FixedLocator):
            ticks = axis.get_yticklabels()
            named = [style.label_of(tick.get_text()) for tick in ticks]
            if all(label is not None for label in named):  # and not, say, the classes of a task
                for tick, label in zip(ticks, named, strict=True):
                    tick.set_gid(style.gid(str(label)))
    marked = figure.findobj(is_marked)
    for number, artist in enumerate(marked):
        artist.set_gid(f"{artist.get_gid()}-{number}")


def inline_svg(svg: bytes, name: str, alt: str, screen: str = "") -> Markup:
    """Return an SVG as a part of an HTML page: own ids, the page's colours, no foreign names.

    What is drawn for a label has its place as `data-label`. screen: "wide" or "narrow", where it is shown
    on such screens alone.
    """
    text = printable(svg.decode("utf-8"))
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, body = text[: text.rindex("</svg>") + 6].split(">", 1)
    view = re.search(r'viewBox="([-\d. ]+)"', head)
    box = view.group(1) if view else "0 0 1 1"
    width = float(box.split()[2])

    def adapted(found: re.Match[str]) -> str:
        tag = re.sub(rf'\bid="{MARK}(\d+)-\d+"', r'data-label="\1"', found.group())
        tag = re.sub(r'\bid="', f'id="{name}-', tag).replace("url(#", f"url(#{name}-")
        tag = re.sub(r'xlink:href="#', f'href="#{name}-', tag).replace("xlink:href=", "href=")
        return tag.replace(INK, "var(--ink)").replace(RULE, "var(--rule)")

    body = re.sub(r"<[^<>]+>", adapted, body)  # tags alone: what figures say stays as it is
    opening = (
        f'<svg class="{screen}" role="img" aria-label="{escape(printable(alt))}" viewBox="{box}" '
        f'style="--wide:{width / 72 * 96:.0f}px;width:var(--wide)">'
    )
    return Markup(opening + body)


def inline_png(png: bytes, alt: str) -> Markup:
    """Return a PNG as an image within the page."""
    data = base64.b64encode(png).decode("ascii")
    wide = int.from_bytes(png[16:20], "big")  # pixels, from the header
    image = Markup('<img alt="{}" style="width:{}px" src="data:image/png;base64,{}">')
    return image.format(printable(alt), round(wide / RASTER * 96), data)
