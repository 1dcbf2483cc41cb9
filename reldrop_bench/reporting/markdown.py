"""The report as Markdown: tables and links to the figures."""

import re

from reldrop_bench.errors import printable
from reldrop_bench.kinds.section import Figure, Prose, Table
from reldrop_bench.reporting.values import Cell, headed, left_out, rows_of

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escaped(text: object) -> str:
    """Return text on one line in which Markdown and HTML see no markup."""
    return SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def fenced(text: str) -> str:
    """Return text as a code block whose fence the text cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"


def prose(block: Prose) -> str:
    if block.kind == "code":
        title = f"{escaped(block.summary)}\n\n" if block.summary else ""
        return title + fenced(block.text)
    if block.kind == "headline":
        about, rest = headed(block.text)
        return f"**{escaped(about)}** {escaped(rest)}" if about else f"**{escaped(rest)}**"
    text = escaped(block.text)
    if block.summary:
        return f"*{escaped(block.summary)}.* {text}"
    if block.kind in ("note", "warning"):
        return f"> {block.kind.capitalize()}: {text}"
    return text


def table(block: Table) -> str:
    """Return the caption, a link to all numbers, and the table."""
    columns, rows = rows_of(block)
    lines = [
        "| " + " | ".join(escaped(column) for column in columns) + " |",
        "|" + " --- |" * len(columns),
    ]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    caption = f"*{escaped(block.caption)}* ([CSV](tables/{block.name}.csv))"
    parts = [caption, escaped(left_out(block)), "\n".join(lines)]
    return "\n\n".join(part for part in parts if part)


def _cell(cell: Cell) -> str:
    return f"**{escaped(cell.text)}**" if cell.is_best else escaped(cell.text)


def figure(block: Figure) -> str:
    link = f"![{escaped(block.alt)}](figures/{block.name}.png)"
    return f"{link}\n\n*{escaped(block.caption)}* ([PDF](figures/{block.name}.pdf))"
