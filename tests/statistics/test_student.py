"""Student's t between two degrees of freedom: against scipy at both ends, by hand, and as a distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics.student import (
    degrees_of_freedom_at,
    student_cdf,
    student_quantile,
)

LEAST = st.floats(1, 30)
TIMES = st.floats(1, 200)
TAIL = st.floats(1e-5, 0.49)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_one_setting_has_student_s_t(n: int) -> None:
    t = np.linspace(-20, 20, 81)
    np.testing.assert_allclose(student_cdf(t, n - 1, n - 1), stats.t.cdf(t, n - 1), rtol=1e-12)
    assert student_quantile(0.025, n - 1, n - 1) == pytest.approx(stats.t.ppf(0.975, n - 1))


def test_degrees_of_freedom_by_hand() -> None:
    # ν = 4, Satterthwaite's 8: h is 1/2. t² = 4 (e² − 1) makes z² = 8, so that k = 1 + 7/4 ln 2.
    t = math.sqrt(4 * math.expm1(2))
    k = 1 + 1.75 * math.log(2)
    assert degrees_of_freedom_at(t, 8, 4) == pytest.approx(4 / (1 - 0.5**k))
    # In the middle they are Satterthwaite's, far out the least.
    assert degrees_of_freedom_at(0.5, 8, 4) == pytest.approx(8)
    assert degrees_of_freedom_at(1e9, 8, 4) == pytest.approx(4, rel=1e-6)


def test_of_many_pairs_nothing_but_the_normal_distribution_is_left() -> None:
    assert student_quantile(0.025, 8000, 4000) == pytest.approx(1.959964, abs=2e-3)


@given(LEAST, TIMES)
def test_further_out_there_are_fewer_and_p_is_smaller_all_the_same(
    least: float, times: float
) -> None:
    t = np.geomspace(1e-2, 1e3, 2000)
    df = degrees_of_freedom_at(t, times * least, least)
    assert (df >= least * (1 - 1e-9)).all()
    assert (df <= times * least * (1 + 1e-9)).all()
    assert (np.diff(df) <= 1e-9 * df[1:]).all()
    p = student_cdf(-t, times * least, least)
    assert (np.diff(p) <= 1e-12 * p[1:]).all()


@given(LEAST, TIMES, TAIL)
def test_the_quantile_is_the_inverse(least: float, times: float, tail: float) -> None:
    t = student_quantile(tail, times * least, least)
    assert student_cdf(-t, times * least, least) == pytest.approx(tail, rel=1e-9)


def test_many_quantiles_at_once_are_those_of_each() -> None:
    random = np.random.default_rng(0)
    least = random.uniform(1, 20, 300)
    df, tail = least * random.uniform(1, 30, 300), random.uniform(1e-4, 0.4, 300)
    together = student_quantile(tail, df, least)
    alone = [float(student_quantile(*one)) for one in zip(tail, df, least, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-9)
