"""The words of a comparison follow from its tests and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reldrop_bench.statistics.verdicts import verdict

NAN = float("nan")
CHANCE = st.one_of(st.floats(0, 1), st.just(NAN))


@pytest.mark.parametrize(
    ("mean", "p", "p_equivalence", "direction", "word"),
    [
        (0.1, 0.01, NAN, "higher", "better"),
        (-0.1, 0.01, NAN, "higher", "worse"),
        (-0.1, 0.01, NAN, "lower", "better"),
        (0.1, 0.01, NAN, "lower", "worse"),
        (0.1, 0.2, NAN, "higher", "unclear"),
        (0.1, 0.05, NAN, "higher", "unclear"),
        (0.1, NAN, NAN, "higher", "unclear"),
        (0.0, 0.01, NAN, "higher", "unclear"),
        (0.001, 0.2, 0.01, "higher", "equivalent"),
        (0.001, 0.2, 0.05, "higher", "unclear"),
        (0.001, 0.01, 0.01, "higher", "better"),
        (NAN, 0.01, 0.01, "higher", "no measure"),
        (NAN, NAN, NAN, "higher", "no measure"),
    ],
)
def test_words(mean: float, p: float, p_equivalence: float, direction: str, word: str) -> None:
    assert verdict(mean, p, p_equivalence, direction) == word


@given(st.floats(-1, 1), CHANCE, CHANCE, st.sampled_from([0.05, 0.01]))
def test_turning_the_direction_swaps_better_and_worse_alone(
    mean: float, p: float, p_equivalence: float, level: float
) -> None:
    swapped = {"better": "worse", "worse": "better"}
    higher, lower = (
        verdict(mean, p, p_equivalence, way, level=level) for way in ("higher", "lower")
    )
    assert lower == swapped.get(higher, higher)
    assert lower == verdict(-mean, p, p_equivalence, "higher", level=level)
