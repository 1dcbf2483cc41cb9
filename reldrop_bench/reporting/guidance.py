"""Whether guidance helps: every guided label against its controls, and what that says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reldrop_bench.reporting.deciding import what_would_decide
from reldrop_bench.reporting.doses import unlike_doses
from reldrop_bench.reporting.judgement import (
    DECIDED,
    EXPLORATORY,
    INCOMPLETE,
    PRIMARY,
    compare,
    decided_in,
    role_of,
)
from reldrop_bench.reporting.outcomes import unmeasured
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import nothing_done
from reldrop_bench.reporting.tables import decided, decided_text, telling_digits
from reldrop_bench.results import Results
from reldrop_bench.statistics.spread import written
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import by_number, counted

HELPS, HELPS_NOT, UNDECIDED = "helps", "does not help", "undecided"
QUESTION = "Does hiding what a model relies on help, beyond hiding as much anywhere?"
HIDDEN_BY = {
    "random": "as much at random places",
    "other-sample": "what is relevant in another sample",
}
"""What a control hides instead, by its rung; others are called by their rung."""
NAMED = 3
"""Answers that the sentence names; the table has all."""


def judge_contrasts(results: Results, lined_up: Sequence[Paired]) -> pd.DataFrame:
    """Compare every guided label with each of its controls, and the pairs that the spec names.

    Returns a row a (label, other, outcome): rung ("" for a pair of the spec), role, the fields of
    `judgement.compare`; p_family and p_family_equivalence, adjusted by Holm's method over all rows of
    the role; verdict, by these, and the columns of `DECISION`. Pairs without a common setting have no row.

    Primary outcomes are tested first. Only where each of these tests shows a difference is the rest
    tested at the same level without more errors than it allows, and called "secondary" instead of
    "exploratory" (serial gatekeeping, Westfall and Krishen, J. Stat. Plan. Inference 99, 2001).
    """
    wanted = [
        (label, rung, control)
        for label, rungs in results.guided.items()
        for rung, control in rungs.items()
        if control
    ]
    known = {frozenset((label, other)) for label, _, other in wanted}
    stated = (tuple(map(str, pair)) for pair in results.spec.get("contrasts", ()))
    wanted += [(label, "", other) for label, other in stated if {label, other} not in known]
    rows = [
        {"label": label, "rung": rung, "other": other, "outcome": item.outcome.key}
        | {"role": role_of(item.outcome)}
        | _compared(results, item, label, other, bool(rung))
        for label, rung, other in wanted
        for item in lined_up
        if label in item.columns and other in item.columns and item.common(label, other)
    ]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    directions = frame["outcome"].map({i.outcome.key: i.outcome.direction for i in lined_up})
    frame = decided_in(frame, "role", "family", list(directions))
    primary = frame[frame["role"] == PRIMARY]
    shown = primary["p_family"] < LEVEL
    whole = not any(_lacks_pairs(row) for row in primary.to_dict("records"))
    if len(primary) and shown.all() and whole and not _left_out(results, lined_up, frame):
        frame["role"] = frame["role"].replace(EXPLORATORY, "secondary")
    return frame


def _compared(
    results: Results, item: Paired, label: str, other: str, control: bool
) -> dict[str, object]:
    """Return `compare`; a control is expected on every task of its method, whether or not it was planned there."""
    row = compare(results, item, label, other)
    part = item.of(label, other)
    where = [each for each in part.asked if each in part.planned.get(label, ())]
    without = {task for task, _ in where} - {task for task, _ in part.shared(label, other)}
    if control and without:
        row["settings_expected"] = int(str(row["settings_expected"])) + len(without)
    return row


@dataclass(frozen=True)
class Answer:
    """What a guided label's contrasts say on one outcome."""

    label: str
    outcome: str
    role: str
    """"primary" where conclusions rest on the outcome, else "exploratory", or "secondary" behind the gate."""
    word: str
    """`HELPS` where it beats every control that it names, `HELPS_NOT` where one is as good or better, else
    `UNDECIDED`; `INCOMPLETE` where a pair is missing, whatever the others say."""
    rungs: Mapping[str, Mapping[Any, Any]]
    """The rows of `judge_contrasts` by rung."""

    @property
    def primary(self) -> bool:
        return self.role == PRIMARY


