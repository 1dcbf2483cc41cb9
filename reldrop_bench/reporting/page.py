"""The report as one HTML page that loads nothing and can be read without its script."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reldrop_bench.errors import printable
from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.reporting import latex
from reldrop_bench.reporting.figures import inline_png, inline_svg
from reldrop_bench.reporting.rows import labels, settings
from reldrop_bench.reporting.style import Style
from reldrop_bench.reporting.values import headed, left_out, legend_of, rows_of
from reldrop_bench.results import Results

TEMPLATES = Path(__file__).parent / "templates"
LABEL_COLUMNS = ("label", "other", "first", "second", "against")
TASK_COLUMNS = ("task", "setting")

SHAPES = {
    "o": "circle(46%)",
    "s": "inset(6%)",
    "D": "polygon(50% 0,100% 50%,50% 100%,0 50%)",
    "^": "polygon(50% 0,100% 100%,0 100%)",
    "v": "polygon(0 0,100% 0,50% 100%)",
    "<": "polygon(0 50%,100% 0,100% 100%)",
    ">": "polygon(100% 50%,0 0,0 100%)",
    "P": "polygon(33% 0,67% 0,67% 33%,100% 33%,100% 67%,67% 67%,67% 100%,33% 100%,33% 67%,"
    "0 67%,0 33%,33% 33%)",
    "X": "polygon(22% 0,50% 28%,78% 0,100% 22%,72% 50%,100% 78%,78% 100%,50% 72%,22% 100%,0 78%,"
    "28% 50%,0 22%)",
}
"""Markers of the figures, for the names in tables."""


TakenName = tuple[str, str]
"""The kind of a block, and its name in lower case: files of equal names would be one file."""


def kind_of(block: Block) -> str:
    """Return Prose, Table or Figure."""
    return type(block).__name__


@dataclass(frozen=True)
class BuiltSection:
    """A section after it was built, with the files of its figures; or what went wrong instead."""

    name: str
    title: str
    blocks: tuple[Block, ...] = ()
    figures: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By figure name: svg, pdf and png."""
    narrows: dict[str, bytes] = field(default_factory=dict)
    """By figure name: the svg for narrow screens, of figures that have one."""
    error: str = ""
    traceback: str = ""

    @property
    def gist(self) -> str:
        """What is left of it when it is folded: its first headline, else its first sentence."""
        prose = [
            block for block in self.blocks if isinstance(block, Prose) and block.kind != "code"
        ]
        headline = next((block.text for block in prose if block.kind == "headline"), "")
        first = prose[0].text if prose else ""
        return headline or re.split(r"(?<=[.!?])\s", first)[0]

    @property
    def names(self) -> set[TakenName]:
        """The names of its tables and figures."""
        named = (block for block in self.blocks if not isinstance(block, Prose))
        return {(kind_of(block), block.name.lower()) for block in named}


@dataclass(frozen=True)
class Choice:
    """What a reader can choose: labels and tasks by their place, whatever their names hold."""

    style: Style
    places: Mapping[str, int]
    """By label, as shown: its place."""
    names: tuple[str, ...]
    """The settings, as shown."""
    tasks: Mapping[str, str]
    """By the name that tables use, the places of its settings: "2", or "0 1" for a task's models."""

    @classmethod
    def of(cls, results: Results) -> Choice:
        """Return the choice among the labels and settings of some results."""
        style = Style(tuple(labels(results)), results.baseline)
        pairs = settings(results)
        names = tuple(dict.fromkeys(map(printable, pairs.values())))
        places: dict[str, list[str]] = {}
        for (task, _), name in pairs.items():
            for key in dict.fromkeys((printable(name), printable(task))):
                places.setdefault(key, []).append(str(names.index(printable(name))))
        return cls(
            style,
            {printable(label): index for index, label in enumerate(style.labels)},
            names,
            {key: " ".join(places) for key, places in places.items()},
        )

    def of_cell(self, column: Any, text: str) -> Markup:
        """Return the attributes of a cell that says whose row this is."""
        if column in LABEL_COLUMNS and text in self.places:
            return Markup(' data-label="{}"').format(self.places[text])
        if column in TASK_COLUMNS and text in self.tasks:
            return Markup(' data-task="{}"').format(self.tasks[text])
        return Markup("")

    def of_columns(self, columns: Sequence[str]) -> list[Markup]:
        """Return the attributes of heads as shown: of tasks, and of labels in a matrix of labels."""
        headed = [column for column in columns if column in self.places]
        matrix = len(headed) > 1 and list(columns[-len(headed) :]) == headed
        attributes = []
        for index, column in enumerate(columns):
            text = Markup("")
            if index and column in self.tasks:
                text = Markup(' data-task="{}"').format(self.tasks[column])
            elif matrix and column in headed:
                text = Markup(' data-label="{}"').format(self.places[column])
            attributes.append(text)
        return attributes

    def of_block(self, block: Table | Figure) -> Markup:
        """Return the attribute of a block that is about one task alone, as its caption begins."""
        for name in sorted(self.names, key=len, reverse=True):
            if printable(block.caption).startswith((f"{name}: ", f"{name}, ")):
                return Markup(' data-task="{}"').format(self.tasks[name])
        return Markup("")

    def looks(self) -> Markup:
        """Return the style rules that give each label its colour and marker."""
        return Markup("\n").join(
            Markup('[data-label="{}"]{{--c:{};--m:{}}}').format(
                index, self.style.color(label), Markup(SHAPES[self.style.marker(label)])
            )
            for index, label in enumerate(self.style.labels)
        )


def page(
    built: Sequence[BuiltSection], choice: Choice, title: str, lead: str, complete: bool
) -> str:
    """Return the page.

    Its policy lets a browser load nothing and run no script but the page's own, whose hash it
    names: markup that slipped in could do no harm.
    """
    return rendered(
        TEMPLATES / "report.html.j2",
        "report.js",
        title=printable(title),
        lead=printable(lead),
        complete=complete,
        sections=built,
        choice=choice,
        kind_of=kind_of,
        printable=printable,
        rows_of=rows_of,
        legend_of=legend_of,
        left_out=left_out,
        headed=headed,
        inlined=_inlined,
        characters=latex.CHARACTERS,
    )


def rendered(template: Path, script: str = "", /, **values: Any) -> str:
    """Return a page of a template; everything that is put into it is escaped.

    It may use `style`, `script` (the content of the file of that name beside it) and `script_hash` for its
    policy, and the filter `printable`. What it uses and is not given is an error.
    """
    own = {"style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))}
    if script:
        code = (template.parent / script).read_text(encoding="utf-8")
        digest = hashlib.sha256(code.encode("utf-8")).digest()
        own["script"] = Markup(code)
        own["script_hash"] = Markup(base64.b64encode(digest).decode("ascii"))
    return _environment(template.parent).get_template(template.name).render(**own, **values)


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment


def _inlined(section: BuiltSection, block: Figure) -> Markup:
    files = section.figures[block.name]
    if block.raster:
        return inline_png(files["png"], block.alt)
    if block.name not in section.narrows:
        return inline_svg(files["svg"], block.name, block.alt)
    narrow = section.narrows[block.name]
    return inline_svg(files["svg"], block.name, block.alt, "wide") + inline_svg(
        narrow, f"{block.name}-narrow", block.alt, "narrow"
    )
