"""How the report looks: one colour, marker and line a label, the same in every figure."""

from __future__ import annotations

import functools
import math
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from reldrop_bench.errors import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

PALETTE = "colorblind"
PALE = ("#fbafe4", "#949494", "#ece133")
"""Colours of the palette that are left out: they vanish on white, or are the baseline's grey."""
BASELINE = "#808080"
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")
LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")

MARK = "label-"
"""What the `gid` of a label's artists begins with; the label's place follows."""

INK = "#24292f"
RULE = "#d3d8de"
"""Colours of text and grid; the page replaces them by its own, light or dark."""

THEME: Any = {
    "axes.edgecolor": RULE,
    "axes.facecolor": "none",
    "axes.formatter.use_mathtext": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.dpi": 100,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "image.cmap": "viridis",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.bottom": True,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
    "ytick.left": True,
}
"""What differs from seaborn's "whitegrid" style."""


@functools.cache
def palette() -> tuple[str, ...]:
    """Return the colours of labels as #rrggbb."""
    import seaborn as sns  # takes a while to import: only where something is drawn

    return tuple(color for color in sns.color_palette(PALETTE).as_hex() if color not in PALE)


@dataclass(frozen=True)
class Style:
    """Colours, markers and lines by label, and figures that share one theme."""

    labels: tuple[str, ...]
    baseline: str
    marked: bool = False
    """Whether what is drawn for a label is marked with it, so that the page can hide it."""

    def _place(self, label: str) -> int:
        others = [other for other in self.labels if other != self.baseline]
        return others.index(label) if label in others else len(others)

    def color(self, label: str) -> str:
        """Return the label's colour as #rrggbb; the baseline is grey."""
        colors = palette()
        return BASELINE if label == self.baseline else colors[self._place(label) % len(colors)]

    def marker(self, label: str) -> str:
        """Return the label's marker: with the colour it is unique up to 63 labels."""
        if label == self.baseline:
            return "o"
        return MARKERS[(self._place(label) + 1) % len(MARKERS)]

    def line(self, label: str) -> Literal["-", "--", "-.", ":"]:
        """Return the label's line style."""
        return "-" if label == self.baseline else LINES[self._place(label) % len(LINES)]

    def gid(self, label: str) -> str | None:
        """Return the `gid` of everything that is drawn for a label, None where nothing is marked."""
        return f"{MARK}{self.labels.index(label)}" if self.marked and label in self.labels else None

    def series(self, label: str) -> dict[str, Any]:
        """Return matplotlib's keywords `color` and `gid` of a label's line or points."""
        return {"color": self.color(label), "gid": self.gid(label)}

    def label_of(self, text: str) -> str | None:
        """Return the label that a figure shows as `text` (see `text`); None: none, or several."""
        shown = "".join(text.split())
        names = {label: "".join(printable(label).split()) for label in self.labels}
        found = [label for label, name in names.items() if name == shown]
        if not found and shown.endswith("…"):
            found = [label for label, name in names.items() if name.startswith(shown[:-1])]
        return found[0] if shown and len(found) == 1 else None

    def text(self, text: object, width: int = 26) -> str:
        """Return a name as a figure shows it: wrapped, and never one that matplotlib hides."""
        shown = textwrap.fill(
            " ".join(printable(text).split()), width, max_lines=3, placeholder="…"
        )
        return f"\u2009{shown}" if shown.startswith("_") else shown

    @contextmanager
    def theme(self) -> Iterator[None]:
        """Draw and save figures in the report's theme; matplotlib's settings are put back after."""
        import matplotlib as mpl
        import seaborn as sns

        with mpl.rc_context(), warnings.catch_warnings():
            mpl.rcdefaults()
            mpl.rcParams.update(sns.axes_style("whitegrid") | THEME)
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield

    def grid(
        self,
        rows: int,
        columns: int,
        size: tuple[float, float] = (2.5, 2.0),
        extra: tuple[float, float] = (0.0, 0.5),
        **share: Any,
    ) -> tuple[Figure, list[list[Axes]]]:
        """Return a figure with rows × columns axes of `size` inches each; `extra` for labels."""
        from matplotlib.figure import Figure

        width, height = columns * size[0] + extra[0], rows * size[1] + extra[1]
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **share).tolist()

    def panels(
        self,
        count: int,
        wide: int,
        size: tuple[float, float],
        extra: tuple[float, float],
        **share: Any,
    ) -> tuple[Figure, list[Axes]]:
        """Return a figure with `count` axes, at most `wide` in a row; see `grid`."""
        columns = max(1, min(wide, count))
        figure, axes = self.grid(-(-count // columns), columns, size, extra, **share)
        every = [axis for row in axes for axis in row]
        for spare in every[count:]:
            spare.set_visible(False)
        return figure, every[:count]

    def label_rows(
        self, axis: Axes, labels: Sequence[str], edge: float = 0.4, width: int = 26
    ) -> None:
        """Give every label a row of its own, the first on top, with `edge` rows of room around them."""
        axis.set_yticks(range(len(labels)), [self.text(label, width) for label in labels])
        axis.set_ylim(len(labels) - edge, edge - 1)
        axis.grid(axis="y", visible=False)

    def blank(self, axis: Axes, text: str) -> None:
        """Say in a panel why nothing is drawn there."""
        axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center")
        axis.set_xticks([])
        axis.set_yticks([])

    def key(self, figure: Figure, handles: Sequence[Any], texts: Sequence[str]) -> Legend:
        """Put handles with their texts below all axes, as many side by side as fit."""
        width = max((len(line) for text in texts for line in text.split("\n")), default=1)
        fitting = max(1, math.floor(figure.get_figwidth() * 72 / (width * 5.6 + 36)))
        looks: Any = {"ncols": min(fitting, len(texts)), "handlelength": 3}
        return figure.legend(handles, texts, loc="outside lower center", **looks)

    def legend(self, figure: Figure, labels: Sequence[str], lines: bool = False) -> None:
        """Put one legend for all axes below them."""
        from matplotlib.lines import Line2D

        handles = [
            Line2D(
                [],
                [],
                color=self.color(label),
                marker=self.marker(label),
                linestyle=self.line(label) if lines else "none",
            )
            for label in labels
        ]
        drawn = self.key(figure, handles, [self.text(label) for label in labels])
        for label, handle, text in zip(
            labels, drawn.legend_handles, drawn.get_texts(), strict=True
        ):
            if handle is not None:
                handle.set_gid(self.gid(label))
            text.set_gid(self.gid(label))
