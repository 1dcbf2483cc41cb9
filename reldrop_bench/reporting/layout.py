"""How a section is put together: paragraphs, and figures and tables task by task."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from reldrop_bench.kinds.section import Block, Prose, Table
from reldrop_bench.reporting.rows import Setting, detailed, settings
from reldrop_bench.results import Results

HOW = "How to read it"


def paragraph(text: str, kind: str = "text") -> Prose:
    """Return a text whose source has line breaks as one paragraph."""
    return Prose(re.sub(r"\s*\n\s*", " ", text.strip()), kind)


def how_to_read(text: str) -> Prose:
    """Return what a reader needs once: one link a section that unfolds it."""
    return Prose(paragraph(text).text, summary=HOW)


def task_by_task(
    results: Results,
    tables: Iterable[Mapping[str, Table]],
    drawn: Sequence[Setting] = (),
    draw: Callable[[Setting, str], Sequence[Block]] | None = None,
) -> list[Block]:
    """Return for each setting its figures, and below them its tables.

    tables: by the setting's name, as `tables.by_column` gives them. drawn: the settings with
    figures, of which the first few get theirs (see `rows.detailed`) from draw(setting, name).
    """
    present = set(detailed(drawn))
    kinds, blocks = list(tables), list[Block]()
    for setting, name in settings(results).items():
        if draw is not None and setting in present:
            blocks += draw(setting, name)
        blocks += [kind[name] for kind in kinds if name in kind]
    return blocks
