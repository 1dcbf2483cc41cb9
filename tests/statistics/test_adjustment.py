"""Adjusted p-values against statsmodels and published examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from reldrop_bench.statistics.adjustment import benjamini_hochberg, holm

FAMILY = st.lists(
    st.one_of(st.floats(0, 1), st.sampled_from([0.01, 0.05, float("nan")])), min_size=1, max_size=20
)
BOTH = pytest.mark.parametrize(
    ("adjust", "name"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")], ids=["holm", "bh"]
)
Adjust = Callable[..., np.ndarray]


@BOTH
@settings(max_examples=60, deadline=None)
@given(p=FAMILY)
def test_it_agrees_with_statsmodels(adjust: Adjust, name: str, p: list[float]) -> None:
    found = adjust(p)
    reference = multipletests(np.nan_to_num(p, nan=1.0), method=name)[1]
    present = ~np.isnan(p)
    assert np.isnan(found[~present]).all()
    np.testing.assert_allclose(found[present], reference[present], rtol=1e-12, atol=1e-300)


@BOTH
@given(p=FAMILY, random=st.randoms(use_true_random=False))
def test_the_order_of_the_members_has_no_meaning(
    adjust: Adjust, name: str, p: list[float], random: object
) -> None:
    order = random.sample(range(len(p)), len(p))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(adjust(p)[order], adjust(np.array(p)[order]))


@BOTH
def test_many_families_at_once_are_adjusted_each_for_itself(adjust: Adjust, name: str) -> None:
    p = np.random.default_rng(0).random((3, 4, 7))
    p[0, 0, 2] = np.nan
    alone = [[adjust(family) for family in row] for row in p]
    np.testing.assert_array_equal(adjust(p), alone)


@BOTH
def test_an_empty_family_stays_empty(adjust: Adjust, name: str) -> None:
    assert adjust([]).shape == (0,)


@BOTH
def test_a_hole_never_makes_another_verdict_easier(adjust: Adjust, name: str) -> None:
    assert adjust([0.02, float("nan")])[0] == adjust([0.02, 1.0])[0] == 0.04


def test_the_example_of_benjamini_and_hochberg() -> None:
    # Journal of the Royal Statistical Society B 57 (1995), section 3.2: of 15 comparisons their
    # procedure rejects four at 0.05, Bonferroni's and Holm's three.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    p += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert (benjamini_hochberg(p) < 0.05).sum() == 4
    assert (holm(p) < 0.05).sum() == 3


def test_the_example_of_demsar() -> None:
    # Journal of Machine Learning Research 7 (2006), section 3.2.2: against C4.5, p = .016, .019 and
    # .607; Holm's procedure at 0.05 rejects the first two.
    np.testing.assert_allclose(holm([0.607, 0.019, 0.016]), [0.607, 0.048, 0.048])
