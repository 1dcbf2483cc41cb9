"""The mixed model against closed forms of balanced data and the likelihood itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import optimize, stats

from reldrop_bench.statistics.mixed import mixed_difference


def balanced(settings: int, seeds: int, between: float, within: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    effects = random.normal(0.02, between, size=(settings, 1))
    return effects + random.normal(0, within, size=(settings, seeds))


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e3])
@pytest.mark.parametrize(("settings", "seeds"), [(3, 5), (6, 3), (12, 10)])
def test_balanced_data_give_the_closed_form(settings: int, seeds: int, scale: float) -> None:
    values = balanced(settings, seeds, 0.05, 0.02, settings) * scale
    within = values.var(axis=1, ddof=1).mean()
    mean_square = seeds * values.mean(axis=1).var(ddof=1)
    assert mean_square > within
    found = mixed_difference(list(values))
    assert found.note == ""
    assert found.mean == pytest.approx(values.mean(), rel=1e-6)
    assert found.within == pytest.approx(np.sqrt(within), rel=1e-3)
    assert found.between == pytest.approx(np.sqrt((mean_square - within) / seeds), rel=1e-3)
    # In balanced data the settings' means alone decide: a t interval of theirs.
    reference = stats.ttest_1samp(values.mean(axis=1), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(reference), rel=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_balanced_data_agree_with_statsmodels(seed: int) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    values = balanced(6, 4, 0.9, 0.3, seed)
    model = MixedLM(values.ravel(), np.ones((24, 1)), np.repeat(np.arange(6), 4))
    fitted = model.fit(reml=True)
    found = mixed_difference(list(values))
    assert found.mean == pytest.approx(fitted.fe_params[0], rel=1e-6)
    assert found.between == pytest.approx(np.sqrt(fitted.cov_re[0, 0]), rel=1e-3)
    assert found.within == pytest.approx(np.sqrt(fitted.scale), rel=1e-3)
    half = stats.t.ppf(0.975, 5) * fitted.bse_fe[0]
    assert found.high - found.low == pytest.approx(2 * half, rel=1e-3)


@pytest.mark.parametrize("seed", range(8))  # some of them with the maximum at 0
def test_unbalanced_data_maximise_the_restricted_likelihood(seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = [2, 3, 5, 8, 4]
    groups = [random.normal(random.normal(0, 0.6), 0.3, size=n) for n in counts]

    def minus_log_likelihood(logs: np.ndarray) -> float:
        between, within = np.exp(logs)
        blocks = [between * np.ones((n, n)) + within * np.eye(n) for n in counts]
        inverse = [np.linalg.inv(block) for block in blocks]
        information = sum(part.sum() for part in inverse)
        effect = (
            sum(part.sum(axis=0) @ group for part, group in zip(inverse, groups, strict=True))
            / information
        )
        squares = sum(
            (group - effect) @ part @ (group - effect)
            for part, group in zip(inverse, groups, strict=True)
        )
        size = sum(np.linalg.slogdet(block)[1] for block in blocks)
        return float(size + np.log(information) + squares) / 2

    best = optimize.minimize(minus_log_likelihood, [-1.0, -2.0], method="Nelder-Mead").x
    found = mixed_difference(groups)
    assert found.between == pytest.approx(np.exp(best[0] / 2), rel=0.01, abs=1e-3)
    assert found.within == pytest.approx(np.exp(best[1] / 2), rel=0.01)


def test_nothing_between_settings_is_said_and_not_warned_of() -> None:
    values = balanced(5, 6, 0.0, 1.0, 1)
    values -= values.mean(axis=1, keepdims=True)  # the settings' means agree more than by chance
    values += 0.3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mixed_difference(list(values))
    assert found.between == 0.0
    assert found.mean == pytest.approx(0.3)
    assert "estimated as 0" in found.note


@pytest.mark.parametrize(
    ("groups", "part"),
    [
        ([[0.1, 0.2], [0.3, 0.1]], "2 settings"),
        ([[0.1, 0.2], [0.3, 0.1], [float("nan")]], "2 settings"),
        ([[0.1], [0.2], [0.4]], "one pair a setting"),
        ([[0.1] * 3] * 3, "all differences are equal"),
        ([[0.1] * 3, [0.2] * 3, [0.3] * 3], "nothing varies over seeds"),
    ],
)
def test_too_little_to_fit_is_a_note(groups: list[list[float]], part: str) -> None:
    found = mixed_difference(groups)
    assert part in found.note
    assert np.isnan([found.mean, found.low, found.between]).all()


def test_order_has_no_influence() -> None:
    values = balanced(6, 4, 0.5, 0.2, 7)
    holes = values.copy()
    holes[0, 1] = np.nan
    found = mixed_difference(list(holes))
    assert found == mixed_difference([row[::-1] for row in holes[::-1]])
    assert found == mixed_difference([row[np.isfinite(row)] for row in holes])


def test_the_interval_holds_the_effect_over_further_settings() -> None:
    # One draw of settings a repetition; exact where the variance between is positive.
    covered = [
        found.low <= 0.02 <= found.high  # type: ignore[operator]
        for seed in range(150)
        if (found := mixed_difference(list(balanced(5, 3, 0.5, 0.2, seed)))).low > -np.inf
    ]
    assert len(covered) == 150
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 150)
