"""What a mean over kinds hides: single kinds under which a label falls behind the baseline."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reldrop_bench.reporting.judgement import adjusted, compare, with_intervals
from reldrop_bench.reporting.pairs import Paired, paired
from reldrop_bench.reporting.tables import decided_text
from reldrop_bench.results import Results
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.decision import holm_divisors
from reldrop_bench.statistics.verdicts import verdict
from reldrop_bench.statistics.wording import counted


def judge_kinds(results: Results, item: Paired, labels: Sequence[str]) -> pd.DataFrame:
    """Compare labels with the baseline under each kind of a mean over kinds that is foreign to them.

    Returns a row a (label, kind): the fields of `judgement.compare`; p_kind and p_kind_equivalence, adjusted
    by Holm's method over the kinds of the label; verdict, by these, and the columns of `DECISION`. Empty
    where the outcome is no mean over kinds.
    """
    rows = []
    for kind in sorted(item.kinds):
        pattern = re.sub(r"\(\?P<kind>.*?\)", re.escape(kind), item.outcome.pattern)
        one = paired(results, replace(item.outcome, pattern=pattern))
        rows += [
            {"label": label, "kind": kind} | compare(results, one, label, results.baseline)
            for label in labels
            if kind not in item.elsewhere | item.trained_by(label, results.baseline)
            and results.baseline in one.columns
            and one.common(label, results.baseline)
        ]
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    for raw in ("p", "p_equivalence"):
        frame[raw.replace("p", "p_kind", 1)] = adjusted(frame, ["label"], raw, holm)
    frame["verdict"] = [
        verdict(row["mean"], row["p_kind"], row["p_kind_equivalence"], item.outcome.direction)
        for row in frame.to_dict("records")
    ]
    divisors, of_equivalence = (
        adjusted(frame, ["label"], raw, holm_divisors) for raw in ("p", "p_equivalence")
    )
    return with_intervals(frame, divisors, of_equivalence)


def hidden_falls(results: Results, item: Paired, compared: pd.DataFrame) -> str:
    """Name the kinds under which labels are worse whose mean is not; "" where there is none.

    compared: of `judge`.
    """
    here = compared[compared["outcome"] == item.outcome.key]
    fine = list(here.loc[here["verdict"] != "worse", "label"])
    by_kind = judge_kinds(results, item, fine)
    if by_kind.empty:
        return ""
    margin = 0.0 if (size := item.outcome.margin) is None else size
    falls = by_kind[(by_kind["verdict"] == "worse") & (by_kind["mean"].abs() > margin)]
    told = []
    for kind, part in falls.groupby("kind"):
        most = max(part.to_dict("records"), key=lambda row: abs(row["mean"]))
        many = counted(len(part), "label", total=len(here))
        text = f"“{most['label']}” by {decided_text(most)}"
        told.append(f"{kind} ({text if len(part) == 1 else f'{many}, most {text}'})")
    return f"The mean hides falls under single kinds: {'; '.join(told)}." if told else ""
