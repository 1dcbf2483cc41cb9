"""The tables of the verdict: all outcomes at a glance, each in detail, each by task."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reldrop_bench import Results, Table
from reldrop_bench.reporting.judgement import DECIDED, INCOMPLETE
from reldrop_bench.reporting.outcomes import SATURATED, margin_of
from reldrop_bench.reporting.pairs import Paired
from reldrop_bench.reporting.rows import in_order, labels, settings
from reldrop_bench.reporting.tables import decided_text, p_text, without_empty
from reldrop_bench.statistics.spread import written
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.statistics.wording import by_number, counted

TONES = {
    "better": "good",
    "worse": "bad",
    "unclear": "muted",
    "no measure": "warn",
    INCOMPLETE: "warn",
}


INTERVAL = (
    "It is the one at the level that Holm’s method decided at, so it leaves out 0 where a difference "
    "is claimed and nowhere else; of “equivalent”, that of the two one-sided tests, which lies within "
    "the margin."
)

SIGNS = {
    "better": "↑", "worse": "↓", "higher": "↑", "lower": "↓", "equivalent": "≈", "unclear": "", "incomplete": "?"
}  # fmt: skip
"""What stands for the words in a paper’s table, where they would be repeated in every cell."""


def numbers_of(compared: pd.DataFrame) -> pd.DataFrame:
    """Return a table of `judge` with the verdict's interval as low and high, and the plain one as low_95."""
    renamed = {"low": "low_95", "high": "high_95", "verdict_low": "low", "verdict_high": "high"}
    frame = compared.rename(columns=renamed)
    names = [name for name in frame.columns if name not in ("low", "high", "confidence")]
    place = names.index("mean") + 1
    return frame[[*names[:place], "low", "high", "confidence", *names[place:]]]


def verdict_text(row: Mapping[Any, Any]) -> str:
    """Write a verdict with its difference, and its interval on a line of its own."""
    star = "" if row["holds"] or row["verdict"] not in DECIDED else "*"
    if row["verdict"] == INCOMPLETE:
        return _incomplete(row)
    difference, _, interval = decided_text(row).partition(" [")
    return f"{row['verdict']}{star} {difference}" + (f"\n[{interval}" if interval else "")


def _incomplete(row: Mapping[Any, Any]) -> str:
    """Write what is known of a comparison that lacks tasks, and the bound that the worst case gives."""
    bound = "" if pd.isna(row["worst"]) else f"\nat worst {written(row['worst'], sign=True)}"
    difference = decided_text(row).partition(" [")[0]
    return f"{row['verdict']} {difference} on {row['settings']}/{row['settings_expected']} tasks{bound}"


def unjudged(results: Results, item: Paired, label: str) -> str:
    """Say why a label has no verdict on an outcome."""
    return "saturated" if item.shared(label, results.baseline) else "does not apply"


def scoreboard(results: Results, lined_up: Sequence[Paired], compared: pd.DataFrame) -> Table:
    """Return a row a label and a column an outcome."""
    by_key = {(row["label"], row["outcome"]): row for row in compared.to_dict("records")}
    tones: dict[str, str] = {"does not apply": "muted", "saturated": "muted"}
    rows = []
    for label in labels(results):
        if label == results.baseline:
            continue
        texts = {"label": label}
        for item in lined_up:
            row = by_key.get((label, item.outcome.key))
            text = unjudged(results, item, label) if row is None else verdict_text(row)
            if row is not None:
                firm = row["holds"] or row["verdict"] not in DECIDED
                tones[text] = TONES.get(row["verdict"], "") if firm else "muted"
            texts[item.outcome.heading] = text
        rows.append(texts)
    caption = (
        f"Every label against “{results.baseline}”: verdict and mean seed-paired difference over "
        f"tasks with the interval that the verdict rests on. {INTERVAL} Exploratory: what conclusions do "
        "not rest on, a family of tests of its own; * does not hold after "
        "adjustment for the whole page; (n=5/6): pairs that are there, of those planned."
    )
    numbers = ["mean", "low", "high", "confidence", "p", "p_pair", "p_page"]
    data = numbers_of(compared)[["label", "outcome", "role", "verdict", "holds", *numbers]]
    return Table("verdict", caption, pd.DataFrame(rows), data=data, tones=tones, signs=SIGNS)