def answers(results: Results, contrasts: pd.DataFrame) -> list[Answer]:
    """Return what is answered for each guided label and outcome that has a control.

    Without one of its controls a method is not said to be helped by guidance: what is better than a
    random place may be due to the place, which another sample's relevance would find as well. Nor is anything
    said where a control hid not as much.
    """
    found = []
    unlike = unlike_doses(results)
    if contrasts.empty:
        return []
    listed = contrasts[contrasts["rung"] != ""]
    for (label, outcome), part in listed.groupby(["label", "outcome"], sort=False):
        rungs = {str(row["rung"]): row for row in part.to_dict("records")}
        words = {"equivalent" if _is_small(row) else row["verdict"] for row in rungs.values()}
        word = UNDECIDED
        if any(map(_lacks_pairs, rungs.values())):
            word = INCOMPLETE
        elif label in unlike:
            word = UNDECIDED
        elif words == {"better"}:
            word = HELPS if set(rungs) == set(results.guided[str(label)]) else UNDECIDED
        elif words & {"worse", "equivalent"}:
            word = HELPS_NOT
        found.append(Answer(str(label), str(outcome), str(part["role"].iloc[0]), word, rungs))
    return found


def _is_small(row: Mapping[Any, Any]) -> bool:
    """Return whether a difference is shown to lie within the margin, whatever its sign is."""
    return bool(row["p_family_equivalence"] < LEVEL)


def _lacks_pairs(row: Mapping[Any, Any]) -> bool:
    return bool(row["n"] < row["n_expected"] or row["settings"] < row["settings_expected"])


def answer(
    results: Results, lined_up: Sequence[Paired], contrasts: pd.DataFrame, counts: bool = True
) -> list[str]:
    """Answer the question in sentences for whoever reads nothing else; the first one is the answer.

    counts: with a sentence of how many questions have which answer.
    """
    if not results.guided:
        return []
    found = [each for each in answers(results, contrasts) if each.primary]
    without = [label for label, rungs in results.guided.items() if not any(rungs.values())]
    lacking = {
        label: [rung for rung, control in rungs.items() if not control]
        for label, rungs in results.guided.items()
        if label not in without
    }
    left = _left_out(results, lined_up, contrasts)
    sentences = [_overall(found, whole=not left) + _effects(found, lined_up)]
    if found and counts:
        words = ", ".join(f"{count} {word}" for word, count in count_answers(found).items())
        sentences.append(f"Of {asked_in_all(found)} guidance: {words}.")
    for item in lined_up:
        decided = [each for each in found if each.word in (HELPS, HELPS_NOT)]
        here = [each for each in decided if each.outcome == item.outcome.key]
        sentences += [_said(each, item.outcome.text) for each in here[:NAMED]]
        if len(here) > NAMED:
            sentences.append(f"{len(here) - NAMED} more on {item.outcome.text}: see the table.")
    sentences += [*left, *unlike_doses(results).values()]
    undecided = {(each.label, each.outcome) for each in found if each.word == UNDECIDED}
    if decide := what_would_decide(results, lined_up, contrasts, undecided):
        sentences.append(decide)
    if without:
        names = ", ".join(f"“{label}”" for label in without)
        sentences.append(
            f"{names} {by_number(len(without), 'has', 'have')} no control here, so nothing is said of "
            "guidance: write `controls: true`."
        )
    by_rungs: dict[tuple[str, ...], list[str]] = {}
    for label, rungs in lacking.items():
        if rungs:
            by_rungs.setdefault(tuple(rungs), []).append(f"“{label}”")
    sentences += [
        f"{', '.join(names)} {by_number(len(names), 'lacks its', 'lack their')} "
        f"{by_number(len(rungs), 'control', 'controls')} {', '.join(rungs)}, without which nothing that "
        f"{by_number(len(names), 'it gains', 'they gain')} is shown to be due to guidance: write `controls: true`."
        for rungs, names in by_rungs.items()
    ]
    return sentences


def count_answers(found: Sequence[Answer]) -> dict[str, int]:
    """Return by word how many primary questions it answers; what is incomplete, only where there is any."""
    counts = Counter(each.word for each in found if each.primary)
    shown = [HELPS, HELPS_NOT, UNDECIDED] + [INCOMPLETE] * bool(counts[INCOMPLETE])
    return {word: counts[word] for word in shown}


