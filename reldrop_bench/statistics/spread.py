"""Mean and spread over seeds, with the number of seeds that should have been there."""

import numpy as np
import pandas as pd


def over_seeds(values: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Average column `value` of a frame with a row a cell, NaN where the cell has no value.

    Returns `by`, n (values), n_expected (rows), mean, sd (ddof 1; NaN for n < 2), in order of
    appearance; mean and sd are over what is there, and n < n_expected says that something is not.
    """
    ordered = values[[*by, "value"]].sort_values("value")  # sums must not depend on row order
    summary = ordered.groupby(by)["value"].agg(n="count", n_expected="size", mean="mean", sd="std")
    order = pd.MultiIndex.from_frame(values[by].drop_duplicates())
    return summary.reindex(order).reset_index()


def written(value: float, digits: int = 3, sign: bool = False) -> str:
    """Write a number with digits after the point; less than 0: as a power of ten, "1.23e−09".

    sign: with the sign of what is above zero, which itself has none.
    """
    text = f"{value:+.{digits}f}" if digits >= 0 else f"{value:+.{-digits}e}"
    bare = float(text) == 0 or (text[0] == "+" and not sign)
    return text[bare:].replace("-", "−")


def shown(mean: float, sd: float, n: int, n_expected: int, digits: int = 3) -> str:
    """Write "0.973 ± 0.004"; add "(n=2/3)" where a value is missing and "–" where all are."""
    count = "" if n == n_expected else f" (n={n}/{n_expected})"
    if n == 0:
        return f"–{count}"
    spread = "" if np.isnan(sd) else f" ± {written(sd, digits)}"
    return f"{written(mean, digits)}{spread}{count}"
