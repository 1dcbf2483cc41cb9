"""The report as LaTeX: booktabs tables in files of their own, and a document that holds them."""

from __future__ import annotations

import re

from reldrop_bench.report.cells import rows_of
from reldrop_bench.report.style import printable
from reldrop_bench.section import Figure, Prose, Table

CHARACTERS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "−": r"\ensuremath{-}", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}",
    "≥": r"\ensuremath{\geq}", "≤": r"\ensuremath{\leq}", "·": r"\ensuremath{\cdot}",
    "→": r"\ensuremath{\rightarrow}", "–": r"\textendash{}", "—": r"\textemdash{}",
    "…": r"\ldots{}", "\u2009": r"\,", "\ufffd": "?", "[": "{[}", "]": "{]}",
}  # fmt: skip
"""Square brackets too: after a row's ``\\\\`` one would be read as a length."""

PREAMBLE = r"""% Compile with lualatex or xelatex (any Unicode label) or pdflatex (Latin labels).
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{textcomp,booktabs,graphicx}
\usepackage[export]{adjustbox}
\usepackage[margin=2.5cm]{geometry}
"""


def escaped(text: object) -> str:
    """Return text on one line in which LaTeX sees no command."""
    line = " ".join(printable(text).split())
    return re.sub(r".", lambda match: CHARACTERS.get(match.group(), match.group()), line)


def prose(block: Prose) -> str:
    if block.kind == "code":
        lines = (escaped(line) or r"\mbox{}" for line in printable(block.text).split("\n"))
        title = escaped(block.summary) + "\n\n" if block.summary else ""
        body = "\\\\\n".join(lines)
        return f"{title}{{\\footnotesize\\ttfamily\\raggedright\\noindent {body}\\par}}"
    text = escaped(block.text)
    if block.kind == "headline":
        return rf"\textbf{{{text}}}"
    if block.kind in ("note", "warning"):
        return rf"\emph{{{block.kind.capitalize()}:}} {text}"
    return text


def table(block: Table) -> str:
    """Return a table environment with booktabs rules."""
    columns, rows = rows_of(block)
    numeric = [bool(rows) and all(row[i][1] for row in rows) for i in range(len(columns))]
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\small",
        rf"\caption{{{escaped(block.caption)}}}",
        r"\begin{adjustbox}{max width=\textwidth}",
        rf"\begin{{tabular}}{{{''.join('r' if flag else 'l' for flag in numeric)}}}",
        r"\toprule",
        " & ".join(escaped(column) for column in columns) + r" \\",
        r"\midrule",
        *(" & ".join(escaped(text) for text, _, _ in row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def figure(block: Figure) -> str:
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[max width=\textwidth]{{figures/{block.name}.pdf}}",
            rf"\caption{{{escaped(block.caption)}}}",
            r"\end{figure}",
        ]
    )
