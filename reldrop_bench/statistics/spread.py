"""Mean and spread over seeds, with the number of seeds that should have been there."""

from __future__ import annotations

import numpy as np
import pandas as pd


def over_seeds(values: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Average column `value` of a frame with a row a cell, NaN where the cell has no value.

    Returns `by`, n (values), n_expected (rows), mean, sd (ddof 1; NaN for n < 2), in order of
    appearance; mean and sd are over what is there, and n < n_expected says that something is not.
    """
    rows = []
    for key, group in values.groupby(by, sort=False, dropna=False):
        present = np.sort(group["value"].to_numpy(np.float64))
        present = present[np.isfinite(present)]
        rows.append(
            (
                *key,
                len(present),
                len(group),
                present.mean() if len(present) else np.nan,
                present.std(ddof=1) if len(present) > 1 else np.nan,
            )
        )
    return pd.DataFrame(rows, columns=[*by, "n", "n_expected", "mean", "sd"])


def shown(mean: float, sd: float, n: int, n_expected: int, digits: int = 3) -> str:
    """Write "0.973 ± 0.004"; add "(n=2/3)" where a value is missing and "–" where all are."""
    count = "" if n == n_expected else f" (n={n}/{n_expected})"
    if n == 0:
        return f"–{count}"
    spread = "" if np.isnan(sd) else f" ± {sd:.{digits}f}"
    return f"{mean:.{digits}f}{spread}{count}"
