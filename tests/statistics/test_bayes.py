"""The Bayesian signed-rank test against its definition, simulated directly."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from reldrop_bench.statistics import bayes
from reldrop_bench.statistics.bayes import available, signed_rank_posterior

needs_baycomp = pytest.mark.skipif(
    not available(), reason="needs baycomp: pip install 'reldrop-bench[bayes]'"
)

DIFFERENCES = [0.03, 0.012, -0.004, 0.02, -0.015, 0.007, 0.041]


def defined(values: list[float], margin: float, draws: int = 20_000) -> np.ndarray:
    """Return P(worse), P(equivalent), P(better) as Benavoli et al. (JMLR 18, 2017) define them.

    Weights w ~ Dirichlet(½, 1, …, 1) of a pseudo-observation 0 and the differences z; the regions'
    shares are Σ w_i w_j [(z_i + z_j) / 2 in region], and a draw is won by the largest.
    """
    z = np.array([0.0, *values])
    middles = (z[:, None] + z[None, :]) / 2
    weights = np.random.default_rng(99).dirichlet([0.5, *[1.0] * len(values)], size=draws)
    shares = [
        np.einsum("di,ij,dj->d", weights, region.astype(float), weights)
        for region in (middles < -margin, np.abs(middles) <= margin, middles > margin)
    ]
    return np.bincount(np.argmax(shares, axis=0), minlength=3) / draws


@needs_baycomp
# No margin is a mean of two differences, of which baycomp gives half to each side.
@pytest.mark.parametrize("margin", [0.001, 0.0101, 0.02])
def test_posterior_agrees_with_its_definition(margin: float) -> None:
    found = signed_rank_posterior(DIFFERENCES, margin)
    worse, equivalent, better = defined(DIFFERENCES, margin)
    assert found.better == pytest.approx(better, abs=0.02)
    assert found.equivalent == pytest.approx(equivalent, abs=0.015)
    assert found.worse == pytest.approx(worse, abs=0.015)
    assert found.better + found.equivalent + found.worse == pytest.approx(1)


@needs_baycomp
def test_clear_cases() -> None:
    assert signed_rank_posterior([0.1] * 8, 0.01).better > 0.99
    assert signed_rank_posterior([-0.1] * 8, 0.01).worse > 0.99
    assert signed_rank_posterior([0.001, -0.002, 0.003], 0.01).equivalent > 0.99


@needs_baycomp
def test_turned_signs_turn_the_posterior() -> None:
    found = signed_rank_posterior(DIFFERENCES, 0.01)
    turned = signed_rank_posterior([-value for value in DIFFERENCES], 0.01)
    assert turned.worse == pytest.approx(found.better, abs=0.015)


@needs_baycomp
def test_seed_and_values_alone_decide_and_the_global_state_stays() -> None:
    state = np.random.get_state()  # noqa: NPY002 - what must not change
    found = signed_rank_posterior(DIFFERENCES, 0.01, seed=3)
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002
    bayes._posterior.cache_clear()
    np.random.seed(1)  # noqa: NPY002
    assert signed_rank_posterior([*DIFFERENCES[::-1], float("nan")], 0.01, seed=3) == found
    bayes._posterior.cache_clear()
    assert signed_rank_posterior(DIFFERENCES, 0.01, seed=4) != found


@needs_baycomp
def test_input_is_left_as_it_was() -> None:
    values = np.array(DIFFERENCES)
    signed_rank_posterior(values, 0.01)
    assert values.tolist() == DIFFERENCES


def test_nothing_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="one setting or more"):
        signed_rank_posterior([float("nan")], 0.01)
    with pytest.raises(ValueError, match="margin = 0"):
        signed_rank_posterior([0.1], 0.0)


def test_without_baycomp_it_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "baycomp" else find(name)
    )
    assert not available()
