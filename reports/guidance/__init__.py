"""Whether guidance helps: every guided label against its controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reldrop_bench import Block, Prose, ReportSection, Results, Style, Table
from reldrop_bench.reporting.doses import doses
from reldrop_bench.reporting.guidance import (
    HELPS,
    HELPS_NOT,
    NAMED,
    QUESTION,
    UNDECIDED,
    answer,
    answers,
    asked_in_all,
    count_answers,
    judge_contrasts,
)
from reldrop_bench.reporting.judgement import DECIDED, INCOMPLETE, PRIMARY
from reldrop_bench.reporting.layout import how_to_read
from reldrop_bench.reporting.outcomes import JUDGED, declared_when
from reldrop_bench.reporting.pairs import Paired, paired_outcomes
from reldrop_bench.reporting.tables import decided_text, p_text, without_empty
from reldrop_bench.statistics.wording import counted

from .figures import ladder

TONES = {"better": "good", "worse": "bad", "equivalent": "bad", "unclear": "muted"}
WORDS = {HELPS: "good", HELPS_NOT: "bad", UNDECIDED: "muted", INCOMPLETE: "warn"}


class Guidance(ReportSection):
    """The answer to the first question, the contrasts behind it, and how much was hidden."""

    name = "guidance"
    title = QUESTION
    order = 50
    shows = JUDGED

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        if not results.guided:
            text = "No label of these results is guided by what a model relies on, so it is not asked here."
            return [Prose(text)]
        lined_up = paired_outcomes(results)
        contrasts = judge_contrasts(results, lined_up)
        first, *others = answer(results, lined_up, contrasts, counts=False)
        blocks: list[Block] = [Prose(first, "headline")]
        if found := [each for each in answers(results, contrasts) if each.primary]:
            counts = (f"{count} {word}" for word, count in count_answers(found).items())
            blocks.append(Prose(" · ".join([*counts, f"of {asked_in_all(found)}"]), "counts"))
        rest = [Prose(text) for text in [*others, *_doses(results)]]
        before, when = declared_when(results)
        if not before:
            rest.append(Prose(f"Read it as exploratory. About its outcomes: {when}.", "note"))
        if contrasts.empty:
            return [*blocks, *rest]
        held = [item for item in lined_up if item.outcome.key in set(contrasts["outcome"])]
        primary = [item for item in held if item.outcome.primary]
        if primary:
            blocks.append(ladder(results, style, primary, contrasts, "guidance"))
        blocks += [*rest, _how_to_read(contrasts)]
        blocks.append(_board(results, lined_up, contrasts))
        if further := [item for item in held if not item.outcome.primary]:
            blocks.append(ladder(results, style, further, contrasts, "guidance-exploratory"))
        return [*blocks, _dose(results), _details(lined_up, contrasts)]


def _board(results: Results, lined_up: Sequence[Paired], contrasts: pd.DataFrame) -> Table:
    """Return a row a guided label and outcome."""
    texts = {item.outcome.key: item.outcome.text for item in lined_up}
    rows = [
        {
            "guided method": each.label,
            "outcome": texts[each.outcome] + ("" if each.primary else f" ({each.role})"),
            "guidance": each.word,
            **{f"− {rung}": _two_lines(row) for rung, row in each.rungs.items()},
        }
        for each in sorted(answers(results, contrasts), key=lambda each: not each.primary)
    ]
    caption = (
        "Each guided method minus each of its controls, which hide as much of the same samples: "
        "“random” at random places, “other-sample” where another sample is relevant. Guidance helps "
        "where every control is beaten; it does not where one is as good (equivalent) or better."
    )
    return Table("guidance", caption, pd.DataFrame(rows).fillna("–"), tones=WORDS)


def _two_lines(row: Mapping[Any, Any]) -> str:
    difference, _, interval = decided_text(row).partition(" [")
    return f"{row['verdict']} {difference}" + (f"\n[{interval}" if interval else "")


def _details(lined_up: Sequence[Paired], contrasts: pd.DataFrame) -> Table:
    texts = {item.outcome.key: item.outcome.text for item in lined_up}
    frame = pd.DataFrame(
        [
            {
                "label": row["label"],
                "minus": row["other"],
                "outcome": texts[row["outcome"]],
                "role": row["role"],
                "verdict": row["verdict"],
                "difference [interval]": decided_text(row, counted=False),
                "tasks": f"{row['settings']}/{row['settings_expected']}",
                "pairs": f"{row['n']}/{row['n_expected']}",
                "p": p_text(row["p"]),
                "p (family)": p_text(row["p_family"]),
                "p (equivalence)": p_text(row["p_equivalence"]),
                "remark": row["note"],
            }
            for row in contrasts.to_dict("records")
        ]
    )
    caption = (
        "The numbers behind the contrasts. The interval is the one that the verdict rests on; p: t test "
        "of the mean over tasks; family: adjusted by Holm’s method over all rows of the same role."
    )
    data = contrasts.rename(columns={"low": "low_95", "high": "high_95"})
    data = data.rename(columns={"verdict_low": "low", "verdict_high": "high"})
    return Table("contrasts", caption, without_empty(frame), data=data, tones=TONES, folded=True)


def _doses(results: Results) -> list[str]:
    """Say how much guided labels and their controls hid, the mean over cells."""
    hidden = results.cells.groupby("label")["occluded_fraction"].mean().dropna()
    texts = []
    for label, rungs in results.guided.items():
        shares = [hidden[control] for control in rungs.values() if control in hidden]
        if label in hidden and shares:
            ends = dict.fromkeys(f"{share:.1%}" for share in (min(shares), max(shares)))
            texts.append(f"“{label}” {hidden[label]:.1%}, its controls {' to '.join(ends)}")
    more = f"; {len(texts) - NAMED} more in the table" if len(texts) > NAMED else ""
    return [f"Hidden in training: {'; '.join(texts[:NAMED])}{more}."] if texts else []


def _dose(results: Results) -> Table:
    """Return how much was hidden in training by every label, and whether controls hid as much."""
    hidden = doses(results).rename("hidden")
    roles = {
        control: f"control of {label}"
        for label, rungs in results.guided.items()
        for control in rungs.values()
    } | dict.fromkeys(results.guided, "guided")
    frame = hidden.reset_index().assign(role=lambda rows: rows["label"].map(roles).fillna("other"))
    data = frame[["task", "model", "label", "role", "hidden"]]
    shown = data.assign(hidden=[f"{share:.1%}" for share in data["hidden"]])
    caption = (
        "Share of the training input that was hidden, mean over seeds and epochs: labels of unlike shares "
        "differ in more than where they hide."
    )
    return Table("guidance-dose", caption, shown, data=data, folded=True)


def _how_to_read(contrasts: pd.DataFrame) -> Prose:
    decided = int(contrasts["verdict"].isin(DECIDED).sum())
    text = f"""
    A guided method and its controls are trained alike but for where they hide: same samples at
    the same steps, same shapes, as much hidden. The seed-paired differences are averaged within each task, then
    over tasks. The {counted(int((contrasts["role"] == PRIMARY).sum()), "contrast")} of primary outcomes are one
    family, adjusted by Holm’s method, and the answer rests on them alone. The
    {counted(int((contrasts["role"] != PRIMARY).sum()), "other")} are a family of their own and exploratory, unless
    each primary contrast shows a difference ({decided} of all are decided). Each interval is the one that its
    verdict rests on."""
    return how_to_read(text)