def sign_flip_text(row: Mapping[Any, Any]) -> str:
    """Write the p of a sign-flip test, or that it could not be significant."""
    if row["smallest_p_sign_flip"] >= LEVEL:
        differ = by_number(row["differing"], "differs", "differ")
        few = f"{counted(row['differing'], 'pair', total=row['n'])} {differ}"
        if row["differing"] == row["n"]:
            return f"cannot be significant with n={row['n']}"
        return f"cannot be significant: {few}"
    return p_text(row["p_sign_flip"])


def details(results: Results, item: Paired, compared: pd.DataFrame) -> Table:
    """Return every number behind the verdicts on one outcome."""
    rows = compared[compared["outcome"] == item.outcome.key]
    frame = pd.DataFrame(
        [
            {
                "label": row["label"],
                "verdict": verdict_text(row).partition(" ")[0],
                "difference [interval]": decided_text(row, counted=False),
                "tasks": f"{row['settings']}/{row['settings_expected']}",
                "pairs": f"{row['n']}/{row['n_expected']}",
                "p": p_text(row["p"]),
                **(
                    {"with what it trains with": written(row["with_trained"], sign=True)}
                    if item.parts
                    else {}
                ),
                "p (own outcomes)": p_text(row["p_pair"]),
                "p (page)": p_text(row["p_page"]),
                "p (sign flips)": sign_flip_text(row),
                "p (equivalence)": p_text(row["p_equivalence"]),
                "remark": row["note"],
            }
            for row in rows.to_dict("records")
        ]
    )
    return Table(
        f"verdict-{item.outcome.key}",
        f"{item.outcome.text}: the numbers behind the verdicts. The interval is the one that the "
        "verdict rests on; the CSV holds its confidence, and the unadjusted 95 % interval as low_95 "
        "and high_95. p: t test of the mean over tasks; "
        f"own outcomes, page: adjusted by Holm’s method; sign flips: permutation test, not adjusted; "
        f"equivalence: {_equivalence(results, item)}.",
        without_empty(frame),
        data=numbers_of(rows).drop(columns="outcome"),
        tones=TONES | {f"{word}*": "muted" for word in TONES},
        folded=True,
    )


def _equivalence(results: Results, item: Paired) -> str:
    margin = margin_of(results, item.outcome)
    if margin is None:
        return "not tested, as no margin is known for this metric (--margin gives one)"
    return f"two one-sided tests within ±{margin:g}"


def by_task(results: Results, item: Paired, tasks: pd.DataFrame, folded: bool) -> Table:
    """Return a row a task and label from `judge_tasks`: difference, effect size, verdict."""
    names = settings(results)
    rows = tasks[tasks["outcome"] == item.outcome.key].drop(columns="outcome")
    rows["setting"] = [names[pair] for pair in zip(rows["task"], rows["model"], strict=True)]
    rows = in_order(results, rows, "setting", "label")
    means = item.frame[item.frame["label"] == results.baseline]
    base = means.groupby(["task", "model"])["value"].mean()
    frame = pd.DataFrame(
        [
            {
                "task": row["setting"],
                "label": row["label"],
                "verdict": row["verdict"],
                "difference [interval]": decided_text(row, counted=False),
                "baseline": base.get((row["task"], row["model"])),
                "pairs": f"{row['n']}/{row['n_expected']}",
                "d_z": row["d_z"],
                "p": p_text(row["p"]),
                "p (Holm)": p_text(row["p_holm"]),
                "remark": row["note"],
            }
            for row in rows.to_dict("records")
        ]
    )
    return Table(
        f"verdict-{item.outcome.key}-by-task",
        f"{item.outcome.text} task by task: difference to “{results.baseline}”, effect size d_z "
        "(mean over standard deviation of the differences), paired t test, and a verdict by p "
        "adjusted over all tasks and outcomes of the label, with the interval that it rests on (in the "
        "CSV as low and high; low_95 and high_95 are not adjusted). It tells where a difference over all "
        f"tasks comes from. Saturated: all cells of the label and of the baseline reach {SATURATED}.",
        without_empty(frame),
        {"d_z": "{:.2f}", "baseline": "{:.3f}"},
        data=numbers_of(rows.drop(columns="setting")),
        tones=TONES | {"saturated": "muted"},
        folded=folded,
    )
