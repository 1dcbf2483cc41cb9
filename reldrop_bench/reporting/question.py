"""What a report is asked: another baseline, one metric to judge by, the margin that matters."""

from __future__ import annotations

import math

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.reporting.rows import labels
from reldrop_bench.results import Results


def asked(
    results: Results,
    baseline: str | None = None,
    metric: str | None = None,
    margin: float | None = None,
) -> Results:
    """Return the results with another baseline, metric or margin, all of them checked.

    metric: EVALUATION/SPLIT/METRIC such as calibration/test/ece; EVALUATION/METRIC or METRIC will do
    where only one is meant.

    Raises
    ------
    UserError
        A name that the results do not hold, or a margin that is not above 0.
    """
    if baseline is not None and baseline not in labels(results):
        known = labels(results)
        raise UserError(
            f"--baseline {baseline!r} is no label of these results; {suggest(baseline, known)}"
        )
    if margin is not None and not (math.isfinite(margin) and margin > 0):
        raise UserError(f"--margin {margin!r} is not above 0, such as 0.01")
    return results.changed(
        baseline=results.baseline if baseline is None else baseline,
        metric=results.metric if metric is None else find_metric(results, metric),
        margin=results.margin if margin is None else margin,
    )


def find_metric(results: Results, text: str) -> str:
    """Return the EVALUATION/SPLIT/METRIC that a text means.

    Raises
    ------
    UserError
        None is meant, or several; the nearest names are told.
    """
    triples = results.metrics[["evaluation", "split", "metric"]].drop_duplicates()
    known = {
        "/".join(map(str, row)): row for row in sorted(triples.itertuples(index=False, name=None))
    }
    if text in known:
        return text
    found = [
        path for path, (evaluation, _, metric) in known.items() if text == f"{evaluation}/{metric}"
    ] or [path for path, (_, _, metric) in known.items() if text == metric]
    if len(found) > 1:
        found = [path for path in found if known[path][1] == "test"] or found
    if len(found) > 1:
        # Of several evaluations that write a metric of this name, the one that is called so.
        found = [path for path in found if known[path][0] == text] or found
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"--metric {text!r} may mean {' or '.join(found[:4])}; write one of them")
    short = {path.replace("/test/", "/") for path in known} | {row[2] for row in known.values()}
    raise UserError(f"--metric {text!r} is not in these results; {suggest(text, short)}")
