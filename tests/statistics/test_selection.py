"""The best of several is too good: by how much is known."""

from __future__ import annotations

import numpy as np
import pytest

from reldrop_bench.statistics.selection import best_of


@pytest.mark.parametrize(
    ("number", "expected"),
    # Harter, Expected values of normal order statistics, Biometrika 48 (1961), table 1.
    [(1, 0.0), (2, 0.56419), (3, 0.84628), (5, 1.16296), (10, 1.53875), (20, 1.86748)],
)
def test_published_values(number: int, expected: float) -> None:
    assert best_of(number) == pytest.approx(expected, abs=1e-5)


def test_it_is_what_a_simulation_finds() -> None:
    drawn = np.random.default_rng(0).normal(size=(200_000, 4)).max(axis=1)
    assert best_of(4) == pytest.approx(drawn.mean(), abs=0.01)


def test_none_is_not_a_choice() -> None:
    with pytest.raises(ValueError, match="give 1 or more"):
        best_of(0)