def asked_in_all(found: Sequence[Answer]) -> str:
    questions = sum(each.primary for each in found)
    return f"{counted(questions, 'question')} (guided method × primary outcome)"


def _left_out(results: Results, lined_up: Sequence[Paired], contrasts: pd.DataFrame) -> list[str]:
    """Say which primary questions cannot be asked: not measured, at the ceiling, or nothing foreign."""
    sentences = [
        f"{text[0].upper()}{text[1:]} was declared as primary and not measured."
        for text in unmeasured(results)
    ] + nothing_done(results)
    columns = ["label", "other", "outcome"]
    asked = set(contrasts[columns].itertuples(index=False, name=None)) if len(contrasts) else ()
    for item in lined_up:
        for label, rungs in results.guided.items():
            controls = [control for control in rungs.values() if control in results.labels]
            open_ = [each for each in controls if (label, each, item.outcome.key) not in asked]
            if not item.outcome.primary or not open_:
                continue
            where = f"“{label}”, {item.outcome.text}: "
            its = "its controls" if open_ == controls else "its control"
            its += "" if open_ == controls else f" {', '.join(f'“{each}”' for each in open_)}"
            if any(item.shared(label, control) for control in open_):
                sentences.append(f"{where}it and {its} are at the ceiling, not told apart.")
            elif item.kinds and label in item.trained:
                sentences.append(f"{where}no kind is foreign to it and {its}.")
    return sentences


def _overall(found: Sequence[Answer], whole: bool) -> str:
    """whole: whether all primary questions could be asked."""
    if not found and not whole:
        return "It cannot be said of any primary outcome; why, stands below."
    if not found:
        return "It cannot be said: no guided method has a control to be compared with."
    if any(each.word == INCOMPLETE for each in found):
        return "It cannot be said of all: contrasts lack pairs because cells failed or are missing."
    helping = [each for each in found if each.word == HELPS]
    failing = [each for each in found if each.word == HELPS_NOT]
    if helping and failing:
        return "Sometimes: guidance is shown to help in some respects and not in others."
    if helping:
        whole = whole and len(helping) == len(found)
        return "Yes: guidance is shown to help" + (
            "." if whole else " where it says so below; the rest is undecided."
        )
    if failing:
        whole = whole and len(failing) == len(found)
        return "Guidance is not shown to help: " + (
            "the controls do as well or better."
            if whole
            else "where it is decided, a control does as well or better; the rest is undecided."
        )
    return "Undecided: these runs show neither that guidance helps nor that it does not."


def _effects(found: Sequence[Answer], lined_up: Sequence[Paired]) -> str:
    """Say between which bounds the effect of guidance lies where nothing is decided, an outcome at a time."""
    if any(each.word != UNDECIDED for each in found):
        return ""
    parts = []
    for item in lined_up:
        rows = [
            decided(row)
            for each in found
            for row in each.rungs.values()
            if each.outcome == item.outcome.key
        ]
        bounds = [row[end] for row in rows for end in ("low", "high") if not pd.isna(row[end])]
        if bounds:
            digits = telling_digits(bounds, [0.0], 2)
            low, high = (written(each, digits, sign=True) for each in (min(bounds), max(bounds)))
            parts.append(f"{low} to {high} of {item.outcome.text}")
    more = f"; {len(parts) - NAMED} more outcomes in the figure" if len(parts) > NAMED else ""
    return f" It may add {'; '.join(parts[:NAMED])}{more}." if parts else ""


def _said(each: Answer, outcome: str) -> str:
    """Say what is known of one label and outcome."""
    parts = []
    for rung, row in each.rungs.items():
        hidden = HIDDEN_BY.get(rung, f"its control {rung}")
        said = row["verdict"] if row["verdict"] in DECIDED else "not shown to differ"
        to = "to" if said == "equivalent" else "from" if said.startswith("not") else "than"
        if _is_small(row) and said != "equivalent":
            said, to = f"{said}, by less than ±{row['margin']:g},", "than"
        parts.append(f"{said} {to} hiding {hidden} ({decided_text(row)})")
    start = f"“{each.label}”, {outcome}: guidance {each.word}; it is "
    return f"{start}{' and '.join(parts)}."
