"""What a report is asked: another baseline, one metric to judge by, the margin that matters."""

import math

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.reporting.rows import labels, metric_paths
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
    paths = dict(sorted(metric_paths(results).items()))
    if text in paths:
        return text
    meant = [
        path for path, (evaluation, _, metric) in paths.items() if text == f"{evaluation}/{metric}"
    ] or [path for path, (_, _, metric) in paths.items() if text == metric]
    if len(meant) > 1:
        meant = [path for path in meant if paths[path][1] == "test"] or meant
    if len(meant) > 1:
        # Of several evaluations that write a metric of this name, the one that is called so.
        meant = [path for path in meant if paths[path][0] == text] or meant
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UserError(f"--metric {text!r} may mean {' or '.join(meant[:4])}; write one of them")
    short = {path.replace("/test/", "/") for path in paths} | {row[2] for row in paths.values()}
    raise UserError(f"--metric {text!r} is not in these results; {suggest(text, short)}")
