"""Tests on test items against statsmodels and published examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats import contingency_tables

from reldrop_bench.statistics.items import cochran_q, item_bootstrap, mcnemar


def matched(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two lists of right (1) and wrong (0) with these counts."""
    pairs = [(1, 1)] * both + [(1, 0)] * first + [(0, 1)] * second + [(0, 0)] * neither
    right = np.array(pairs).reshape(-1, 2)
    return right[:, 0], right[:, 1]


def test_published_example() -> None:
    # Fagerland, Lydersen, Laake (2013), table 1 (airway hyper-responsiveness before and after stem
    # cell transplantation): 1, 1, 7, 12 children; exact p = 0.0703.
    found = mcnemar(*matched(1, 1, 7, 12))
    assert (found.n, found.only_first, found.only_second) == (21, 1, 7)
    assert found.p == pytest.approx(0.0703, abs=5e-5)


@given(*[st.integers(0, 60)] * 4)
def test_mcnemar_agrees_with_statsmodels(both: int, first: int, second: int, neither: int) -> None:
    found = mcnemar(*matched(both, first, second, neither))
    reference = contingency_tables.mcnemar([[both, first], [second, neither]], exact=True)
    assert found.p == pytest.approx(1.0 if first + second == 0 else reference.pvalue)
    assert mcnemar(*matched(both, second, first, neither)).p == found.p <= 1


def test_models_that_never_differ() -> None:
    assert mcnemar([1, 0, 1], [1, 0, 1]).p == 1.0


@given(st.integers(2, 5), st.integers(5, 40), st.integers(0, 1000))
def test_cochran_s_q_agrees_with_statsmodels(models: int, items: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    right = random.uniform(size=(items, models)) < random.uniform(size=models)
    found = cochran_q(right)
    if not found.informative:
        assert (found.q, found.p) == (0.0, 1.0)
        return
    reference = contingency_tables.cochrans_q(right.astype(int))
    assert (found.q, found.p) == pytest.approx((reference.statistic, reference.pvalue))
    assert found.df == reference.df


def test_two_models_give_mcnemar_s_chi_square() -> None:
    first, second = matched(10, 4, 15, 20)
    found = cochran_q(np.stack([first, second], axis=1))
    assert found.q == pytest.approx((4 - 15) ** 2 / (4 + 15))
    assert (found.n, found.informative) == (49, 19)


def test_items_that_all_have_right_or_wrong_tell_nothing() -> None:
    right = np.random.default_rng(0).integers(2, size=(30, 3))
    more = np.concatenate([right, np.ones((50, 3), int), np.zeros((50, 3), int)])
    assert cochran_q(more).p == cochran_q(right).p


def test_item_bootstrap_agrees_with_scipy_and_the_normal_interval() -> None:
    random = np.random.default_rng(3)
    for differences in (
        random.choice([-1.0, 0.0, 1.0], size=1000, p=[0.05, 0.87, 0.08]),
        random.normal(0.1, 1, size=1000),
    ):
        found = item_bootstrap(differences, resamples=3000)
        error = differences.std() / np.sqrt(len(differences))
        low, high = differences.mean() + np.array([-1.96, 1.96]) * error
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * error)
        reference = stats.bootstrap(
            (differences,), np.mean, n_resamples=3000, method="percentile",
            rng=np.random.default_rng(0), batch=500,
        ).confidence_interval  # fmt: skip
        assert (found.low, found.high) == pytest.approx(tuple(reference), abs=0.15 * error)
        assert item_bootstrap(differences[::-1], resamples=3000) == found


def test_item_bootstrap_covers_at_its_nominal_rate() -> None:
    random = np.random.default_rng(9)
    truth = 0.02
    covered = 0
    for seed in range(1000):
        values = random.choice([-1.0, 0.0, 1.0], size=1000, p=[0.04, 0.90, 0.06])
        found = item_bootstrap(values, resamples=400, seed=seed)
        covered += found.low <= truth <= found.high
    assert abs(covered / 1000 - 0.95) < 0.025


@pytest.mark.parametrize("wrong", [[0.5], [float("nan")], [2]])
def test_only_right_and_wrong_are_taken(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="right or wrong"):
        mcnemar(wrong, [1])
    with pytest.raises(ValueError, match="right or wrong"):
        cochran_q([[*wrong, 1]])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same"):
        mcnemar([1, 0], [1])
    with pytest.raises(ValueError, match="two or more models"):
        cochran_q(np.ones((4, 1)))
    with pytest.raises(ValueError, match="one or more finite"):
        item_bootstrap([])
