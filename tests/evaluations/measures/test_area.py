"""Areas under curves whose answers can be told by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench.evaluations._measures.area import area


def test_area_is_the_mean_height_by_trapezoids():
    # 0.2 * (1 + .5) / 2 + 0.3 * (.5 + .1) / 2 = .24 over the width of .5.
    assert area([1, 0.5, 0.1], [0, 0.2, 0.5]) == pytest.approx(0.48)
    np.testing.assert_allclose(area([[0, 1], [3, 3]], [0.1, 0.9]), [0.5, 3])


@given(st.floats(-10, 10), st.lists(st.integers(0, 1000), min_size=2, max_size=9, unique=True))
def test_the_area_of_a_constant_is_the_constant(value, positions):
    x = np.sort(positions) / 1000
    assert area(np.full(len(x), value), x) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("x", [[0.5], [0, 0], [0.5, 0.2]])
def test_x_must_grow(x):
    with pytest.raises(ValueError, match="grow"):
        area(np.ones(len(x)), x)
