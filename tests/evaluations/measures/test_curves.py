"""Areas, gains and corruption errors of curves whose answers can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench.evaluations._measures.curves import (
    area,
    mean_corruption_error,
    normalised_area,
    relative_mean_corruption_error,
    symmetric_relevance_gain,
)


def test_area_is_the_mean_height_by_trapezoids():
    # 0.2 * (1 + .5) / 2 + 0.3 * (.5 + .1) / 2 = .24 over the width of .5.
    assert area([1, 0.5, 0.1], [0, 0.2, 0.5]) == pytest.approx(0.48)
    np.testing.assert_allclose(area([[0, 1], [3, 3]], [0.1, 0.9]), [0.5, 3])


@given(st.floats(-10, 10), st.lists(st.integers(0, 1000), min_size=2, max_size=9, unique=True))
def test_the_area_of_a_constant_is_the_constant(value, places):
    x = np.sort(places) / 1000
    assert area(np.full(len(x), value), x) == pytest.approx(value, abs=1e-9)


def test_the_normalised_area_of_a_flat_curve_is_one():
    assert normalised_area([0.8, 0.8], [0, 0.9], clean=0.8) == pytest.approx(1)
    assert normalised_area([0.8, 0.4], [0, 0.9], clean=0.8) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="clean = 0"):
        normalised_area([0, 0], [0, 1], clean=0)


@pytest.mark.parametrize("x", [[0.5], [0, 0], [0.5, 0.2]])
def test_places_must_grow(x):
    with pytest.raises(ValueError, match="grow"):
        area(np.ones(len(x)), x)


def test_symmetric_relevance_gain_is_the_area_between_the_curves():
    x, least, most = [0, 0.5, 1], [1, 1, 0], [1, 0, 0]
    assert symmetric_relevance_gain(least, most, x) == pytest.approx(0.5)
    assert symmetric_relevance_gain(most, least, x) == pytest.approx(-0.5)
    assert symmetric_relevance_gain(least, least, x) == 0
    # The same fall of both, which a fill may cause by itself, changes nothing.
    both = np.array([0, 0.3, 0.6])
    assert symmetric_relevance_gain(least - both, most - both, x) == pytest.approx(0.5)


ACCURACY = [[0.8, 0.6], [0.5, 0.1]]
REFERENCE = [[0.7, 0.5], [0.8, 0.6]]


def test_mean_corruption_error():
    # (.2 + .4) / (.3 + .5) = .75 and (.5 + .9) / (.2 + .4) = 7 / 3.
    assert mean_corruption_error(ACCURACY, REFERENCE) == pytest.approx((0.75 + 7 / 3) / 2)
    assert mean_corruption_error(REFERENCE, REFERENCE) == pytest.approx(1)


def test_relative_mean_corruption_error():
    # (.1 + .3) / (.2 + .4) = 2 / 3 and (.4 + .8) / (.1 + .3) = 3.
    found = relative_mean_corruption_error(ACCURACY, REFERENCE, 0.9, 0.9)
    assert found == pytest.approx((2 / 3 + 3) / 2)
    assert relative_mean_corruption_error(REFERENCE, REFERENCE, 0.9, 0.9) == pytest.approx(1)


def test_a_reference_without_error_is_told_and_shapes_must_agree():
    with pytest.raises(ValueError, match="corruption 1"):
        mean_corruption_error(ACCURACY, [[0.7, 0.5], [1, 1]])
    with pytest.raises(ValueError, match="corruption 0"):
        relative_mean_corruption_error(ACCURACY, REFERENCE, 0.9, 0.6)
    with pytest.raises(ValueError, match="shapes"):
        mean_corruption_error(ACCURACY, [[0.7, 0.5]])
