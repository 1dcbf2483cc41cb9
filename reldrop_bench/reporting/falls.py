"""What a mean over kinds hides: single kinds under which a label falls behind the baseline."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reldrop_bench.reporting.judgement import compare, decided_in
from reldrop_bench.reporting.outcomes import margin_of
from reldrop_bench.reporting.pairs import Paired, paired
from reldrop_bench.reporting.tables import decided_text
from reldrop_bench.results import Results
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
    return decided_in(frame, "label", "kind", [item.outcome.direction] * len(frame))


def hidden_falls(results: Results, item: Paired, compared: pd.DataFrame) -> str:
    """Name the kinds under which labels are worse whose mean is not; "" where there is none.

    compared: of `judge`.
    """
    here = compared[compared["outcome"] == item.outcome.key]
    fine = list(here.loc[here["verdict"] != "worse", "label"])
    by_kind = judge_kinds(results, item, fine)
    if by_kind.empty:
        return ""
    margin = margin_of(results, item.outcome) or 0.0
    falls = by_kind[(by_kind["verdict"] == "worse") & (by_kind["mean"].abs() > margin)]
    told = []
    for kind, part in falls.groupby("kind"):
        most = max(part.to_dict("records"), key=lambda row: abs(row["mean"]))
        many = counted(len(part), "label", total=len(here))
        text = f"“{most['label']}” by {decided_text(most)}"
        told.append(f"{kind} ({text if len(part) == 1 else f'{many}, most {text}'})")
    return f"The mean hides falls under single kinds: {'; '.join(told)}." if told else ""
