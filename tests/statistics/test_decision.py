"""The interval of a verdict against other implementations: Holm by statsmodels, t intervals by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from reldrop_bench.statistics.decision import decision_interval, holm_divisors
from reldrop_bench.statistics.equivalence import equivalence_p
from reldrop_bench.statistics.verdicts import LEVEL, verdict

DATA = {
    # Student's sleep data (Biometrika 6, 1908): extra hours of ten patients, drug 2 − drug 1.
    "sleep": [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4],
    # Darwin's maize (Fisher, The Design of Experiments, 1935): 15 differences in height.
    "maize": [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48],
}


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(st.floats(0, 1), st.floats(0, 0.06), st.sampled_from([0.01, 0.05])),
        min_size=1,
        max_size=12,
    )
)
def test_a_p_is_below_its_own_level_exactly_where_holm_rejects(p: list[float]) -> None:
    rejected = multipletests(p, LEVEL, method="holm")[0]  # rejects at the level itself, too
    divisors = holm_divisors(p)
    if not np.isclose(np.array(p) * divisors, LEVEL).any():
        assert (np.array(p) * divisors < LEVEL).tolist() == rejected.tolist()
    assert ((divisors >= 1) & (divisors <= len(p))).all()


def test_the_levels_of_a_small_family_by_hand() -> None:
    # Holm (1979): .01 against .05/4, .015 against .05/3, then .03 is above .05/2 and it stops there.
    assert holm_divisors([0.03, 0.01, 0.04, 0.015]).tolist() == [2, 4, 2, 3]
    assert holm_divisors([0.001, np.nan]).tolist() == [2, 1]
    assert holm_divisors([0.012, 0.012]).tolist() == [2, 2]


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_a_difference_has_the_t_interval_of_its_level(name: str, divisor: int) -> None:
    test = scipy.stats.ttest_1samp(DATA[name], 0)
    expected = test.confidence_interval(1 - LEVEL / divisor)
    error = scipy.stats.sem(DATA[name])
    found = decision_interval(np.mean(DATA[name]), error, test.df, "better", divisor)
    assert found == pytest.approx((expected.low, expected.high, 1 - LEVEL / divisor))
    if name == "sleep" and divisor == 1:  # as R prints it: help(sleep), t.test(…, paired = TRUE)
        assert found[:2] == pytest.approx((0.7001142, 2.4598858), abs=1e-6)


@given(
    st.floats(-3, 3), st.floats(0.05, 2), st.floats(1.5, 30), st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 4)
)  # fmt: skip
def test_word_and_interval_say_the_same(
    mean: float, error: float, df: float, divisor: int, other: int, margin: float
) -> None:
    p = float(2 * scipy.stats.t.sf(abs(mean) / error, df))
    equal = float(equivalence_p(mean, error, df, margin))
    if min(abs(p * divisor - LEVEL), abs(equal * other - LEVEL)) < 1e-9:
        return  # rounding decides
    word = verdict(mean, p * divisor, equal * other)
    low, high, _ = decision_interval(mean, error, df, word, divisor, other)
    assert (low > 0) == (word == "better")
    assert (high < 0) == (word == "worse")
    if word not in ("better", "worse"):
        assert (-margin < low and high < margin) == (word == "equivalent")
    assert low <= mean <= high or word == "equivalent"


@pytest.mark.parametrize(("mean", "error"), [(0.1, 0.0), (0.1, np.nan), (np.nan, 0.1)])
def test_what_was_not_tested_has_no_interval(mean: float, error: float) -> None:
    assert np.isnan(decision_interval(mean, error, np.nan, "unclear", 2, 2)).all()
