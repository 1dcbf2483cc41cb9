"""Numbers agree with what is counted, wherever the product says how many there are."""

from __future__ import annotations

import re

import pytest

from reldrop_bench.plugins import builtin_folder
from reldrop_bench.plugins.registry import PACKAGE
from reldrop_bench.statistics.wording import by_number, counted


@pytest.mark.parametrize(
    ("number", "total", "text"),
    [
        (0, None, "0 vertices are"),
        (1, None, "1 vertex is"),
        (2, None, "2 vertices are"),
        (1, 1, "1 of 1 vertex is"),
        (1, 15, "1 of 15 vertices is"),
        (2, 15, "2 of 15 vertices are"),
    ],
)
def test_nouns_go_by_the_whole_and_verbs_by_the_part(
    number: int, total: int | None, text: str
) -> None:
    # The grammar of English: "one of the cells is", "none of the cells are".
    noun = counted(number, "vertex", "vertices", total)
    assert f"{noun} {by_number(number, 'is', 'are')}" == text
    assert noun.replace("vertices", "cells").replace("vertex", "cell") == counted(
        number, "cell", total=total
    )


PLURALS = (
    "cells|labels|tasks|seeds|samples|pairs|epochs|workers|models|files|settings|comparisons|"
    "differences|verdicts|outcomes|contrasts|errors|values|rows|metrics|methods|faces|vertices"
)
NUMBER = r"len\([^{}]*\)|count|number|total|\w+\.sum\(\)|int\([^{}]*\)|\w*\[?\"?settings\"?\]?"
BY_HAND = re.compile(rf"\{{(?:{NUMBER})\}} (?:{PLURALS})\b|\"s\" \*|'s' \*|\"s\" if|'s' if")


def test_no_text_counts_by_hand() -> None:
    """A number that a text names may be 1: `counted` knows the noun that goes with it."""
    # Where 1 cannot be, as the code beside it says.
    allowed = {
        "cannot be significant with {count} tasks",
        'f"all {count} cells are"',
        "are {count} cells; at most",
        "the first of {len(cells)} cells",
        "compares {len(sets)} sets",
    }
    own = [builtin_folder() / name for name in ("reports", "datasets", "regularizers")]
    found = []
    for folder in (PACKAGE, *own):
        for file in folder.rglob("*.py"):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                known = any(text in line for text in allowed)
                # An error for who calls a function in Python, not a text of the product.
                if BY_HAND.search(line) and not known and "raise ValueError" not in line:
                    found.append(f"{file.name}:{number}: {line.strip()}")
    assert found == []
