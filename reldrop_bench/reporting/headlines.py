"""The verdict in a sentence: what the tests show, and nothing more."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from reldrop_bench.reporting.falls import hidden_falls
from reldrop_bench.reporting.guidance import HELPS, HELPS_NOT, answers
from reldrop_bench.reporting.judgement import INCOMPLETE
from reldrop_bench.reporting.outcomes import SATURATED, margin_of
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import nothing_done
from reldrop_bench.reporting.tables import decided_text
from reldrop_bench.results import Results
from reldrop_bench.statistics.wording import by_number, counted

NAMED = 3
"""Labels that a headline names; the table has all."""


def nothing_compared(results: Results, lined_up: Sequence[Paired]) -> str:
    """Say why no label can be compared with the baseline."""
    if all(not item.telling for item in lined_up):
        full = ", ".join(lined_up[0].settings.values())
        return f"Every cell reaches {lined_up[0].outcome.text} of {SATURATED} or more on {full}"
    return f"No label has a pair with the baseline “{results.baseline}”"


def headline(
    results: Results, item: Paired, compared: pd.DataFrame, contrasts: pd.DataFrame
) -> str:
    """Say in plain words what the tests show, and nothing more.

    compared: of `judge`. contrasts: of `judge_contrasts`; what is said of a guided label says what it
    owes to guidance in the same sentence.
    """
    rows = compared[compared["outcome"] == item.outcome.key].to_dict("records")
    by_word: dict[str, list[dict[Any, Any]]] = {}
    for row in sorted(rows, key=lambda row: (not row["holds"], -abs(row["mean"]))):
        by_word.setdefault(row["verdict"], []).append(row)
    named = f"“{results.baseline}”"
    sentences = []
    if item.outcome.direction == "neither":
        sentences.append("neither direction is better.")
    elif "better" not in by_word:
        sentences.append(f"no regularizer is shown to be better than {named}.")
    for word in ("better", "worse", "higher", "lower"):
        said = by_word.get(word, [])
        firm, alone = ([row for row in said if row["holds"] == flag] for flag in (True, False))
        better = word == "better"
        words = {row["label"]: row["verdict"] for row in rows} if better else {}

        def owed(row: Mapping[Any, Any], words: dict[str, str] = words) -> str:
            return (
                _beside(results, row["label"], item.outcome.key, contrasts, words) if words else ""
            )

        if firm:
            sentences.append(f"{word} than {named}: {_named(firm, owed)}.")
        if alone:
            how = f"{word} on its own, but not after adjustment for the whole page (*)"
            sentences.append(f"{how}: {_named(alone, owed)}.")
    if said := by_word.get("equivalent", []):
        names = ", ".join(f"“{row['label']}”" for row in said)
        margin = margin_of(results, item.outcome)
        sentences.append(f"Equivalent to it within ±{margin:g}: {names}.")
    if said := by_word.get(INCOMPLETE, []):
        names = "; ".join(
            f"“{row['label']}” on {row['settings']} of {row['settings_expected']}"
            for row in said[:NAMED]
        )
        more = f"; and {len(said) - NAMED} more" if len(said) > NAMED else ""
        sentences.append(f"no verdict where whole tasks are missing: {names}{more}.")
    if said := by_word.get("unclear", []):
        are = by_number(len(said), "is", "are")
        sentences.append(f"{counted(len(said), 'label', total=len(rows))} {are} unclear.")
    ceiling = [
        label
        for label in item.planned
        if label not in {row["label"] for row in rows}
        and label != results.baseline
        and item.shared(label, results.baseline)
    ]
    if ceiling:
        sentences.append(
            f"{len(ceiling)} more {by_number(len(ceiling), 'is', 'are')} saturated, like the baseline."
        )
    if said := by_word.get("no measure", []):
        sentences.append(f"{len(said)} of {len(rows)} cannot be compared.")
    if item.outcome.primary:
        sentences += nothing_done(results)
    if item.kinds and (
        unknown := [each for each in item.columns if each not in results.trains_with]
    ):
        sentences.append(
            f"what {counted(len(unknown), 'label', total=len(item.columns))} trained with is not recorded, so no "
            "kind of shift is left out for that; `run` records it."
        )
    if item.kinds and (falls := hidden_falls(results, item, compared)):
        sentences.append(falls)
    text = " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
    name = f"{item.outcome.text[0].upper()}{item.outcome.text[1:]}"
    role = "" if item.outcome.primary else " (exploratory)"
    return f"{name}{role}: {text[0].lower()}{text[1:]}"


def _named(rows: Sequence[Mapping[Any, Any]], owed: Callable[[Mapping[Any, Any]], str]) -> str:
    texts = []
    for row in rows[:NAMED]:
        tasks = counted(row["settings"], "task")
        texts.append(f"“{row['label']}” by {decided_text(row)} on {tasks}{owed(row)}")
    more = f"; and {len(rows) - NAMED} more, see the table" if len(rows) > NAMED else ""
    return "; ".join(texts) + more


def _beside(
    results: Results, label: str, outcome: str, contrasts: pd.DataFrame, words: Mapping[str, str]
) -> str:
    """Say what a verdict of better than the baseline owes to guidance; "" for what is not guided.

    words: the verdicts of all labels against the baseline on this outcome.
    """
    if label not in results.guided:
        return ""
    listed = answers(results, contrasts)
    found = {(each.label, each.outcome): each for each in listed}.get((label, outcome))
    if found is None:
        # At the ceiling, or without a control.
        alike = [name for name in results.guided[label].values() if words.get(name) == "better"]
        if alike:
            return f", and so is its control “{alike[0]}”: not due to guidance"
        return ", of which no control shows how much is due to guidance"
    if found.word == HELPS:
        return (
            ", and better than its controls: guidance helps"
            if len(found.rungs) > 1
            else (", and better than its control: guidance helps")
        )
    controls = [row["other"] for row in found.rungs.values()]
    as_good = [control for control in controls if words.get(control) == "better"]
    if as_good:
        also = f", and so is its control “{as_good[0]}”"
        return also + (
            ": not due to guidance"
            if found.word == HELPS_NOT
            else "; what guidance adds is undecided"
        )
    if found.word == HELPS_NOT:
        return ", and not better than a control: not due to guidance"
    return "; that guidance adds to its controls is not shown"
