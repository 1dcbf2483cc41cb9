"""A section of the report: results in; prose, tables and figures out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from reldrop_bench.plugins.base import Plugin

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from reldrop_bench.results import Results


@dataclass(frozen=True)
class Prose:
    """A paragraph of plain text; it is escaped when it is shown.

    `kind`: text, headline, note, warning, counts (parts between " · ", each a number and a word), or
    code (shown as it stands). A `summary` folds text or code away
    behind one line where the format can do so. A section is folded to its first headline, or to the
    first sentence that it has.
    """

    text: str
    kind: str = "text"
    summary: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption.

    `name` is unique in the report and becomes the file name of its CSV. `frame` holds plain columns
    (the index is not shown); numbers stay numbers, `formats` says how a column is printed
    (``{"accuracy": "{:.3f}"}``). Where the cells are composed texts ("0.973 ± 0.004"), `data` holds
    the plain numbers for the CSV. `tones` colours cells by their whole text: good, bad, warn, muted.
    A folded table is shown behind its caption. `best`: by column, the rows whose cell is bold, each named
    by its values in `keys`. `signs`: what LaTeX prints for the word that a cell begins with, where the
    same words would stand in every cell ({"better": "↑"}).
    """

    name: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, str] | None = None
    data: pd.DataFrame | None = None
    tones: Mapping[str, str] | None = None
    folded: bool = False
    best: Mapping[str, Set[tuple[str, ...]]] | None = None
    keys: tuple[str, ...] = ("label",)
    signs: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Figure:
    """A figure with a caption and an alternative text for those who cannot see it.

    `raster`: the page holds it as a PNG, not as SVG (galleries of pictures).
    """

    name: str
    caption: str
    alt: str
    figure: MatplotlibFigure
    raster: bool = False
    narrow: MatplotlibFigure | None = None
    """The same for a narrow screen, which the page shows there in its place."""


Block = Prose | Table | Figure


class ReportSection(Plugin, ABC):
    """A part of the comparison report; a plugin in a `reports/` folder.

    It reads `Results` and calls `reldrop_bench.statistics`; it computes no test of its own.
    """

    title: ClassVar[str]
    order: ClassVar[int] = 500
    """Place in the report: small numbers first."""
    opening: ClassVar[str] = ""
    """What it shows and how to read that; line breaks have no meaning."""
    shows: ClassVar[Sequence[str]] = ()
    """The metrics whose values it shows: regular expressions, each for a whole "EVALUATION/SPLIT/METRIC".
    What no section names is shown in a section for the rest, metric by metric."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        patterns = [cls.shows] if isinstance(cls.shows, str) else list(cls.shows)
        for pattern in patterns:
            try:
                re.compile(pattern)
            except (TypeError, re.error) as error:
                raise TypeError(
                    f"{cls.__name__}.shows: {pattern!r} is no regular expression ({error}); write "
                    'shows = ("my-evaluation/test/.*",)'
                ) from None
        cls.shows = tuple(patterns)

    @abstractmethod
    def build(self, results: Results, style: Any) -> Sequence[Block]:
        """Return the blocks of the section, in reading order.

        A section with nothing to say returns one `Prose` that gives the reason.
        `style` gives one colour and marker a method (`reldrop_bench.reporting.style.Style`).
        """
