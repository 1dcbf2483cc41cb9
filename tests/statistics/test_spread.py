"""How numbers are written: what is read back is what was there."""

from __future__ import annotations

import re

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import given

from reldrop_bench.reporting.tables import digits_of, interval_text, texts
from reldrop_bench.statistics.spread import shown, written


def read(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (0.0314, 3, True, "+0.031"),
        (-0.0104, 3, True, "−0.010"),
        (-0.0001, 3, True, "0.000"),
        (-0.0001, 3, False, "0.000"),
        (2.5e-9, -2, False, "2.50e−09"),
        (-2.5e-9, -2, True, "−2.50e−09"),
        (0.0, -2, True, "0.00e+00"),
    ],
)
def test_a_number_has_a_minus_and_no_sign_at_zero(
    value: float, digits: int, sign: bool, text: str
) -> None:
    assert written(value, digits, sign) == text


def test_missing_seeds_are_told() -> None:
    assert shown(-0.5, 0.25, 2, 3) == "−0.500 ± 0.250 (n=2/3)"
    assert shown(float("nan"), float("nan"), 0, 3) == "– (n=0/3)"


@given(st.floats(-15, 15), st.sampled_from([1, -1]))
def test_no_size_of_number_is_shown_as_zero_or_as_a_row_of_digits(power: float, sign: int) -> None:
    mean = sign * 10**power
    sd = abs(mean) / 10
    row = {"column": "a", "mean": mean, "sd": sd, "n": 3, "n_expected": 3}
    row |= {"low": mean - sd, "high": mean + sd}
    frame = pd.DataFrame([row])
    (text,) = texts(frame, None)
    middle, spread = map(read, re.fullmatch(r"(\S+) ± (\S+)", text).groups())  # type: ignore[union-attr]
    assert middle == pytest.approx(mean, rel=0.05)
    assert spread == pytest.approx(sd, rel=0.5)
    (digits,) = digits_of(frame, None)
    numbers = re.findall(r"[+−]?\d[\d.e+−]*", interval_text(row, digits))
    assert list(map(read, numbers)) == pytest.approx([mean, row["low"], row["high"]], rel=0.05)
    assert len(text) < 30
