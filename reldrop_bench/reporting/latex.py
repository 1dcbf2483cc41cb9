"""The report as LaTeX: booktabs tables in files of their own, and a document that holds them."""

import unicodedata
from typing import NamedTuple

from reldrop_bench.errors import printable
from reldrop_bench.kinds.section import Figure, Prose, Table
from reldrop_bench.reporting.values import headed, left_out, legend_of, rows_of

GREEK = [
    "alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "o", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi",
    "chi", "psi", "omega",
]  # fmt: skip
"""From U+03B1 on."""

COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\char34{}",
    "`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "\u2009": r"\,", "\xa0": "~",
    "\xad": "", "\u200b": "", "\ufffd": "?", "‐": "-", "‑": "-", "′": r"\textquotesingle{}",
}  # fmt: skip
"""Square brackets and the star too: after a row's ``\\\\`` LaTeX would take them for arguments."""

MATHS = {
    "−": "-", "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "≥": r"\geq",
    "≤": r"\leq", "≠": r"\neq", "≈": r"\approx", "∼": r"\sim", "≡": r"\equiv", "∝": r"\propto",
    "∞": r"\infty", "√": r"\surd", "∑": r"\sum", "∏": r"\prod", "∈": r"\in", "∅": r"\emptyset",
    "∩": r"\cap", "∪": r"\cup", "∂": r"\partial", "∇": r"\nabla", "∀": r"\forall",
    "∃": r"\exists", "¬": r"\neg", "∧": r"\wedge", "∨": r"\vee", "∘": r"\circ", "∗": r"\ast",
    "→": r"\rightarrow", "←": r"\leftarrow", "↑": r"\uparrow", "↓": r"\downarrow",
    "↔": r"\leftrightarrow", "⇒": r"\Rightarrow", "⇐": r"\Leftarrow", "⇔": r"\Leftrightarrow",
    "∥": r"\|", "⋅": r"\cdot", "●": r"\bullet", "○": r"\circ", "✓": r"\surd", "ℓ": r"\ell",
    "ϵ": r"\epsilon", "ϕ": r"\phi", "ϑ": r"\vartheta", "µ": r"\mu",
    "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi",
    "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega",
    **{letter: rf"\mathrm{{{latin}}}" for letter, latin in
       zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)},
    **{chr(0x3B1 + place): name if name == "o" else rf"\{name}"
       for place, name in enumerate(GREEK)},
    **{character: f"^{digit}" for digit, character in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{character: f"_{digit}" for digit, character in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    "⁻": "^-", "⁺": "^+",
}  # fmt: skip

UNDEFINED = "ĦħĸĿŀŉŦŧſ"
"""Letters among U+00A1 to U+017F that pdflatex's T1 and TS1 fonts lack."""

ONLY_T1 = "«»ÐÞðþĄąĐđĘęĮįŊŋŲų‚„‹›"
"""What the usual OT1 fonts lack."""

CHARACTERS: dict[str, str] = {
    **{chr(code): chr(code) for code in (*range(0x20, 0x7F), *range(0xA1, 0x180))},
    **{character: character for character in "“”‘’†‡•‰€™"},
    **{character: rf"{{\fontencoding{{T1}}\selectfont {character}}}" for character in ONLY_T1},
    **COMMANDS,
    **{character: rf"\ensuremath{{{maths}}}" for character, maths in MATHS.items()},
}
"""How pdflatex is given each character that it can typeset; the page's own script reads it too."""
for _letter in UNDEFINED:
    del CHARACTERS[_letter]

TALLEST = 40
"""Lines of a table that fit on a page; longer ones are split."""

WIDE = 44
"""Characters in a cell from which its column wraps."""

LONGEST = 400
"""Characters of a cell; the CSV has all."""

PREAMBLE = r"""% Compile with pdflatex.
\documentclass{article}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}\usepackage[T1]{fontenc}}{\usepackage[T1,OT1]{fontenc}}
\usepackage{textcomp,booktabs,graphicx}
\usepackage[margin=2.5cm]{geometry}
\setlength{\belowcaptionskip}{6pt}
\emergencystretch=3em
"""


def escaped(text: object) -> str:
    """Return text on one line in which LaTeX sees no command and no ligature of its own.

    What pdflatex cannot typeset becomes its code point, such as U+540D.
    """
    line = unicodedata.normalize("NFC", " ".join(printable(text).split()))
    written = "".join(CHARACTERS.get(each, f"U+{ord(each):04X}") for each in line)
    return written.replace("--", "-{}-{}").replace(",,", ",{},{}")


TYPED = {COMMANDS[each]: rf"\char{ord(each)}{{}}" for each in r"\{}_<>|"}
"""What typewriter fonts have themselves and other fonts borrow."""


def _code_line(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    shown = escaped(line)
    for borrowed, own in TYPED.items():
        shown = shown.replace(borrowed, own)
    return "~" * indent + shown or r"\mbox{}"


def prose(block: Prose) -> str:
    if block.kind == "code":
        title = escaped(block.summary) + "\n\n" if block.summary else ""
        body = "\\\\\n".join(_code_line(line) for line in printable(block.text).split("\n"))
        return f"{title}{{\\footnotesize\\ttfamily\\raggedright\\noindent {body}\\par}}"
    if block.kind == "headline":
        about, rest = headed(block.text)
        return rf"\noindent\textbf{{{escaped(about)}}} {escaped(rest)}"
    text = escaped(block.text)
    if block.summary:
        return rf"\emph{{{escaped(block.summary)}.}} {text}"
    if block.kind in ("note", "warning"):
        return rf"\emph{{{block.kind.capitalize()}:}} {text}"
    return text


def _column(texts: list[str], numeric: bool) -> str:
    """Return how a column is set: right, left, or wrapped where it holds long texts."""
    longest = max(map(len, texts), default=0)
    if numeric:
        return "r"
    return "l" if longest <= WIDE else r"p{6.5cm}" if longest <= 4 * WIDE else r"p{11cm}"


class _Text(NamedTuple):
    text: str
    is_bold: bool


def _lines_of(row: list[_Text], columns: list[str]) -> int:
    """Return about how many lines a row takes."""
    room = {"p{6.5cm}": 36, r"p{11cm}": 62}
    lines = (
        -(-len(cell.text) // room[column]) if column in room else 1
        for cell, column in zip(row, columns, strict=True)
    )
    return max(lines, default=1)


def _split(rows: list[list[_Text]], columns: list[str]) -> list[list[list[_Text]]]:
    """Return the rows in parts that fit on a page each."""
    parts: list[list[list[_Text]]] = [[]]
    height = 0
    for row in rows:
        lines = _lines_of(row, columns)
        if parts[-1] and height + lines > TALLEST:
            parts.append([])
            height = 0
        parts[-1].append(row)
        height += lines
    return parts


def table(block: Table) -> str:
    """Return a table environment with booktabs rules, or several where one page is too short.

    It needs the packages booktabs and graphicx: what is wider than the line is scaled to it.
    """
    names, cells = rows_of(block)
    numeric = [bool(cells) and all(row[i].is_number for row in cells) for i in range(len(names))]
    rows = [[_Text(_shortened(cell.brief), cell.is_best) for cell in row] for row in cells]
    columns = [
        _column([row[place].text for row in rows], flag) for place, flag in enumerate(numeric)
    ]
    caption = " ".join(filter(None, (block.caption, legend_of(block), left_out(block))))
    parts = _split(rows, columns)
    return "\n".join(
        _part(names, part, columns, caption if number == 0 else "(continued)", number > 0)
        for number, part in enumerate(parts)
    )


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _cell(cell: _Text, column: str) -> str:
    """Return a cell's text; one that wraps may do so within a path or a name as well."""
    written = rf"\textbf{{{escaped(cell.text)}}}" if cell.is_bold else escaped(cell.text)
    if column.startswith("p"):
        for mark in ("/", r"\_", "."):
            written = written.replace(mark, mark + r"\hspace{0pt}")
    return written


def _part(
    names: list[str], rows: list[list[_Text]], columns: list[str], caption: str, continued: bool
) -> str:
    lines = [
        r"\begin{table}[htbp]",
        *([r"\addtocounter{table}{-1}"] if continued else []),
        r"\centering\small",
        rf"\caption{{{escaped(caption)}}}",
        rf"\sbox2{{\begin{{tabular}}{{{''.join(columns)}}}",
        r"\toprule",
        " & ".join(escaped(name) for name in names) + r" \\",
        r"\midrule",
        *(" & ".join(map(_cell, row, columns)) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd2>\linewidth\resizebox{\linewidth}{!}{\usebox2}\else\usebox2\fi",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def figure(block: Figure) -> str:
    """Return a figure environment; a drawing that is wider than the line is scaled to it."""
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\sbox2{{\includegraphics{{figures/{block.name}.pdf}}}}%",
            r"\ifdim\wd2>\linewidth\resizebox{\linewidth}{!}{\usebox2}\else\usebox2\fi",
            rf"\caption{{{escaped(block.caption)}}}",
            r"\end{figure}",
        ]
    )
